"""What the image sets share: the type they return, the check of ``dtype``, the scaling."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

# (images, labels) of one part of a data set, and the two parts of a whole one.
Part: TypeAlias = tuple[NDArray[Any], NDArray[np.int64]]
Split: TypeAlias = tuple[Part, Part]


def check_dtype(
    caller: str, dtype: DTypeLike, allowed: tuple[type[np.generic], ...]
) -> np.dtype[Any]:
    """Return ``dtype`` as a NumPy dtype, or raise TypeError if it is not an allowed one."""
    expected = " or ".join(kind.__name__ for kind in allowed)
    # NumPy reads None as float64; a caller who passes it more likely forgot something.
    if dtype is None:
        raise TypeError(f"{caller}: dtype must be {expected}, got None")
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError) as error:  # all of them NumPy's answers
        raise TypeError(f"{caller}: dtype must be {expected}, got {dtype!r}") from error
    # Byte order counts: '>f4' is not float32 to the kernels on a little-endian machine.
    if found not in [np.dtype(kind) for kind in allowed]:
        raise TypeError(f"{caller}: dtype must be {expected}, got {found!r}")
    return found


def as_unit_range(images: NDArray[np.uint8], maximum: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return images of 0..maximum as a new array of ``dtype`` in [0, 1].

    One correctly rounded division per pixel, the value that ``images.astype(dtype) / maximum``
    has, without the second array of that expression.
    """
    scaled: NDArray[Any] = np.divide(images, dtype.type(maximum), dtype=dtype)
    return scaled
