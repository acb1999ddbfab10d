"""What schedules share: counting, assigning rates, and their state."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from nncore.nn.arguments import integer
from nncore.optim.optimizer import Group, Optimizer


class LRScheduler:
    """The base of schedules; one of one's own defines `get_lr`.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set. A schedule that is built takes its first rate at once.
    last_epoch : int
        -1 to begin; another number resumes, where the groups know their "initial_lr".

    Attributes
    ----------
    last_epoch : int
        Steps taken.
    base_lrs : list of float
        The rate that each group began with.
    """

    optimizer: Optimizer
    # What state_dict leaves out.
    _not_state: tuple[str, ...] = ("optimizer",)

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self._attach(optimizer)
        self.last_epoch = integer(self._name, "last_epoch", last_epoch, -1)
        for at, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ValueError(
                    f"{self._name}: last_epoch is {last_epoch}, but param_groups[{at}] has no"
                    " 'initial_lr' to resume from"
                )
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self._begin()

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _attach(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{self._name}: optimizer must be an Optimizer, got {type(optimizer).__name__}"
            )
        self.optimizer = optimizer

    def _begin(self) -> None:
        """The first rate, which is no change for most schedules."""
        self._first = True
        try:
            self.step()
        finally:
            self._first = False

    # ---- what each schedule defines

    def get_lr(self) -> list[float]:
        """The rate of each group after `last_epoch` steps, from the rates there are now."""
        raise NotImplementedError(f"{self._name}: define get_lr() -> a rate for each group")

    def _closed_lr(self) -> list[float]:
        """The same from the rates at the beginning, where that is known."""
        return self.get_lr()

    # ---- stepping

    def step(self) -> None:
        """Take the next rate."""
        self.last_epoch += 1
        self._assign(self.get_lr())

    def _restart(self) -> None:
        """Begin in the midst of a sequence: the rates of step 0."""
        self.last_epoch = 0
        self._assign(self._closed_lr())

    def _assign(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._rates()

    def get_last_lr(self) -> list[float]:
        """The rates assigned last, one for each group."""
        return list(self._last_lr)

    @property
    def _groups(self) -> list[Group]:
        return self.optimizer.param_groups

    def _rates(self) -> list[float]:
        """The rates as they are now."""
        return [float(group["lr"]) for group in self._groups]

    def _scaled(self, factor: float) -> list[float]:
        return [rate * factor for rate in self._rates()]

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser, as numbers, strings and lists that JSON can hold."""
        left_out = (*self._not_state, "_first")
        return copy.deepcopy({k: v for k, v in self.__dict__.items() if k not in left_out})

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state; the optimiser's rates come with its own state.

        Raises
        ------
        TypeError, ValueError
            It is no mapping, names are missing or unexpected, or a value is of another kind; all
            are listed, and nothing has been changed.
        """
        self.__dict__.update(self._checked(state_dict))

    def _checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(given, Mapping):
            raise TypeError(f"{self._name}: state_dict must be a mapping, got {given!r}")
        own = self.state_dict()
        faults = [f"{key} is missing" for key in own if key not in given]
        faults += [f"{key} is unexpected" for key in given if key not in own]
        faults += [
            f"{key} is {given[key]!r}, expected something like {value!r}"
            for key, value in own.items()
            if key in given and not alike(given[key], value)
        ]
        if faults:
            raise ValueError(
                f"{self._name}: state_dict does not fit, nothing was loaded: {'; '.join(faults)}"
            )
        return copy.deepcopy({key: given[key] for key in own})

    def __repr__(self) -> str:
        return f"{self._name}(last_epoch={self.last_epoch}, lr={self.get_last_lr()})"


def alike(given: Any, own: Any) -> bool:
    """Whether a value of a state may stand for another: numbers for numbers, lists for lists."""
    if isinstance(own, bool) or isinstance(given, bool):
        return isinstance(own, bool) and isinstance(given, bool)
    if isinstance(own, (int, float)):
        return isinstance(given, (int, float))
    if isinstance(own, list):
        return isinstance(given, (list, tuple)) and all(
            any(alike(value, other) for other in own) for value in given
        )
    if isinstance(own, dict):
        return isinstance(given, Mapping)
    return type(given) is type(own) or own is None or given is None
