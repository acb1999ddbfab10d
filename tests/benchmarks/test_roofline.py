"""The roof: what one repetition of it stands for."""

from __future__ import annotations

import sys
import types
from dataclasses import replace

import pytest

from benchmarks import roofline
from benchmarks.cases import find


def build(family: str, name: str, threads: int = 1, **changes: object):
    case = replace(find(family, name), **changes)
    return roofline.open_contestant("", threads).build(case, {})


@pytest.mark.parametrize("threads", [1, 2])
def test_a_small_copy_is_repeated_within_a_run(threads: int) -> None:
    runner = build("optim", "4-64-64-2 Adam", threads)
    case = find("optim", "4-64-64-2 Adam")
    assert runner.times * case.bytes > roofline.LEAST_BYTES
    runner.run()


def test_a_cold_copy_is_not() -> None:
    assert build("activation", "relu 1M forward cold").times == 1


def test_arithmetic_is_not_measured_without_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncore.benchmarking", None)
    assert build("linear", "7x33x19 forward") is None


def test_the_engine_s_multiply_adds_are_scaled_to_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run_fma(flops: float) -> float:
        asked.append(flops)
        return 2 * flops  # two threads

    engine = types.ModuleType("nncore.benchmarking")
    engine.run_fma = run_fma  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nncore.benchmarking", engine)
    runner = build("linear", "7x33x19 forward", threads=2)
    flops = find("linear", "7x33x19 forward").flops
    assert runner.times == pytest.approx(roofline.LEAST_FLOPS / flops)
    runner.run()
    assert asked == [roofline.LEAST_FLOPS / 2] * 2
