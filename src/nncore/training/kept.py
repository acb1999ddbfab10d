"""Compiled steps that a trainer keeps from one call to the next.

To compile the step of a small network takes as long as hundreds of its batches; a program that
calls `fit` epoch by epoch would spend more time on that than on training.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nncore._core import engine
from nncore.compiler import Step
from nncore.nn.module import Module
from nncore.optim import Optimizer

_BYTES = 1 << 22  # of a step's arena at most: the batches of a larger one outweigh compiling
_STEPS = 2  # one for `fit`, one for an `evaluate` from its callbacks


class _Kept(NamedTuple):
    step: Step
    settings: tuple[Any, ...]  # that it was compiled under


class KeptSteps:
    """Compiled steps that nobody uses. Who takes one has it alone: threads may share a trainer."""

    def __init__(self) -> None:
        self._kept: list[_Kept] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return KeptSteps, ()  # a copy of the trainer has models of its own

    def take(
        self,
        model: Module,
        loss_fn: Any,
        optimizer: Optimizer | None,
        sample: tuple[int, ...],
        batch: int,
    ) -> Step | None:
        """A step that compiling would make now, or the same with more room."""
        settings = _settings()
        while self._kept:
            try:
                step, compiled_under = self._kept.pop()
            except IndexError:  # another thread was faster
                break
            if (
                compiled_under == settings
                and step._is_for(sample, batch)
                and step.model is model
                and step.loss_fn is loss_fn
                and step.optimizer is optimizer
            ):
                return step
        return None

    def give_back(self, step: Step) -> None:
        """Keep a step for the next call, where that is worth it."""
        small = step.memory <= _BYTES
        if small and step.loss_fn is not None and not _reads_arrays(step.loss_fn):
            # In place, never a new list: a step that another thread takes meanwhile would be in it.
            self._kept.append(_Kept(step, _settings()))
            del self._kept[:-_STEPS]


def _settings() -> tuple[Any, ...]:
    """What a step is compiled under besides its arguments and the structure of its model."""
    return engine.winograd_get(), engine.isa_active()


def _reads_arrays(loss_fn: Any) -> bool:
    """Whether the loss has arrays, which may be changed in place, and the step copies of them."""
    return any(hasattr(each, "dtype") for name, each in vars(loss_fn).items() if name[0] != "_")
