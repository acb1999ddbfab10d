"""Numerical slopes of a function of an array's elements, and whether it has one there.

Central differences tell the derivative of a smooth function only. At a kink (ReLU at 0) or a tie
(two equal maxima of a window) the slopes to the left and to the right differ however short the
step, and any number between them may be called the gradient.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nncore.nn.arrays import Array

EPSILON = float(np.finfo(np.float64).eps)
# Slopes that differ by less than this part of themselves are one.
SAME = 1e-4
SHORTER = 8.0


class Slope(NamedTuple):
    """Of sum(weight * f) along one direction."""

    low: float  # the smaller of left and right, output by output
    high: float
    central: float
    size: float  # sum of the magnitudes: what `low` and `high` are compared with
    noise: float  # by which rounding may have changed them
    smooth: bool

    @property
    def gap(self) -> float:
        return self.high - self.low

    def distance(self, analytic: float) -> float:
        """How far `analytic` lies outside of what is allowed: not at all between the slopes."""
        if not np.isfinite(analytic):
            return float("inf")
        return max(self.low - analytic, analytic - self.high, 0.0)


def slope(
    evaluate: Callable[[], Array],
    here: Array,
    moved: Array,
    direction: Array,
    weight: Array,
    step: float,
) -> Slope:
    """The slope of ``sum(weight * evaluate())`` where `moved` goes along `direction`.

    `here` is evaluate() as it is now; `moved` is what `evaluate` reads, as before afterwards. Where
    left and right differ the step is shortened twice: curvature and a kink nearby leave, one in
    the very place stays.
    """
    first = _measure(evaluate, here, moved, direction, weight, step)
    if first.gap <= SAME * first.size + first.noise:
        return first._replace(smooth=True)
    last = first
    for _ in range(2):
        step /= SHORTER
        shorter = _measure(evaluate, here, moved, direction, weight, step)
        if shorter.gap <= max(last.gap / 2, SAME * shorter.size) + shorter.noise:
            return shorter._replace(smooth=True)
        last = shorter
    return last


def _measure(
    evaluate: Callable[[], Array],
    here: Array,
    moved: Array,
    direction: Array,
    weight: Array,
    step: float,
) -> Slope:
    kept = moved.copy()
    try:
        moved[...] = kept + step * direction
        there = evaluate()
        moved[...] = kept - step * direction
        back = evaluate()
    finally:
        moved[...] = kept
    right, left = weight * (there - here) / step, weight * (here - back) / step
    scale = np.maximum(np.abs(here), np.maximum(np.abs(there), np.abs(back)))
    return Slope(
        low=float(np.minimum(left, right).sum()),
        high=float(np.maximum(left, right).sum()),
        central=float((left + right).sum() / 2),
        size=float(np.maximum(np.abs(left), np.abs(right)).sum()),
        noise=8 * EPSILON * float((np.abs(weight) * scale).sum()) / step,
        smooth=False,
    )
