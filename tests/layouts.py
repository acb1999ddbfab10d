"""The same values in every memory layout a user may bring.

Each function returns an array equal to `values` (shape, dtype, every bit) that lies in memory as
its name says. Gaps hold NaN, so that whoever reads one shows it.
"""

import numpy as np


def contiguous(values):
    return np.array(values, order="C")


def fortran(values):
    return np.array(values, order="F")


def strided(values):
    """Every second element of every axis."""
    wide = _gaps([2 * size for size in values.shape], values.dtype)
    view = wide[(..., *(slice(None, None, 2) for _ in values.shape))]
    view[...] = values
    return view


def sliced(values):
    """Rows as they are, but cut out of a larger array."""
    wide = _gaps([size + 3 for size in values.shape], values.dtype)
    view = wide[(..., *(slice(1, size + 1) for size in values.shape))]
    view[...] = values
    return view


def negative(values):
    """Last element first in memory, along every axis."""
    back = (..., *(slice(None, None, -1) for _ in values.shape))
    return np.array(values[back], order="C")[back]


def read_only(values):
    array = np.array(values, order="C")
    array.flags.writeable = False
    return array


def misaligned(values):
    """C order, one byte beside where its elements should begin."""
    raw = np.empty(values.nbytes + 1, np.uint8)
    array = raw[1:].view(values.dtype).reshape(values.shape)
    array[...] = values
    return array


def channels_last(values):
    """(..., C, H, W) whose memory is (..., H, W, C); C order for fewer than three axes."""
    if values.ndim < 3:
        return contiguous(values)
    return np.moveaxis(np.array(np.moveaxis(values, -3, -1), order="C"), -1, -3)


def _gaps(shape, dtype):
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 0, dtype)


# name -> function, for pytest.mark.parametrize("layout", LAYOUTS)
LAYOUTS = {
    function.__name__: function
    for function in (
        contiguous,
        fortran,
        strided,
        sliced,
        negative,
        read_only,
        misaligned,
        channels_last,
    )
}
