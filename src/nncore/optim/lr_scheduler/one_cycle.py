"""One cycle: up to the largest rate, and down to a very small one."""

import math
from collections.abc import Sequence
from typing import Literal

from nncore.nn.arguments import flag, integer
from nncore.optim.checks import number
from nncore.optim.lr_scheduler.scheduler import LRScheduler
from nncore.optim.optimizer import Group, Optimizer


class OneCycleLR(LRScheduler):
    """From max_lr / div_factor up to `max_lr`, down to a `final_div_factor`-th of the beginning.

    Momentum (of Adam: the first beta) goes the other way. One step a batch, `total_steps` in all.

    Parameters
    ----------
    max_lr : float or list of float
        For all groups, or one each.
    total_steps : int, optional
        Or `epochs` and `steps_per_epoch`, whose product it is.
    pct_start : float
        The part of the steps that goes up.
    anneal_strategy : {"cos", "linear"}
    cycle_momentum : bool
        Whether momentum goes from `max_momentum` down to `base_momentum` and up again.
    base_momentum, max_momentum : float or list of float
    div_factor, final_div_factor : float
    three_phase : bool
        Whether the way down ends at the first rate, and a third phase goes on from there.

    Raises
    ------
    TypeError, ValueError
        An argument is out of range. At a step: it would be one more than `total_steps`.

    Notes
    -----
    Source: Smith and Topin, "Super-convergence: very fast training of neural networks using large
    learning rates" (2018).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    "OneCycleLR: total_steps must be given, or both epochs and steps_per_epoch"
                )
            each = integer("OneCycleLR", "steps_per_epoch", steps_per_epoch, 1)
            total_steps = integer("OneCycleLR", "epochs", epochs, 1) * each
        self.total_steps = integer("OneCycleLR", "total_steps", total_steps, 1)
        if not 0 <= number("OneCycleLR", "pct_start", pct_start) <= 1:
            raise ValueError(f"OneCycleLR: pct_start must be in [0, 1], got {pct_start!r}")
        self.pct_start = float(pct_start)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}"
            )
        self.anneal_strategy = str(anneal_strategy)
        self.three_phase = flag("OneCycleLR", "three_phase", three_phase)
        self.max_lrs = self._each("max_lr", max_lr)
        divisors = [
            number("OneCycleLR", name, value)
            for name, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor))
        ]
        if 0 in divisors:
            raise ValueError(
                f"OneCycleLR: div_factor and final_div_factor must be positive,"
                f" got {div_factor!r} and {final_div_factor!r}"
            )
        self.first_lrs = [rate / divisors[0] for rate in self.max_lrs]
        self.min_lrs = [rate / divisors[1] for rate in self.first_lrs]
        self.cycle_momentum = flag("OneCycleLR", "cycle_momentum", cycle_momentum)
        self.max_momentums = self._each("max_momentum", max_momentum)
        self.base_momentums = self._each("base_momentum", base_momentum)
        if self.cycle_momentum and not {"momentum", "betas"} & set(optimizer.defaults):
            raise ValueError(
                f"OneCycleLR: cycle_momentum must be False, as {type(optimizer).__name__} has"
                " neither momentum nor betas"
            )
        if last_epoch == -1:
            for group, first in zip(optimizer.param_groups, self.first_lrs, strict=True):
                group["initial_lr"] = first
        super().__init__(optimizer, last_epoch)

    def _each(self, name: str, value: float | Sequence[float]) -> list[float]:
        """A number for each group."""
        count = len(self._groups)
        listed = list(value) if isinstance(value, (list, tuple)) else [value] * count
        if len(listed) != count:
            raise ValueError(
                f"OneCycleLR: {name} must have {count} numbers, one a group, got {value!r}"
            )
        return [number("OneCycleLR", name, each) for each in listed]

    def _phase(self) -> tuple[int, int, float]:
        """Between which of the turning points (first, largest, first, lowest) it is, and where."""
        up = self.pct_start * self.total_steps - 1
        ends, points = [up], [0, 1]
        if self.three_phase:
            ends, points = [up, 2 * up], [0, 1, 0]
        ends.append(self.total_steps - 1)
        points.append(2)
        start = 0.0
        for at, end in enumerate(ends):
            if self.last_epoch <= end or at == len(ends) - 1:
                done = (self.last_epoch - start) / (end - start) if end != start else 1.0
                return points[at], points[at + 1], done
            start = end
        raise RuntimeError("OneCycleLR: no phase")  # not reached: the last one takes all

    def _between(self, start: float, end: float, done: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2 * (math.cos(math.pi * done) + 1)
        return (end - start) * done + start

    def step(self) -> None:
        """Take the next rate; ValueError, and nothing changed, after the last one."""
        if self.last_epoch >= self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {self.last_epoch + 1} is one more than total_steps,"
                f" {self.total_steps}"
            )
        super().step()

    def get_lr(self) -> list[float]:
        start, end, done = self._phase()
        rates = self.first_lrs, self.max_lrs, self.min_lrs
        momenta = self.max_momentums, self.base_momentums, self.max_momentums
        if self.cycle_momentum:
            for at, group in enumerate(self._groups):
                _set_momentum(group, self._between(momenta[start][at], momenta[end][at], done))
        return [
            self._between(rates[start][at], rates[end][at], done) for at in range(len(self._groups))
        ]


def _set_momentum(group: Group, value: float) -> None:
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value
