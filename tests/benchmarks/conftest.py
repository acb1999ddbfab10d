"""What the tests of the benchmark harness share: contestants that are fakes, in real workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.contestants.contestant import Contestant

HERE = Path(__file__).resolve().parent

MakeFake = Callable[..., Contestant]


@pytest.fixture
def fake() -> MakeFake:
    """``fake("wrong", peer="torch")``: a contestant of that variant."""

    def make(variant: str, peer: str = "nncore", notes: Path | None = None) -> Contestant:
        environment = {"PYTHONPATH": str(HERE)}
        if notes:
            environment["FAKE_NOTES"] = str(notes)
        return Contestant(
            f"{peer} {variant}",
            peer,
            "fakes.contestant",
            variant,
            package="numpy",
            environment=environment,
        )

    return make
