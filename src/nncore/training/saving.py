"""Callbacks that write: Checkpoint, CSVLogger, and the protocol for loggers of others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from nncore.io import check_target, save_weights
from nncore.nn.arguments import flag, integer
from nncore.training.callbacks import Callback, Logs
from nncore.training.monitors import Monitor


class Checkpoint(Monitor):
    """Saves the run to a file, from which `Trainer.fit` (``resume=``) goes on.

    At any instant the old file is there, whole, or the new one: the run may be killed whenever.

    Parameters
    ----------
    path
        Ends in ``.safetensors`` or ``.npz``. ``{epoch}`` in it is replaced by the number of the
        epoch, from 1 (``{epoch:03d}``: with zeros).
    every_epochs : int
        After each so many epochs, and after the last one.
    every_batches : int, optional
        After each so many batches within an epoch, too.
    monitor, mode
        Where given: only when this value is the best so far; not within epochs then.
    weights_only : bool
        Save the weights alone, for `nncore.io.load_weights`.

    Raises
    ------
    OSError, ValueError, ImportError
        The file cannot be written: found when the run begins.
    """

    _is_last = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every_epochs: int = 1,
        every_batches: int | None = None,
        monitor: str | None = None,
        mode: str = "auto",
        weights_only: bool = False,
    ) -> None:
        super().__init__("" if monitor is None else monitor, mode, 0.0)
        self.path = os.fspath(path)
        self.every_epochs = integer("Checkpoint", "every_epochs", every_epochs, 1)
        self.weights_only = flag("Checkpoint", "weights_only", weights_only)
        if every_batches is not None:
            if monitor is not None:
                raise ValueError(
                    "Checkpoint: every_batches and monitor exclude each other: values are measured"
                    " at the end of an epoch"
                )
            self._stop_every = integer("Checkpoint", "every_batches", every_batches, 1)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        check_target(self._file(1))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.monitor:
            due = self.improves(self.value(logs))
        else:
            last = epoch + 1 == self.params["epochs"] or self.trainer.stop_training
            due = last or (epoch + 1) % self.every_epochs == 0
        if due:
            self._save(epoch + 1)

    def _on_stop(self) -> None:
        self._save(len(self.trainer.history) + 1)

    def _save(self, epoch: int) -> None:
        file = self._file(epoch)
        if self.weights_only:
            save_weights(file, self.model)
        else:
            self.trainer.save_checkpoint(file)

    def _file(self, epoch: int) -> str:
        return self.path.format(epoch=epoch) if "{epoch" in self.path else self.path

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"]


class CSVLogger(Callback):
    """Keeps the history in a CSV file, a row an epoch, there as soon as the epoch is over.

    A resumed run begins with the rows of the epochs that are done.
    """

    def __init__(self, path: str | os.PathLike[str], separator: str = ",") -> None:
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"CSVLogger: separator must be one character, got {separator!r}")
        self.path, self.separator = Path(path), separator
        self._names: tuple[str, ...] = ()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._rewrite()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        history = self.trainer.history
        if tuple(history.history) != self._names:
            self._rewrite()  # the first row, or a value that was not measured before
            return
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(history._csv_row(len(history), self.separator))

    def _rewrite(self) -> None:
        self._names = tuple(self.trainer.history.history)
        self.trainer.history.to_csv(self.path, self.separator)


@runtime_checkable
class Logger(Protocol):
    """What ``fit(logger=)`` calls: two methods that any tracker of experiments adapts to."""

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Called once, when the run begins: numbers, strings and None by name."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Called after each epoch: what `History` records; `step` counts updates of weights."""


class Logging(Callback):
    """Tells a `Logger`."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def on_train_begin(self, logs: Logs | None = None) -> None:
        trainer = self.trainer
        params: dict[str, Any] = {
            "model": type(trainer.model).__name__,
            "parameters": sum(parameter.size for parameter in trainer.model.parameters()),
            "loss": type(trainer.loss_fn).__name__,
            "optimizer": type(trainer.optimizer).__name__,
            "seed": trainer.seed,
        }
        groups = getattr(trainer.optimizer, "param_groups", [])
        names = getattr(trainer.optimizer, "defaults", {})
        for at, group in enumerate(groups):
            prefix = "" if len(groups) == 1 else f"group{at}."
            params |= {
                f"{prefix}{name}": value
                for name, value in group.items()
                if name in names and isinstance(value, (int, float, str, tuple))
            }
        self._logger.log_hyperparams({**params, **self.params})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._logger.log_metrics({"epoch": epoch + 1, **(logs or {})}, self.trainer.steps)


def logging_to(function: str, given: Any) -> list[Callback]:
    """The callbacks for a logger or several."""
    if given is None:
        return []
    listed = list(given) if isinstance(given, (list, tuple)) else [given]
    for logger in listed:
        if isinstance(logger, type) or not isinstance(logger, Logger):
            raise TypeError(
                f"{function}: logger must have the methods log_hyperparams(params) and"
                f" log_metrics(metrics, step), got {type(logger).__name__}"
            )
    return [Logging(logger) for logger in listed]
