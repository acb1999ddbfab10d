"""Whether two contestants computed the same: a ratio between different results means nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]


def disagreement(one: Arrays, other: Arrays) -> float:
    """The largest difference, relative to the largest magnitude of the array it is found in.

    Infinite if an array is missing, has another shape, or is not finite where the other one is.
    """
    if one.keys() != other.keys():
        return math.inf
    return max((_difference(one[name], other[name]) for name in one), default=math.inf)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    import numpy as np

    if a.shape != b.shape:
        return math.inf
    if a.size == 0:
        return 0.0
    a, b = a.astype(np.float64), b.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    if not (np.isfinite(a[~same]).all() and np.isfinite(b[~same]).all()):
        return math.inf
    magnitude = max(np.abs(values[np.isfinite(values)]).max() for values in (a, b))
    return float(np.abs(a[~same] - b[~same]).max() / magnitude)
