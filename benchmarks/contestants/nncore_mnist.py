"""nncore on MNIST, through its own training loop: one epoch a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import nncore
from benchmarks.cases.mnist import BATCHES, SHIFT
from benchmarks.contestants.contestant import Runner
from benchmarks.contestants.nncore_training import Training
from nncore import optim
from nncore.data import DataLoader, transforms

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case


class _Run(Training):
    """The training so far."""

    def __init__(self, case: Case, arrays: Arrays, *, recipe: bool):
        super().__init__(case, arrays)
        self._test = arrays["test_x"], arrays["test_y"]
        options: dict[str, Any] = {}
        self._source: tuple[Any, ...] = self._x, self._y
        if recipe:
            self._source = (self._loader(),)
            options["scheduler"] = optim.lr_scheduler.OneCycleLR(
                self.optimizer, case.options["arguments"]["lr"], BATCHES * case.options["epochs"]
            )
            options["scheduler_interval"] = "batch"
        self._trainer = nncore.Trainer(self.model, self._loss_fn, self.optimizer, seed=0, **options)

    def _loader(self) -> DataLoader:
        return DataLoader(
            (self._x, self._y),
            self._case.options["batch"],
            shuffle=True,
            seed=0,
            transform=transforms.RandomShift(SHIFT),
        )

    def run(self) -> Any:
        batch = self._case.options["batch"]
        self._trainer.fit(*self._source, batch_size=batch, validation_data=self._test, verbose=0)

    def result(self) -> Arrays:
        return {"accuracy": np.array(self._trainer.history.history["val_accuracy"][-1])}


def run(case: Case, arrays: Arrays, *, recipe: bool) -> Runner:
    state = _Run(case, arrays, recipe=recipe)
    return Runner(state.run, state.result, times=BATCHES)
