"""Average pooling: a sum position by position, and a divisor for each window."""

from collections.abc import Sequence

import numpy as np

from ._arrays import Array, Pair, pair, silent
from ._max_pool2d import pool_output_size
from ._windows import Axis, taps


def _axes(
    shape: Sequence[int], kernel: Pair, stride: Pair | None, padding: Pair, ceil_mode: bool
) -> tuple[Axis, Axis]:
    if min(shape[-3:]) < 1:
        raise ValueError(f"avg_pool2d: channels, height and width must be positive, got {shape}")
    stride = kernel if stride is None else stride
    windows = zip(shape[-2:], pair(kernel), pair(stride), pair(padding), (1, 1), strict=True)
    rows, columns = (Axis(pool_output_size(*window, ceil_mode), *window) for window in windows)
    return rows, columns


def _counts(axis: Axis, count_include_pad: bool) -> Array:
    """Return the number of cells of each window along one axis."""
    start = np.arange(axis.outputs) * axis.stride - axis.padding
    end = start + axis.kernel
    if count_include_pad:
        return np.minimum(end, axis.size + axis.padding) - start
    return np.minimum(end, axis.size) - np.maximum(start, 0)


def _divisor(
    rows: Axis, columns: Axis, count_include_pad: bool, divisor_override: int | None
) -> Array:
    """Return what divides the sum of each window, (OH, OW)."""
    counts = _counts(rows, count_include_pad)[:, None] * _counts(columns, count_include_pad)
    return counts if divisor_override is None else np.full_like(counts, divisor_override)


@silent
def avg_pool2d(
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Return the mean of each window, (..., OH, OW), for x (N, C, H, W) or (C, H, W).

    The sum over a window's cells inside the image is divided by their number, with
    count_include_pad by that of its cells inside the padded image, or by divisor_override. stride
    is by default kernel_size.
    """
    rows, columns = _axes(x.shape, kernel_size, stride, padding, ceil_mode)
    y = np.zeros((*x.shape[:-2], rows.outputs, columns.outputs), x.dtype)
    for _, _, outputs, cells in taps(rows, columns):
        y[outputs] += x[cells]
    y /= _divisor(rows, columns, count_include_pad, divisor_override).astype(x.dtype)
    return y


@silent
def avg_pool2d_backward(
    grad: Array,
    input_shape: Sequence[int],
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Return dx of input_shape: each grad (..., OH, OW), divided as its window, to its cells."""
    rows, columns = _axes(input_shape, kernel_size, stride, padding, ceil_mode)
    divisor = _divisor(rows, columns, count_include_pad, divisor_override)
    share = grad / divisor.astype(grad.dtype)
    dx = np.zeros(input_shape, grad.dtype)
    for _, _, outputs, cells in taps(rows, columns):
        dx[cells] += share[outputs]
    return dx


def global_avg_pool2d(x: Array) -> Array:
    """Return the mean of each channel, (..., 1, 1), for x (N, C, H, W) or (C, H, W)."""
    return avg_pool2d(x, x.shape[-2:])


def global_avg_pool2d_backward(grad: Array, input_shape: Sequence[int]) -> Array:
    """Return dx of input_shape: each grad (..., 1, 1), divided by the pixels, to all of them."""
    return avg_pool2d_backward(grad, input_shape, input_shape[-2:])
