"""Means over the samples of batches of different sizes."""

import numpy as np
from numpy.typing import NDArray

from nncore.nn.arrays import Array


class Meter:
    """Adds up losses and right answers, batch by batch."""

    def __init__(self) -> None:
        self._samples = 0
        self._loss = 0.0
        self._labels = 0
        self._correct = 0

    def add(self, loss: float, output: Array, y: Array) -> None:
        """Count a batch: its mean loss, its outputs and its targets."""
        self._samples += len(y)
        self._loss += loss * len(y)
        # Labels name the class along axis 1 of the outputs; other targets have no right answer to
        # count.
        if y.dtype.kind in "iu" and output.ndim == y.ndim + 1:
            self._labels += y.size
            self._correct += int(np.count_nonzero(output.argmax(axis=1) == y))

    def add_batches(
        self,
        losses: NDArray[np.float64],
        sizes: NDArray[np.int64],
        correct: NDArray[np.int64] | None,
        begin: int,
        end: int,
    ) -> None:
        """Count batches `begin` to `end`, with the right answers of each where there are labels."""
        samples = int(sizes[begin:end].sum())
        self._samples += samples
        # One after the other, as `add` does: sums of floating numbers depend on their order.
        terms = np.concatenate(([self._loss], losses[begin:end] * sizes[begin:end]))
        self._loss = float(np.add.accumulate(terms)[-1])
        if correct is not None:
            self._labels += samples
            self._correct += int(correct[begin:end].sum())

    @property
    def samples(self) -> int:
        return self._samples

    @property
    def total(self) -> float:
        """The sum of the losses of all samples."""
        return self._loss

    @property
    def loss(self) -> float:
        return self._loss / self._samples if self._samples else float("nan")

    @property
    def accuracy(self) -> float | None:
        return self._correct / self._labels if self._labels else None

    def values(self) -> dict[str, float]:
        """The means by the names of History."""
        accuracy = {} if self.accuracy is None else {"accuracy": self.accuracy}
        return {"loss": self.loss, **accuracy}

    @property
    def state(self) -> list[float]:
        """The sums: a meter that is given them goes on from there."""
        return [self._samples, self._loss, self._labels, self._correct]

    @state.setter
    def state(self, state: list[float]) -> None:
        samples, loss, labels, correct = state
        self._samples, self._labels, self._correct = int(samples), int(labels), int(correct)
        self._loss = float(loss)
