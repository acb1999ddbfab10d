"""The range test: which learning rates a network can be trained with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Of the running mean of losses, and when it has grown beyond use.
_SMOOTHING, _DIVERGED = 0.9, 4.0
_FEWEST = 5


class RateRange(NamedTuple):
    """What `Trainer.lr_find` measured.

    Attributes
    ----------
    rates, losses : array
        The learning rates tried, growing by a constant factor, and the loss at each.
    smoothed : array
        A running mean of the losses.
    suggestion : float or None
        The rate at which the smoothed loss falls fastest; None where it never falls.
    """

    rates: Floats
    losses: Floats
    smoothed: Floats
    suggestion: float | None

    def plot(self, ax: Any = None) -> Any:
        """Draw loss over learning rate, the suggestion marked; returns the matplotlib Axes."""
        from nncore.training.pictures import plot_rates

        return plot_rates(self, ax)


def range_test(
    batches: Iterator[Any],
    train: Callable[[Any, float], float],
    first: float,
    last: float,
    steps: int,
) -> RateRange:
    """Train a batch at each rate until the loss explodes; the caller restores what was before."""
    rates = first * (last / first) ** (np.arange(steps) / max(steps - 1, 1))
    losses: list[float] = []
    smoothed: list[float] = []
    mean, best = 0.0, math.inf
    for at, rate in enumerate(rates):
        loss = train(next(batches), float(rate))
        if not math.isfinite(loss):
            break
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        losses.append(loss)
        smoothed.append(mean / (1 - _SMOOTHING ** (at + 1)))
        best = min(best, smoothed[-1])
        if at >= _FEWEST and smoothed[-1] > _DIVERGED * best:
            break
    tried, curve = rates[: len(losses)], np.array(smoothed)
    return RateRange(tried, np.array(losses), curve, _steepest(tried, curve))


def _steepest(rates: Floats, curve: Floats) -> float | None:
    """Where the curve falls fastest, up to its lowest point."""
    if len(curve) < _FEWEST:
        return None
    end = int(curve.argmin()) + 1
    if end < 2:
        return None
    slopes = np.gradient(curve[:end], np.log(rates[:end]))
    at = int(slopes.argmin())
    return float(rates[at]) if slopes[at] < 0 else None
