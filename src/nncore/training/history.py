"""What training recorded, epoch by epoch."""

import math
from collections.abc import Mapping

from nncore.training import table


class History:
    """Losses, accuracies and times of the finished epochs.

    ``print(history)`` shows the table that `Trainer.fit` printed while it trained.

    Attributes
    ----------
    history : dict of str to list of float
        One list for each of "loss", "accuracy", "val_loss", "val_accuracy", "seconds" (the whole
        epoch, validation included) and "samples_per_second" (training alone), as Keras has it. Only
        what was measured is there; each list has all epochs, with NaN for an epoch in which a thing
        was not measured.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}

    @property
    def epochs(self) -> list[int]:
        """The numbers of the finished epochs, from 1."""
        return list(range(1, len(self) + 1))

    def append(self, values: Mapping[str, float]) -> None:
        """Add a finished epoch with its values."""
        done = len(self)
        names = dict.fromkeys([*self.history, *values])
        # One assignment: Ctrl-C finds all columns with the new epoch or none.
        self.history = {
            name: [*self.history.get(name, [math.nan] * done), float(values.get(name, math.nan))]
            for name in names
        }

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
