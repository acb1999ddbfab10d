"""Callbacks: what is called at the turns of a training run, under Keras' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nncore.nn.module import Module

if TYPE_CHECKING:
    from nncore.training.trainer import Trainer

Logs = dict[str, Any]


class Callback:
    """The base of callbacks: override the hooks that are wanted.

    Within a fit `trainer` is the Trainer, and `params` holds "epochs" (the number of the last
    one), "steps" (batches an epoch, None where a loader does not say), "batch_size", "samples",
    "verbose" and "validation". ``self.trainer.stop_training = True`` ends the run after the
    batch, or the epoch.

    Epochs and batches count from 0 in hooks, as in Keras; the table, `History` and files count
    epochs from 1. `logs` of an epoch's end are what `History` has got for it; of a batch's end
    "loss", and "accuracy" for labels: means over the epoch so far, and "batch_loss".

    A callback without batch hooks costs nothing within an epoch, which then is one call of the
    compiled step; one that overrides `on_train_batch_begin` or `on_train_batch_end` makes it a
    call for each batch. What a hook raises ends the run as Ctrl-C does: modes are restored,
    weights are those after the last whole batch.

    A run that is resumed within an epoch does not begin that epoch again: `on_epoch_begin` is not
    called for it, since what it changed is in the checkpoint.
    """

    trainer: Trainer
    params: dict[str, Any]

    # Called after the others at an epoch's end, so that what it saves has what they did.
    _is_last = False
    # Whether it may change the learning rate, which History then records.
    _sets_rate = False
    # Asks for a stop of the engine after so many batches, and is told by `_on_stop`.
    _stop_every: int | None = None

    @property
    def model(self) -> Module:
        """The model that is trained."""
        return self.trainer.model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch; not after an error."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch and its update."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before a validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After a validation, with "loss" and metrics as `logs`."""

    def _on_stop(self) -> None:
        """Called after each `_stop_every` batches within an epoch, all updates done."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of it: numbers, strings, arrays, lists and dicts of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there; called after `on_train_begin` of a resumed run."""


_HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
_BATCH_HOOKS = "on_train_batch_begin", "on_train_batch_end"


class LambdaCallback(Callback):
    """A callback from functions, by the names of the hooks.

    Examples
    --------
    >>> show = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    """

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        for name, hook in hooks.items():
            if name not in _HOOKS:
                raise TypeError(
                    f"LambdaCallback: there is no hook {name}, expected {', '.join(_HOOKS)}"
                )
            if not callable(hook):
                raise TypeError(f"LambdaCallback: {name} must be a function, got {hook!r}")
            setattr(self, name, hook)


class LearningRateScheduler(Callback):
    """Sets the learning rate of all parameter groups before each epoch.

    Parameters
    ----------
    schedule : callable
        Called with the number of the epoch, from 0, and the first group's rate; returns the new
        rate. (Schedulers of `nncore.optim` go to ``Trainer(scheduler=)``.)
    """

    _sets_rate = True

    def __init__(self, schedule: Callable[[int, float], float]) -> None:
        if not callable(schedule):
            raise TypeError(f"LearningRateScheduler: schedule must be a function, got {schedule!r}")
        self.schedule = schedule

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        groups = self.trainer.optimizer.param_groups
        rate = float(self.schedule(epoch, float(groups[0]["lr"])))
        for group in groups:
            group["lr"] = rate


class Callbacks:
    """All callbacks of a fit; knows which hooks anybody listens to."""

    def __init__(self, listed: list[Callback]) -> None:
        self.all = sorted(listed, key=lambda callback: callback._is_last)
        self.has_batch_hooks = any(
            overrides(callback, hook) for callback in self.all for hook in _BATCH_HOOKS
        )
        self.set_rate = any(callback._sets_rate for callback in self.all)
        self.stops = sorted({c._stop_every for c in self.all if c._stop_every is not None})
        self._listeners = {
            hook: [callback for callback in self.all if overrides(callback, hook)]
            for hook in _HOOKS
        }

    def begin(self, trainer: Trainer, params: dict[str, Any]) -> None:
        for callback in self.all:
            callback.trainer, callback.params = trainer, dict(params)
        self.call("on_train_begin", logs={})

    def call(self, hook: str, *at: int, logs: Logs) -> None:
        for callback in self._listeners[hook]:
            getattr(callback, hook)(*at, dict(logs))

    def stop(self, before: int, batch: int) -> None:
        """The engine has stopped after so many batches of the epoch, the last time before."""
        for callback in self.all:
            every = callback._stop_every
            if every is not None and batch // every > before // every:
                callback._on_stop()

    def state_dict(self) -> list[dict[str, Any]]:
        return [{"class": type(c).__name__, "state": c.state_dict()} for c in self.all]

    def load_state_dict(self, states: list[Any]) -> None:
        """The n-th of a class gets the n-th state of that class."""
        left = list(states)
        for callback in self.all:
            for entry in left:
                if entry["class"] == type(callback).__name__:
                    try:
                        callback.load_state_dict(entry["state"])
                    except (KeyError, TypeError) as error:
                        raise ValueError(
                            f"{entry['class']}: its state in the checkpoint does not fit: {error!r}"
                        ) from None
                    left.remove(entry)
                    break


def overrides(callback: Callback, hook: str) -> bool:
    """Whether anything would happen in that hook."""
    return hook in vars(callback) or getattr(type(callback), hook) is not getattr(Callback, hook)


def callbacks_of(function: str, given: Any) -> list[Callback]:
    """The callbacks that an argument lists."""
    if given is None:
        return []
    if isinstance(given, Callback):
        return [given]
    try:
        listed = list(given)
    except TypeError:
        listed = [given]
    for callback in listed:
        if not isinstance(callback, Callback):
            kind = (
                f"the class {callback.__name__}: write {callback.__name__}(...), an object"
                if isinstance(callback, type)
                else type(callback).__name__
            )
            raise TypeError(
                f"{function}: callbacks must be objects of classes derived from"
                f" nncore.training.Callback, got {kind}"
            )
    if len({id(callback) for callback in listed}) != len(listed):
        raise ValueError(f"{function}: the same callback is there twice")
    return listed
