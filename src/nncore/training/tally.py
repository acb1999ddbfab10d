"""What is counted in an epoch: loss, right answers, metrics, and how many batches."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore.nn.arrays import Array
from nncore.training.meter import Meter
from nncore.training.metrics import Metric


class Tally:
    """Counts batches whose update is done.

    Batches of which only the gradients are there (``accumulate``) wait until `settle`: an epoch
    that is broken off has counted what the weights have seen.
    """

    def __init__(self, metrics: Sequence[Metric] = ()) -> None:
        self.meter, self.batches = Meter(), 0
        # Its own: training and validation may be under way at once.
        self.metrics = [copy.copy(metric) for metric in metrics]
        self._waiting: list[tuple[float, Array, Array]] = []
        for metric in self.metrics:
            metric.reset()

    @property
    def needs_output(self) -> bool:
        return bool(self.metrics)

    def wait(self, loss: float, output: Array, y: Array) -> None:
        """A batch that still waits for its update."""
        self._waiting.append((loss, output, y))

    def settle(self) -> None:
        """The update is done: count what waited."""
        for loss, output, y in self._waiting:
            self.add(loss, output, y)
        self._waiting.clear()

    def drop(self) -> None:
        """There will be no update: forget what waited."""
        self._waiting.clear()

    def add(self, loss: float, output: Array, y: Array) -> None:
        """Count a batch."""
        self.meter.add(loss, output, y)
        for metric in self.metrics:
            metric.update(output, y)
        self.batches += 1

    def add_batches(
        self,
        losses: NDArray[np.float64],
        sizes: NDArray[np.int64],
        correct: NDArray[np.int64] | None,
    ) -> None:
        """Count batches that the engine ran; their outputs come to `add_outputs`."""
        self.meter.add_batches(losses, sizes, correct, 0, len(losses))
        self.batches += len(losses)

    def add_outputs(self, output: Array, y: Array) -> None:
        for metric in self.metrics:
            metric.update(output, y)

    def values(self) -> dict[str, Any]:
        """Loss, accuracy for labels, metrics."""
        return self.meter.values() | {metric.name: metric.compute() for metric in self.metrics}

    def state_dict(self) -> dict[str, Any]:
        return {
            "batches": self.batches,
            "meter": self.meter.state,
            "metrics": {metric.name: metric.state_dict() for metric in self.metrics},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.batches, self.meter.state = state["batches"], state["meter"]
        for metric in self.metrics:
            if metric.name in state["metrics"]:
                metric.load_state_dict(state["metrics"][metric.name])
