"""A schedule that waits until there is no progress."""

import math
from collections.abc import Sequence
from typing import Literal, SupportsFloat

from nncore.nn.arguments import integer
from nncore.optim.checks import number
from nncore.optim.lr_scheduler.scheduler import LRScheduler
from nncore.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rates by `factor` when a measure has not improved for `patience` steps.

    Call ``scheduler.step(measure)``, for example with the validation loss.

    Parameters
    ----------
    mode : {"min", "max"}
        Whether the measure shall fall or rise.
    factor : float
        Below 1.
    patience : int
        Steps without improvement that are let pass.
    threshold, threshold_mode : float, {"rel", "abs"}
        What counts as an improvement: by this part of the best value, or by this much.
    cooldown : int
        Steps after a change in which nothing is counted.
    min_lr : float or list of float
        No rate falls below it; for all groups, or one each.
    eps : float
        A change smaller than this is not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        self._attach(optimizer)
        self.factor = number(name, "factor", factor, below=1.0)
        for argument, value, known in (
            ("mode", mode, ("min", "max")),
            ("threshold_mode", threshold_mode, ("rel", "abs")),
        ):
            if value not in known:
                raise ValueError(f"{name}: {argument} must be one of {known}, got {value!r}")
        self.mode, self.threshold_mode = str(mode), str(threshold_mode)
        self.patience = integer(name, "patience", patience, 0)
        self.threshold = number(name, "threshold", threshold)
        self.cooldown = integer(name, "cooldown", cooldown, 0)
        count = len(optimizer.param_groups)
        listed = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * count
        if len(listed) != count:
            raise ValueError(
                f"{name}: min_lr must have {count} numbers, one a group, got {min_lr!r}"
            )
        self.min_lrs = [number(name, "min_lr", each) for each in listed]
        self.eps = number(name, "eps", eps)
        self.last_epoch = 0
        # None until the first step, rather than infinity, which JSON does not know.
        self.best: float | None = None
        self.cooldown_counter = self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def _improves(self, value: float) -> bool:
        sign = 1.0 if self.mode == "min" else -1.0
        best = sign * math.inf if self.best is None else self.best
        if self.threshold_mode == "abs":
            bound = best - sign * self.threshold
        else:
            bound = best * (1 - sign * self.threshold)
        return value < bound if self.mode == "min" else value > bound

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Count a measure, and lower the rates where it is time."""
        value = float(metrics)
        self.last_epoch += 1
        if self._improves(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        rates = self._rates()
        if self.num_bad_epochs > self.patience:
            lowest = self.min_lrs + self.min_lrs[-1:] * (len(rates) - len(self.min_lrs))
            lower = [max(r * self.factor, low) for r, low in zip(rates, lowest, strict=True)]
            pairs = zip(rates, lower, strict=True)
            rates = [new if old - new > self.eps else old for old, new in pairs]
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._assign(rates)

    def get_lr(self) -> list[float]:
        """The rates as they are now: what comes next depends on the measure."""
        return self._rates()
