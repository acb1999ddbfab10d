"""Steps in several Python threads at once, each of a network of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import nncore
from benchmarks.case import aligned_copy
from benchmarks.cases.step import EPOCH_BATCHES
from benchmarks.contestants.contestant import Runner
from benchmarks.contestants.nncore_training import Training

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case

STEPS = 100
"""So many in each thread before they wait for one another."""


class _Worker(Training):
    def reset(self) -> None:
        super().reset()
        self._step = nncore.compile(self.model, self._loss_fn, self.optimizer, threads=1)

    def run(self) -> None:
        if self._case.operation == "parallel.epochs":
            self._step.epoch(self._x, self._y, batch_size=self._case.options["batch"])
        else:
            for _ in range(STEPS):
                self._step(self._x, self._y)


def steps(case: Case, arrays: Arrays, *, threads: int) -> Runner:
    count = EPOCH_BATCHES if case.operation == "parallel.epochs" else STEPS

    def own() -> Arrays:
        return {name: aligned_copy(array) for name, array in arrays.items()}

    workers = [_Worker(case, own()) for _ in range(threads)]
    pool = ThreadPoolExecutor(threads)

    def run() -> None:
        list(pool.map(_Worker.run, workers))

    def reset() -> None:
        for worker in workers:
            worker.reset()

    def result() -> Arrays:
        reset()
        run()
        return workers[-1].arrays()

    return Runner(run, result, reset, times=threads * count)
