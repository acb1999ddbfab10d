"""The roof: what one repetition of it stands for."""

from __future__ import annotations

import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import roofline
from benchmarks.cases import find
from nncore._core import engine


def build(family: str, name: str, threads: int = 1, **changes: object):
    case = replace(find(family, name), **changes)
    return roofline.open_contestant("", threads).build(case, {})


@pytest.fixture
def threads_kept():
    before = engine.threads_get()
    yield
    engine.threads_set(before)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_small_copy_is_repeated_within_a_run(threads: int, threads_kept) -> None:
    runner = build("optim", "4-64-64-2 Adam", threads)
    case = find("optim", "4-64-64-2 Adam")
    assert runner.times * case.bytes > roofline.LEAST_BYTES
    runner.run()


@pytest.mark.parametrize(("threads", "variant"), [(1, "scaling"), (2, "")])
def test_the_engine_copies_where_threads_are_compared(
    threads: int, variant: str, threads_kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = find("pool", "64x12x24x24 2x2 s2 forward")
    roof = roofline.open_contestant(variant, threads)
    asked = []
    monkeypatch.setattr(engine, "relu_forward", lambda x, out: asked.append((x.size, out.size)))
    roof.build(case, {}).run()
    assert asked == [(case.bytes // 8,) * 2]
    assert engine.threads_get() == threads
    monkeypatch.setitem(sys.modules, "nncore._core.engine", None)
    assert roof.build(case, {}) is None


def test_a_cold_copy_is_not() -> None:
    assert build("activation", "relu 1M forward cold").times == 1


@pytest.mark.parametrize("name", ["GELU tanh 1M forward", "Sigmoid 1M backward"])
def test_a_layer_s_roof_is_its_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = find("layers", name)
    arrays = {key: np.ones(8, np.float32) for key in case.inputs}
    before = engine.threads_get()
    try:
        runner = roofline.open_contestant("", 1).build(case, arrays)
    finally:
        engine.threads_set(before)
    assert runner is not None
    assert runner.run().shape == (8,)
    monkeypatch.setitem(sys.modules, "nncore._core.engine", None)
    assert roofline.open_contestant("", 1).build(case, arrays) is None


def test_arithmetic_is_not_measured_without_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncore._core.engine", None)
    assert build("linear", "7x33x19 forward") is None


def test_the_engine_s_multiply_adds_are_scaled_to_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run_fma(flops: float) -> float:
        asked.append(flops)
        return 2 * flops  # two threads

    module = types.ModuleType("nncore._core.engine")
    module.run_fma = run_fma  # type: ignore[attr-defined]
    module.threads_set = asked.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nncore._core.engine", module)
    runner = build("linear", "7x33x19 forward", threads=2)
    flops = find("linear", "7x33x19 forward").flops
    assert runner.times == pytest.approx(roofline.LEAST_FLOPS / flops)
    runner.run()
    assert asked == [2, roofline.LEAST_FLOPS / 2, roofline.LEAST_FLOPS / 2]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_engine_executes_what_was_asked_for(threads: int) -> None:
    before = engine.threads_get()
    try:
        engine.threads_set(threads)
        for flops in (0, 1, 1e6):
            assert threads * flops <= engine.run_fma(flops) <= threads * (flops + 1000)
    finally:
        engine.threads_set(before)


@pytest.mark.parametrize("flops", [-1, float("nan"), float("inf"), 1e14])
def test_an_amount_that_makes_no_sense_is_refused(flops: float) -> None:
    with pytest.raises(ValueError, match="run_fma: flops must be 0 to 1e13"):
        engine.run_fma(flops)
