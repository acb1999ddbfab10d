"""What the machine could do at best, measured by a worker in the same rounds.

For a case bound by memory that is a copy of as many bytes, in cache or (cold cases) out of it. With
several threads, and for the one beside them, it is ReLU, which moves as much and which the engine
shares out: Python would take too long to call its threads. For a case bound by arithmetic it is the
same number of fused multiply-adds on registers, which only the engine can run: its `run_fma(flops)`
executes at least that many float32 operations on each of its threads, by the instruction set in
use, and returns how many it executed in all. Where the engine is missing the table says n/a: a
large matrix product would be a contestant, not a roof. For a layer it is the kernel alone, into an
array that is there already where it takes one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.case import Arrays, Case, aligned_copy
from benchmarks.contestants.contestant import Contestant, Runner

ROOF = Contestant("roof", "roof", "benchmarks.roofline", package="numpy")
ROOF_ALONE = replace(ROOF, name="roof x1", variant="scaling", threads=1)
"""One thread's, where several are compared with one."""

LEAST_BYTES = 1 << 20  # a run copies at least this much, so that the call itself does not count
LEAST_FLOPS = 1e7


FROM_OUTPUT = ("sigmoid", "tanh", "elu")  # kernels that go back from y


def _engine() -> Any:
    try:
        return importlib.import_module("nncore._core.engine")
    except ImportError:
        return None


class _Roof:
    version = ""

    def __init__(self, threads: int, *, scaling: bool):
        self._threads = threads
        self._scaling = threads > 1 or scaling

    def build(self, case: Case, arrays: Arrays) -> Runner | None:
        if case.bound == "kernel":
            return self._kernel(case, arrays)
        return self._copy(case) if case.bound == "bytes" else self._arithmetic(case)

    def _kernel(self, case: Case, arrays: Arrays) -> Runner | None:
        engine = _engine()
        if engine is None:
            return None
        engine.threads_set(self._threads)
        name, x = case.options["kernel"], arrays["x"]
        if name == "gelu_tanh":
            name, options = "gelu", {"approximate": "tanh"}
        else:
            options = {}
        forward, backward = (getattr(engine, f"{name}_{way}") for way in ("forward", "backward"))
        y = aligned_copy(forward(x, **options))
        if "grad" not in arrays:
            return Runner(lambda: forward(x, out=y, **options), dict)
        kept, grad = y if name in FROM_OUTPUT else x, arrays["grad"]
        return Runner(lambda: backward(grad, kept, **options), dict)

    def _copy(self, case: Case) -> Runner | None:
        import numpy as np

        count = max(1, int(case.bytes) // (2 * 4))  # float32 values; half is read, half written
        source = aligned_copy(np.ones(count, np.float32))
        target = aligned_copy(np.zeros(count, np.float32))
        times = 1 if case.cold else 1 + int(LEAST_BYTES // case.bytes)
        move: Callable[[], object] = partial(np.copyto, target, source)
        if self._scaling:
            engine = _engine()
            if engine is None:
                return None
            engine.threads_set(self._threads)
            move = partial(engine.relu_forward, source, out=target)

        def run() -> None:
            for _ in range(times):
                move()

        return Runner(run, dict, times=times)

    def _arithmetic(self, case: Case) -> Runner | None:
        engine = _engine()
        if engine is None or case.flops <= 0:
            return None
        engine.threads_set(self._threads)
        wanted = max(case.flops, LEAST_FLOPS) / self._threads
        done = engine.run_fma(wanted)
        halves = 2 if case.options.get("dtype") == "float64" else 1  # so many as fast
        return Runner(lambda: engine.run_fma(wanted), dict, times=done / (halves * case.flops))


def open_contestant(variant: str, threads: int) -> _Roof:
    return _Roof(threads, scaling=variant == "scaling")
