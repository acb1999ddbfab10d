"""Max pooling.

Forward takes the maximum position by position, then looks for the first cell equal to it; a running
maximum with masked copies and sliding_window_view with argmax were slower. Backward scatters with
add.at; adding under a mask position by position, and bincount, were slower.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from ._arrays import Array, Pair, pair, silent
from ._windows import Axis, output_size, taps


def pool_output_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """Return the number of windows along one axis.

    floor or, with ceil_mode, ceil of (size + 2 padding - dilation (kernel - 1) - 1) / stride, + 1;
    less one if the last window would start beyond the input, in the right padding. Raises
    ValueError for padding over half the window's extent and for a window of padding alone.
    """
    outputs = output_size(size, kernel, stride, padding, dilation, stride - 1 if ceil_mode else 0)
    if 2 * padding > dilation * (kernel - 1) + 1:
        raise ValueError(
            f"padding must be at most half the window, got {padding} for "
            f"a window of {kernel} with dilation {dilation}"
        )
    if ceil_mode and (outputs - 1) * stride >= size + padding:
        outputs -= 1
    # A window that starts in the left padding reaches the input, but dilation may step over it.
    starts = range(-padding, min(0, outputs * stride - padding), stride)
    if dilation > size and any(start % dilation >= size for start in starts):
        raise ValueError(
            f"a window of {kernel} with dilation {dilation} would hold padding only "
            f"in an input of {size} with padding {padding}"
        )
    return outputs


def _pool_axes(
    shape: Sequence[int],
    kernel: Pair,
    stride: Pair | None,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
) -> tuple[Axis, Axis]:
    if min(shape[-3:]) < 1:
        raise ValueError(f"max_pool2d: channels, height and width must be positive, got {shape}")
    stride = kernel if stride is None else stride
    windows = zip(
        shape[-2:], pair(kernel), pair(stride), pair(padding), pair(dilation), strict=True
    )
    rows, columns = (Axis(pool_output_size(*window, ceil_mode), *window) for window in windows)
    return rows, columns


@silent
def max_pool2d(
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    """Return the maximum of each window and its index, for x (N, C, H, W) or (C, H, W).

    The index is the winner's position i * KW + j within its window: the first NaN, else the first
    of the greatest cells in row-major order; never padding. It is a byte for windows of up to 255
    cells. y and index are (..., OH, OW). stride is by default kernel_size.
    """
    rows, columns = _pool_axes(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    shape = (*x.shape[:-2], rows.outputs, columns.outputs)
    y = np.full(shape, -np.inf, x.dtype)
    for _, _, outputs, cells in taps(rows, columns):
        np.maximum(y[outputs], x[cells], out=y[outputs])

    area = rows.kernel * columns.kernel
    index = np.zeros(shape, np.uint8 if area <= 255 else np.uint16 if area <= 65535 else np.int64)
    ahead = np.ones(shape, bool)  # Windows whose winner is not met yet.
    has_nan = np.isnan(y).any()
    for _, _, outputs, cells in taps(rows, columns):
        loses = x[cells] != y[outputs]
        if has_nan:
            loses &= ~np.isnan(x[cells])
        ahead[outputs] &= loses
        index += ahead  # The index is the number of positions before the winner.
    return y, index


@silent
def max_pool2d_backward(
    grad: Array,
    index: Array,
    input_shape: Sequence[int],
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Array:
    """Return dx of input_shape: each grad (..., OH, OW) added to the cell its index names."""
    rows, columns = _pool_axes(input_shape, kernel_size, stride, padding, dilation, ceil_mode)
    shape = (*input_shape[:-2], rows.outputs, columns.outputs)
    if not grad.shape == index.shape == shape:
        raise ValueError(
            f"max_pool2d: grad and index have shapes {grad.shape} and {index.shape}, "
            f"expected {shape}"
        )
    planes = prod(input_shape[:-2])

    def flat(down: Array, right: Array) -> Array:
        return down[:, None] * columns.size + right

    within_window = flat(
        np.arange(rows.kernel) * rows.dilation, np.arange(columns.kernel) * columns.dilation
    )
    window = flat(
        np.arange(rows.outputs) * rows.stride - rows.padding,
        np.arange(columns.outputs) * columns.stride - columns.padding,
    )
    plane = np.arange(planes)[:, None, None] * (rows.size * columns.size)
    winner = plane + window + within_window.ravel()[index.reshape(planes, *window.shape)]
    dx = np.zeros(prod(input_shape), grad.dtype)
    np.add.at(dx, winner.ravel(), grad.ravel())
    return dx.reshape(input_shape)
