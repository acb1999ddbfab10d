"""Schedules one after the other."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from nncore.nn.arguments import integer
from nncore.optim.lr_scheduler.plateau import ReduceLROnPlateau
from nncore.optim.lr_scheduler.scheduler import LRScheduler
from nncore.optim.optimizer import Optimizer


class SequentialLR(LRScheduler):
    """Schedules one after the other: the first up to the first milestone, and so on.

    Each begins anew at its milestone, from the rates the optimiser began with.

    Parameters
    ----------
    schedulers : list of LRScheduler
        Of this optimiser.
    milestones : list of int
        The steps at which the next one takes over: one fewer than schedules, rising.
    """

    _not_state = ("optimizer", "_schedulers")

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        self._schedulers = list(schedulers)
        if not self._schedulers:
            raise ValueError("SequentialLR: schedulers is empty, expected one at least")
        for at, each in enumerate(self._schedulers):
            if not isinstance(each, LRScheduler):
                raise TypeError(
                    f"SequentialLR: schedulers[{at}] must be a schedule, got {type(each).__name__}"
                )
            if isinstance(each, ReduceLROnPlateau):
                raise ValueError(
                    f"SequentialLR: schedulers[{at}] is a ReduceLROnPlateau, whose step needs a"
                    " measure"
                )
            if each.optimizer is not optimizer:
                raise ValueError(f"SequentialLR: schedulers[{at}] belongs to another optimizer")
        self.milestones = [integer("SequentialLR", "milestones", m, 0) for m in milestones]
        if len(self.milestones) != len(self._schedulers) - 1:
            raise ValueError(
                f"SequentialLR: milestones must be {len(self._schedulers) - 1}, one fewer than"
                f" schedulers, got {len(self.milestones)}"
            )
        if self.milestones != sorted(self.milestones):
            raise ValueError(f"SequentialLR: milestones must rise, got {milestones!r}")
        self.last_epoch = integer("SequentialLR", "last_epoch", last_epoch, -1) + 1
        # Each took its first rate when it was built: taken back, for all but the one that begins.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._undo()
        first = self._schedulers[bisect_right(self.milestones, 0)]
        first._begin()
        self._last_lr = first.get_last_lr()

    def _undo(self) -> None:
        for each in self._schedulers:
            if isinstance(each, SequentialLR):
                each._undo()
            else:
                each.last_epoch -= 1

    def step(self) -> None:
        """Take the next rate of the schedule whose turn it is."""
        at = bisect_right(self.milestones, self.last_epoch + 1)
        current = self._schedulers[at]
        if at > 0 and self.milestones[at - 1] == self.last_epoch + 1:
            current._restart()
        else:
            current.step()
        self.last_epoch += 1
        self._last_lr = current.get_last_lr()

    def get_lr(self) -> list[float]:
        """The rates as they are now."""
        return self._rates()

    def state_dict(self) -> dict[str, Any]:
        """As of all schedules, with those of its parts under "schedulers"."""
        return {**super().state_dict(), "schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As of all schedules: all or nothing, its parts included."""
        checked = self._checked(state_dict)
        for each, part in zip(self._schedulers, checked.pop("schedulers"), strict=True):
            each.load_state_dict(part)
        self.__dict__.update(checked)

    def _checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        checked = super()._checked(given)
        parts = checked["schedulers"]
        if len(parts) != len(self._schedulers):
            raise ValueError(
                f"SequentialLR: state_dict has {len(parts)} schedulers, expected"
                f" {len(self._schedulers)}"
            )
        for each, part in zip(self._schedulers, parts, strict=True):
            each._checked(part)
        return checked
