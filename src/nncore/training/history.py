"""What training recorded, epoch by epoch."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore.io.atomic import write_atomic
from nncore.training import table


class History:
    """Losses, accuracies and times of the finished epochs.

    ``print(history)`` shows the table that `Trainer.fit` printed while it trained.

    Attributes
    ----------
    history : dict of str to list of float
        One list for each of "loss", "accuracy", "val_loss", "val_accuracy", the trainer's metrics,
        "lr" where it may change, "seconds" (the whole epoch, validation included) and
        "samples_per_second" (training alone), as Keras has it. Only what was measured is there;
        each list has all epochs, with NaN for an epoch in which a thing was not measured.
    latest : dict of str to float or array
        The values of the last epoch; metrics that are arrays (a confusion matrix) are only here.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.latest: dict[str, Any] = {}

    @property
    def epochs(self) -> list[int]:
        """The numbers of the finished epochs, from 1."""
        return list(range(1, len(self) + 1))

    def append(self, values: Mapping[str, Any]) -> None:
        """Add a finished epoch with its values."""
        done = len(self)
        numbers = [name for name, value in values.items() if np.ndim(value) == 0]
        names = dict.fromkeys([*self.history, *numbers])
        # One assignment: Ctrl-C finds all columns with the new epoch or none.
        self.history = {
            name: [*self.history.get(name, [math.nan] * done), float(values.get(name, math.nan))]
            for name in names
        }
        self.latest = dict(values)

    def values(self, epoch: int) -> dict[str, float]:
        """What was recorded for the epoch of this number."""
        return {name: column[epoch - 1] for name, column in self.history.items()}

    @property
    def best_epoch(self) -> int | None:
        """The number of the epoch of the lowest validation loss.

        Of the lowest training loss where there was no validation. The first of several equal ones;
        None before the first epoch.
        """
        for name in ("val_loss", "loss"):
            measured = [
                (loss, epoch)
                for loss, epoch in zip(self.history.get(name, []), self.epochs, strict=False)
                if not math.isnan(loss)
            ]
            if measured:
                return min(measured)[1]
        return None

    def to_csv(self, path: str | os.PathLike[str], separator: str = ",") -> None:
        """Write all epochs to a file: a line of names, then a line each; empty: not measured."""
        lines = [_csv_line(["epoch", *self.history], separator)] if self.history else []
        lines += [self._csv_row(epoch, separator) for epoch in self.epochs]
        write_atomic(path, "".join(lines).encode())

    def _csv_row(self, epoch: int, separator: str) -> str:
        cells = ["" if math.isnan(value) else repr(value) for value in self.values(epoch).values()]
        return _csv_line([str(epoch), *cells], separator)

    def plot(self, name: str = "loss", ax: Any = None) -> Any:
        """Draw a value over the epochs, in training and validation, with the best epoch marked.

        Parameters
        ----------
        name : str
            "loss", "accuracy", or a metric.
        ax : matplotlib Axes, optional
            Where to draw; default: a new figure.

        Returns
        -------
        matplotlib Axes
            ``ax.figure.savefig("loss.png")`` writes it; nothing is shown by itself.
        """
        from nncore.training.pictures import plot_history

        return plot_history(self, name, ax)

    def __len__(self) -> int:
        return len(next(iter(self.history.values()), []))

    def __str__(self) -> str:
        total = len(self)
        lines = [table.header(self.history)]
        lines += [
            table.row(epoch, total, self.values(epoch), self.history) for epoch in self.epochs
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        if not self.history:
            return "History(0 epochs)"
        last = ", ".join(f"{name} {value:.4g}" for name, value in self.values(len(self)).items())
        return f"History({len(self)} epochs, the last: {last})"


def _csv_line(cells: list[str], separator: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=separator, lineterminator="\n").writerow(cells)
    return line.getvalue()
