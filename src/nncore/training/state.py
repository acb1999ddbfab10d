"""What a checkpoint holds of a trainer, and how a trainer goes on from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nncore import nn
from nncore.nn.module import Module
from nncore.training.history import History

if TYPE_CHECKING:
    from nncore.training.trainer import Trainer

Tree = dict[str, Any]

# No module has this name.
_RANDOM = "random streams"


def collect(trainer: Trainer) -> Tree:
    """Everything that decides how training goes on, as plain values and arrays (copies)."""
    position, callbacks = trainer._where()
    return {
        **snapshot(trainer),
        "seed": trainer.seed,
        "loader_seed": trainer._loader_seed,
        "steps": trainer.steps,
        "stopped": bool(trainer.stop_training),
        "history": trainer.history.history,
        "position": position,
        "callbacks": callbacks,
    }


def restore(trainer: Trainer, tree: Mapping[str, Any], path: Any) -> None:
    """Take over what `collect` gave; all or nothing.

    Raises
    ------
    ValueError, TypeError
        The checkpoint is of another model, optimizer or scheduler, or not one.
    """
    history = History()
    history.history = history_of(tree, path)
    history.latest = history.values(len(history)) if len(history) else {}
    kept = position_of(tree, path), callback_states_of(tree, path)
    seed, steps = whole(tree, "seed", path), whole(tree, "steps", path)
    for name in ("optimizer", "scheduler"):
        _check_kind(name, getattr(trainer, name), tree.get(name), path)
    parts = {name: _mapping(tree, name, path) for name in ("model", "modules")}
    with unchanged_after_error(trainer):
        try:
            trainer.model.load_state_dict(parts["model"])
            load_module_states(trainer.model, parts["modules"])
            for name in ("optimizer", "scheduler"):
                entry = tree.get(name)
                if entry is not None:
                    getattr(trainer, name).load_state_dict(entry["state"])
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            # What their own loading says to a file that is not as it should be.
            raise ValueError(f"{path}: does not fit the trainer: {error}") from None
    trainer.seed, trainer.steps, trainer.history = seed, steps, history
    trainer.stop_training = tree.get("stopped") is True
    trainer._kept, trainer._goes_on = kept, True


@contextmanager
def unchanged_after_error(trainer: Trainer) -> Iterator[None]:
    """Where something raises within, model, optimizer and scheduler are as before."""
    with_ = snapshot(trainer)
    try:
        yield
    except BaseException:
        put_back(trainer, with_)
        raise


def snapshot(trainer: Trainer) -> Tree:
    """Model, optimizer and scheduler as they are."""
    return {
        "model": trainer.model.state_dict(),
        "modules": module_states(trainer.model),
        "optimizer": _state_of("optimizer", trainer.optimizer),
        "scheduler": _state_of("scheduler", trainer.scheduler),
    }


def put_back(trainer: Trainer, before: Tree) -> None:
    trainer.model.load_state_dict(before["model"])
    load_module_states(trainer.model, before["modules"])
    for name in ("optimizer", "scheduler"):
        if before[name] is not None:
            getattr(trainer, name).load_state_dict(before[name]["state"])


# ---- modules that keep more than their weights


def module_states(model: Module) -> Tree:
    """What modules keep besides parameters and buffers, by name: counters of random streams.

    A module has it where it defines ``_extra_state() -> dict`` of numbers and arrays, and
    ``_load_extra_state(dict)``. Those of Dropout are `nn.random_state`'s.
    """
    states: Tree = {
        name: module._extra_state()
        for name, module in model.named_modules()
        if hasattr(type(module), "_extra_state")
    }
    return {_RANDOM: nn.random_state(model), **states}


def load_module_states(model: Module, states: Mapping[str, Any]) -> None:
    """Those that are given, to the modules of these names."""
    modules = dict(model.named_modules())
    for name, state in states.items():
        if name == _RANDOM:
            nn.load_random_state(model, state)
            continue
        module = modules.get(name)
        if module is None or not hasattr(type(module), "_load_extra_state"):
            raise ValueError(f"load_checkpoint: there is no module {name!r} that keeps a state")
        module._load_extra_state(state)


# ---- parts of a tree, which may come from anywhere


def history_of(tree: Mapping[str, Any], path: Any) -> dict[str, list[float]]:
    """The columns of the history, of equal length."""
    columns = _mapping(tree, "history", path)
    lengths = {len(column) for column in columns.values() if isinstance(column, list)}
    fits = len(lengths) <= 1 and all(
        isinstance(name, str)
        and isinstance(column, list)
        and all(isinstance(value, (int, float)) for value in column)
        for name, column in columns.items()
    )
    if not fits:
        raise _damaged(path, "history")
    return {name: [float(value) for value in column] for name, column in columns.items()}


def position_of(tree: Mapping[str, Any], path: Any) -> Tree | None:
    """What was counted of an epoch that was under way."""
    position = tree.get("position")
    if position is None:
        return None
    try:
        counted, run = position["tally"], position["run"]
        samples, loss, labels, correct = counted["meter"]
        rate = position["rate"]
        sound = (
            isinstance(run, dict)
            and isinstance(counted["metrics"], dict)
            and isinstance(counted["batches"], int)
            and counted["batches"] > 0
            and min(samples, labels, correct) >= 0
            and not math.isnan(loss)
            and (rate is None or isinstance(rate, float))
        )
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound:
        raise _damaged(path, "position")
    return dict(position)


def callback_states_of(tree: Mapping[str, Any], path: Any) -> list[Any]:
    states = tree.get("callbacks", [])
    if not isinstance(states, list) or not all(
        isinstance(entry, dict) and {"class", "state"} <= set(entry) for entry in states
    ):
        raise _damaged(path, "callbacks")
    return states


def whole(tree: Mapping[str, Any], name: str, path: Any) -> int:
    """A number that counts something."""
    value = tree.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**64:
        raise _damaged(path, name)
    return value


def _mapping(tree: Mapping[str, Any], name: str, path: Any) -> dict[str, Any]:
    value = tree.get(name)
    if not isinstance(value, dict):
        raise _damaged(path, name)
    return value


def _damaged(path: Any, name: str) -> ValueError:
    return ValueError(f"{path}: not a checkpoint, or damaged: {name} is not as it should be")


def _state_of(name: str, part: Any) -> Tree | None:
    if part is None:
        return None
    if not hasattr(part, "state_dict") or not hasattr(part, "load_state_dict"):
        raise TypeError(
            f"save_checkpoint: the {name}, a {type(part).__name__}, has no state_dict and"
            " load_state_dict"
        )
    return {"class": type(part).__name__, "state": part.state_dict()}


def _check_kind(name: str, part: Any, entry: Any, path: Any) -> None:
    """Whether the checkpoint's part is of the class that the trainer has."""
    kind = None if part is None else type(part).__name__
    if entry is not None and not (isinstance(entry, dict) and {"class", "state"} <= set(entry)):
        raise _damaged(path, name)
    saved = None if entry is None else entry["class"]
    if kind != saved:
        raise ValueError(f"{path}: was saved with {name} {saved}, the trainer has {kind}")
