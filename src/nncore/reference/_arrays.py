"""What every operation of the reference needs to speak of arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Scalar = np.floating[Any]
Pair = int | Sequence[int]
"""A size for both axes, or (height, width)."""

silent = np.errstate(all="ignore")
"""NaN and inf follow IEEE arithmetic without a warning, as they do in the engine."""


def pair(value: Pair) -> tuple[int, int]:
    """Return (height, width)."""
    height, width = (value, value) if isinstance(value, int) else value
    return height, width
