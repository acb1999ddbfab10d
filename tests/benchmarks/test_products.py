"""The family gemm: the engine, OpenBLAS and MKL from one loop in C."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec

import pytest

from benchmarks import machine
from benchmarks.cases import FAMILIES
from benchmarks.contestants import chosen, products
from benchmarks.measure import Effort, Team, measure

PEERS = ("openblas", "mkl") if find_spec("torch") else ("openblas",)
ONCE = Effort(round_seconds=1e-4, rounds=1, budget_seconds=0.01, least_rounds=1)


@pytest.mark.slow
def test_all_compute_the_same_products() -> None:
    """Builds the engine: minutes, where it was not built before."""
    everybody = [c for c in chosen(PEERS) if "gemm" in c.families]
    with Team(everybody, machine.available_cores()[:1]) as team:
        assert team.missing == {}
        for case in FAMILIES["gemm"]:
            if not case.name.startswith("256"):
                result = measure(case, team, ONCE)
                assert result.agrees, case.name
                assert [m.status for m in result.measurements.values()] == ["measured"] * (
                    1 + len(PEERS)
                )


def test_both_dtypes_and_all_three_products_are_there() -> None:
    names = {case.name for case in FAMILIES["gemm"] if case.name.startswith("7x33x19")}
    ways = ("forward", "dx", "dW+db")
    assert names == {f"7x33x19 {way}{dtype}" for way in ways for dtype in ("", " float64")}


@pytest.mark.parametrize(
    ("said", "match"),
    [("CMake Error: no compiler\n", "cmake failed: CMake Error: no compiler"), ("", "status 1")],
)
def test_a_build_that_fails_leaves_the_contestant_out(
    monkeypatch: pytest.MonkeyPatch, said: str, match: str
) -> None:
    def fails(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, said)

    monkeypatch.setattr(products.subprocess, "run", fails)
    with pytest.raises(ImportError, match=match):
        products.open_contestant("openblas", 1)


def test_so_does_a_machine_without_cmake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ImportError, match="cmake, which builds the engine once more, is not there"):
        products.open_contestant("openblas", 1)
