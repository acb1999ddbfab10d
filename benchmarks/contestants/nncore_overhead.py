"""The same work with something around it and without: what that costs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import nncore
from benchmarks.contestants.contestant import TRAINING_STEPS, Runner
from benchmarks.contestants.nncore_training import Training
from nncore.training import Callback

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case


class _Idle(Callback):
    """Has no batch hook."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Nothing is done."""


class _Fit(Training):
    """A data set through the training loop: one epoch a call."""

    def __init__(self, case: Case, arrays: Arrays, callbacks: list[Callback]):
        self._callbacks = callbacks
        super().__init__(case, arrays)

    def reset(self) -> None:
        super().reset()
        self._trainer = nncore.Trainer(self.model, self._loss_fn, self.optimizer, seed=0)

    def _fit(self, samples: int, *, shuffle: bool) -> None:
        self._trainer.fit(
            self._x[:samples],
            self._y[:samples],
            batch_size=self._case.options["batch"],
            shuffle=shuffle,
            verbose=0,
            callbacks=self._callbacks,
        )

    def run(self) -> Any:
        self._fit(len(self._x), shuffle=True)

    def result(self) -> Arrays:
        """Of the first batches only, in order."""
        self.reset()
        self._fit(TRAINING_STEPS * self._case.options["batch"], shuffle=False)
        return self.arrays()


class _Bare(Training):
    """The compiled step, called for each batch in turn; the batches were cut before."""

    def __init__(self, case: Case, arrays: Arrays):
        super().__init__(case, arrays)
        batch = case.options["batch"]
        starts = range(0, len(self._x), batch)
        self._batches = [(self._x[s : s + batch], self._y[s : s + batch]) for s in starts]

    def reset(self) -> None:
        super().reset()
        self._step = nncore.compile(self.model, self._loss_fn, self.optimizer)

    def run(self) -> Any:
        for x, y in self._batches:
            self._step(x, y)

    def result(self) -> Arrays:
        self.reset()
        for number in range(TRAINING_STEPS):
            self._step(*self._batches[number % len(self._batches)])
        return self.arrays()


def fit(case: Case, arrays: Arrays, *, idle: bool) -> Runner:
    return _runner(case, _Fit(case, arrays, [_Idle()] if idle else []))


def bare(case: Case, arrays: Arrays) -> Runner:
    return _runner(case, _Bare(case, arrays))


def inspected(case: Case, arrays: Arrays) -> Runner:
    """The step in a process that has the inspection loaded."""
    importlib.import_module("nncore.inspection")
    return bare(case, arrays)


def _runner(case: Case, state: _Fit | _Bare) -> Runner:
    batches = len(state._x) / case.options["batch"]
    return Runner(state.run, state.result, state.reset, times=batches)
