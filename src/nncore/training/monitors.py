"""Callbacks that watch a value: EarlyStopping, ReduceLROnPlateau, TerminateOnNaN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nncore.nn.arguments import flag, integer, number
from nncore.training.callbacks import Callback, Logs

# What is better when it is larger, by a part of its name.
_RISING = "accuracy", "precision", "recall", "f1", "r2", "top"


class Monitor(Callback):
    """The base of those that compare a value of each epoch with the best one so far."""

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        name = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f"{name}: monitor must be the name of a value, got {monitor!r}")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{name}: mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor = monitor
        rising = any(part in monitor for part in _RISING) if mode == "auto" else mode == "max"
        self._sign = -1.0 if rising else 1.0
        self._min_delta = abs(number(name, "min_delta", min_delta))
        self.best: float | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = None
        if self.monitor.startswith("val_") and not self.params["validation"]:
            raise ValueError(
                f"{type(self).__name__}: monitors {self.monitor}, but there is no validation: give"
                " fit validation_data or validation_split, or monitor 'loss'"
            )

    def value(self, logs: Logs | None) -> float:
        """The value of this epoch."""
        values = logs or {}
        if self.monitor not in values:
            raise ValueError(
                f"{type(self).__name__}: monitors {self.monitor!r}, measured are"
                f" {', '.join(values)}"
            )
        return float(values[self.monitor])

    def improves(self, value: float) -> bool:
        """Whether it is the best so far; remembers it then."""
        if math.isnan(value):
            return False
        if self.best is not None and not (
            self._sign * value < self._sign * self.best - self._min_delta
        ):
            return False
        self.best = value
        return True


class EarlyStopping(Monitor):
    """Ends the run when a value has not become better for some epochs.

    Parameters
    ----------
    monitor : str
        A column of `History`.
    min_delta : float
        By how much it must be better to count.
    patience : int
        After so many epochs without, the run ends.
    mode : str
        "min", "max", or "auto": by the name ("accuracy" rises, "loss" falls).
    restore_best_weights : bool
        Whether the model has the weights of the best epoch in the end, however the run ended.
    start_from_epoch : int
        Epochs before this one (from 0) do not count.

    Attributes
    ----------
    best, best_epoch
        The best value, and the number of its epoch, from 1.
    stopped_epoch
        The number of the epoch after which it ended the run, from 1; None if it did not.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = integer("EarlyStopping", "patience", patience, 0)
        self.restore_best_weights = flag(
            "EarlyStopping", "restore_best_weights", restore_best_weights
        )
        self.start_from_epoch = integer("EarlyStopping", "start_from_epoch", start_from_epoch, 0)
        self._begin()

    def _begin(self) -> None:
        self.wait = 0
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self.best_weights: dict[str, Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self._begin()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.value(logs)
        if epoch < self.start_from_epoch:
            return
        if self.improves(value):
            self.wait, self.best_epoch = 0, epoch + 1
            if self.restore_best_weights:
                self.best_weights = self.model.state_dict()
            return
        self.wait += 1
        if self.wait >= max(self.patience, 1):
            self.stopped_epoch = epoch + 1
            self.trainer.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "wait": self.wait,
            "best_epoch": self.best_epoch,
            "stopped_epoch": self.stopped_epoch,
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.wait = state["best"], state["wait"]
        self.best_epoch, self.stopped_epoch = state["best_epoch"], state["stopped_epoch"]
        self.best_weights = state["best_weights"]


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rates by a factor when a value has not become better for a while.

    Parameters
    ----------
    monitor, mode, min_delta
        As for `EarlyStopping`.
    factor : float
        In (0, 1).
    patience : int
        After so many epochs without improvement.
    cooldown : int
        Epochs after a reduction that do not count.
    min_lr : float
        Rates do not fall below.
    """

    _sets_rate = True

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        name = "ReduceLROnPlateau"
        self.factor = number(name, "factor", factor)
        if not 0 < self.factor < 1:
            raise ValueError(f"{name}: factor must be between 0 and 1, got {factor!r}")
        self.patience = integer(name, "patience", patience, 0)
        self.cooldown = integer(name, "cooldown", cooldown, 0)
        self.min_lr = number(name, "min_lr", min_lr)
        self.wait = self.cooling = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self.wait = self.cooling = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.value(logs)
        if self.cooling > 0:
            self.cooling -= 1
            self.wait = 0
        if self.improves(value):
            self.wait = 0
        elif self.cooling == 0:
            self.wait += 1
            if self.wait >= max(self.patience, 1):
                for group in self.trainer.optimizer.param_groups:
                    if group["lr"] > self.min_lr:
                        group["lr"] = max(float(group["lr"]) * self.factor, self.min_lr)
                self.cooling, self.wait = self.cooldown, 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "wait": self.wait, "cooling": self.cooling}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.wait, self.cooling = state["best"], state["wait"], state["cooling"]


class TerminateOnNaN(Callback):
    """Ends the run quietly at a loss that is infinite or not a number, instead of an error.

    The batch is not trained on and its epoch not recorded. `message` says what was found: step,
    sample, and the first layer whose output is not finite; None if nothing was. It is printed
    unless ``verbose=0``.
    """

    message: str | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.message = None
