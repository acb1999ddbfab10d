"""How gradients become an update: clipped, accumulated over batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from nncore.nn.arguments import integer, number
from nncore.nn.parameter import Parameter
from nncore.nn.utils import clip_grad_norm_, clip_grad_value_
from nncore.optim import Optimizer


class Rule(NamedTuple):
    """What happens to gradients before the optimiser's step."""

    clip_norm: float | None = None
    clip_value: float | None = None
    accumulate: int = 1

    @property
    def is_plain(self) -> bool:
        """Nothing does."""
        return self == Rule()

    def clip(self, parameters: list[Parameter]) -> None:
        """Clip the gradients in place, by norm, then by value."""
        if self.clip_norm is not None:
            clip_grad_norm_(parameters, self.clip_norm)
        if self.clip_value is not None:
            clip_grad_value_(parameters, self.clip_value)

    @contextmanager
    def given_to(self, optimizer: Any) -> Iterator["Rule"]:
        """Within, the optimizer clips by itself where it can; the rule that is left."""
        if not isinstance(optimizer, Optimizer):
            yield self
            return
        own = optimizer
        before = own.max_grad_norm, own.max_grad_value
        try:
            if self.clip_norm is not None:
                own.max_grad_norm = self.clip_norm
            if self.clip_value is not None:
                own.max_grad_value = self.clip_value
            yield Rule(accumulate=self.accumulate)
        finally:
            if (own.max_grad_norm, own.max_grad_value) != before:
                own.max_grad_norm, own.max_grad_value = before


def rule_of(function: str, clip_grad_norm: Any, clip_grad_value: Any, accumulate: Any) -> Rule:
    """The arguments of `fit`, checked."""

    def positive(name: str, given: Any) -> float | None:
        if given is None:
            return None
        value = number(function, name, given)
        if value <= 0:
            raise ValueError(f"{function}: {name} must be positive, got {given!r}")
        return value

    return Rule(
        positive("clip_grad_norm", clip_grad_norm),
        positive("clip_grad_value", clip_grad_value),
        integer(function, "accumulate", accumulate, 1),
    )
