"""Schedules that multiply: by steps, at milestones, exponentially, by a function."""

from collections.abc import Callable, Iterable, Sequence

from nncore.nn.arguments import integer
from nncore.optim.checks import number
from nncore.optim.lr_scheduler.scheduler import LRScheduler
from nncore.optim.optimizer import Optimizer


class StepLR(LRScheduler):
    """Every `step_size` steps the rates are multiplied by `gamma`."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = integer("StepLR", "step_size", step_size, 1)
        self.gamma = number("StepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        turn = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return self._scaled(self.gamma) if turn else self._rates()

    def _closed_lr(self) -> list[float]:
        factor = self.gamma ** (self.last_epoch // self.step_size)
        return [base * factor for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """At each of the milestones the rates are multiplied by `gamma`, twice at one given twice."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(integer("MultiStepLR", "milestones", m, 0) for m in milestones)
        self.gamma = number("MultiStepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        count = self.milestones.count(self.last_epoch)
        return self._scaled(self.gamma**count) if count else self._rates()

    def _closed_lr(self) -> list[float]:
        factor = self.gamma ** sum(m <= self.last_epoch for m in self.milestones)
        return [base * factor for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """At each step the rates are multiplied by `gamma`."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return self._rates() if self._first else self._scaled(self.gamma)

    def _closed_lr(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class LambdaLR(LRScheduler):
    """The initial rate of each group times what a function says for the number of steps.

    Parameters
    ----------
    lr_lambda : callable or list of callable
        Called with `last_epoch`; one for all groups, or one each. It is not part of the state.
    """

    _not_state = ("optimizer", "lr_lambdas")

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        count = len(optimizer.param_groups)
        listed = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(listed) != count or not all(callable(each) for each in listed):
            raise ValueError(
                f"LambdaLR: lr_lambda must be a function, or {count} of them, got {lr_lambda!r}"
            )
        self.lr_lambdas = listed
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * float(each(self.last_epoch)) for base, each in pairs]
