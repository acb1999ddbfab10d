"""What the tests of the benchmark harness share: contestants that are fakes, in real workers."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.contestants.contestant import Contestant

HERE = Path(__file__).resolve().parent

MakeFake = Callable[..., Contestant]


@pytest.fixture
def two_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> np.ndarray:
    """An MNIST of two images, some files of it compressed, where the cases look for it."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    monkeypatch.setenv("NNCORE_DATA", str(tmp_path))
    images = np.arange(2 * 784).astype(np.uint8)
    for part in ("train", "t10k"):
        packed = gzip.compress(bytes(16) + images.tobytes())
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(packed)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(bytes(8) + bytes([7, 1]))
    return images


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
