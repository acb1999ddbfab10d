"""Arrays of layers and optimisers: element types, aligned memory, values on their way in."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore._core import engine

Array = NDArray[Any]

# A cache line, and the widest vector of any instruction set: columns of one array never share a
# line with another array, and vector loads never straddle two.
ALIGNMENT = 64
# A loop that reads and writes several arrays side by side waits for its own stores where one array
# begins a little behind another, modulo 4096: processors compare these bits of addresses first. So
# arrays long enough for the loop to matter all begin at a multiple of it, but not those that no
# near cache holds: there it is of no use, and costs.
PAGE = 4096
LONG = range(4 * PAGE, 32 * PAGE)  # bytes


def element_type(dtype: DTypeLike, layer: str) -> np.dtype[Any]:
    """`dtype` as float32 or float64; anything else is a TypeError that names the layer."""
    try:
        # np.dtype(None) is float64; here it is an argument that was forgotten rather than meant.
        result = np.dtype("V" if dtype is None else dtype).newbyteorder("=")
    except TypeError:
        result = np.dtype("V")
    if result.kind != "f" or result.itemsize not in (4, 8):
        raise TypeError(f"{layer}: dtype must be float32 or float64, got {dtype!r}")
    return result


def element_type_of(x: Any) -> np.dtype[Any]:
    """The element type of `x` where no parameter decides: its own, else float32."""
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize in (4, 8):
        return dtype.newbyteorder("=")
    return np.dtype(np.float64 if str(dtype) == "torch.float64" else np.float32)


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any], layer: str) -> Array:
    """A C-ordered array of zeros whose first element stands at a multiple of `ALIGNMENT`.

    Raises
    ------
    MemoryError
        When there is not that much.
    """
    size = dtype.itemsize
    for extent in shape:
        size *= extent
    try:
        alignment = PAGE if size in LONG else ALIGNMENT
        if size > np.iinfo(np.intp).max - alignment:
            raise MemoryError
        # Zeroed pages come from the operating system untouched: an array that is never used costs
        # nothing.
        memory = np.zeros(size + alignment, dtype=np.uint8)
    except MemoryError:
        raise MemoryError(
            f"{layer}: no memory for an array of shape {shape}, {size} bytes"
        ) from None
    start = -memory.ctypes.data % alignment
    return memory[start : start + size].view(dtype).reshape(shape)


def value(x: Any, dtype: np.dtype[Any], layer: str, arg: str) -> Array:
    """`x`, an array, a PyTorch tensor or nested lists of floats, as an array of `dtype`."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
    return engine.floating(x, dtype, layer, arg)
