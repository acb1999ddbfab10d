"""PyTorch on MNIST: the plain loop over tensors in memory, one epoch a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.cases.mnist import BATCHES, SHIFT
from benchmarks.contestants.contestant import Runner
from benchmarks.contestants.torch_training import model_of

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case

AT_ONCE = 1000
"""Test images a call: more than a batch is quicker, all at once slower."""


class _Run:
    """The training so far."""

    def __init__(
        self, case: Case, arrays: Arrays, layout: torch.memory_format, *, recipe: bool
    ) -> None:
        self._batch, self._layout, self._recipe = case.options["batch"], layout, recipe
        self._x, self._y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
        self._test = torch.from_numpy(arrays["test_x"]), torch.from_numpy(arrays["test_y"])
        self._model = model_of(case.options["network"], arrays).to(memory_format=layout)
        self._loss_fn = nn.CrossEntropyLoss()
        rate = case.options["arguments"]["lr"]
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=rate, fused=True)
        self._cycle: Any = None
        self._accuracy = 0.0
        torch.manual_seed(0)
        if recipe:
            steps = BATCHES * case.options["epochs"]
            self._cycle = torch.optim.lr_scheduler.OneCycleLR(self._optimizer, rate, steps)
            # Padded once: moving a batch is one indexing.
            padded = functional.pad(self._x, (SHIFT,) * 4)
            height, width = self._x.shape[2:]
            self._windows = padded.unfold(2, height, 1).unfold(3, width, 1)

    def run(self) -> None:
        """An epoch, and the accuracy on the test set after it."""
        self._model.train()
        for rows in torch.randperm(len(self._x)).split(self._batch):
            loss = self._loss_fn(self._model(self._images(rows)), self._y[rows])
            loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
            if self._cycle is not None:
                self._cycle.step()
        self._evaluate()

    def _images(self, rows: torch.Tensor) -> torch.Tensor:
        if self._recipe:
            down, right = torch.randint(2 * SHIFT + 1, (2, len(rows)))
            images = self._windows[rows, :, down, right]
        else:
            images = self._x[rows]
        return images.contiguous(memory_format=self._layout)

    def _evaluate(self) -> None:
        self._model.eval()
        correct = 0
        with torch.inference_mode():
            for x, y in zip(*(part.split(AT_ONCE) for part in self._test), strict=True):
                output = self._model(x.contiguous(memory_format=self._layout))
                correct += int((output.argmax(1) == y).sum())
        self._accuracy = correct / len(self._test[0])

    def result(self) -> dict[str, np.ndarray]:
        return {"accuracy": np.array(self._accuracy)}


def run(case: Case, arrays: Arrays, layout: torch.memory_format, *, recipe: bool) -> Runner:
    state = _Run(case, arrays, layout, recipe=recipe)
    return Runner(state.run, state.result, times=BATCHES)
