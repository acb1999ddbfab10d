"""Adaptive pooling: windows that share an image evenly, one after the other."""

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from ._arrays import Array, Pair, pair, silent

Window = tuple[int, int, slice, slice]


def _windows(shape: Sequence[int], output_size: Pair) -> Iterator[Window]:
    """Visit (i, j, rows, columns) of each: from floor(i in / out) up to ceil((i + 1) in / out)."""
    if min(*shape[-3:], *pair(output_size)) < 1:
        raise ValueError(
            f"adaptive pooling: sizes must be positive, got {tuple(shape)} to {output_size}"
        )
    (height, width), (rows, columns) = shape[-2:], pair(output_size)
    for i in range(rows):
        down = slice(i * height // rows, -(-(i + 1) * height // rows))
        for j in range(columns):
            yield i, j, down, slice(j * width // columns, -(-(j + 1) * width // columns))


@silent
def adaptive_avg_pool2d(x: Array, output_size: Pair) -> Array:
    """Return the mean of each window, (..., *output_size), for x (N, C, H, W) or (C, H, W)."""
    y = np.empty((*x.shape[:-2], *pair(output_size)), x.dtype)
    for i, j, rows, columns in _windows(x.shape, output_size):
        y[..., i, j] = x[..., rows, columns].mean(axis=(-2, -1))
    return y


@silent
def adaptive_avg_pool2d_backward(grad: Array, input_shape: Sequence[int]) -> Array:
    """Return dx of input_shape: each grad, divided by its window's cells, to all of them."""
    dx = np.zeros(input_shape, grad.dtype)
    for i, j, rows, columns in _windows(input_shape, grad.shape[-2:]):
        cells = dx[..., rows, columns]
        cells += (grad[..., i, j] / grad.dtype.type(prod(cells.shape[-2:])))[..., None, None]
    return dx


@silent
def adaptive_max_pool2d(x: Array, output_size: Pair) -> tuple[Array, Array]:
    """Return the maximum of each window and its place in the row-major order of its image.

    That is the first NaN, else the first of the greatest cells.
    """
    shape = (*x.shape[:-2], *pair(output_size))
    y, index = np.empty(shape, x.dtype), np.empty(shape, np.int64)
    place = np.arange(prod(x.shape[-2:])).reshape(x.shape[-2:])
    for i, j, rows, columns in _windows(x.shape, output_size):
        cells = x[..., rows, columns]
        cells = cells.reshape(*x.shape[:-2], prod(cells.shape[-2:]))
        first = cells.argmax(axis=-1)  # NumPy's takes the first NaN, too
        y[..., i, j] = np.take_along_axis(cells, first[..., None], -1)[..., 0]
        index[..., i, j] = place[rows, columns].ravel()[first]
    return y, index


@silent
def adaptive_max_pool2d_backward(grad: Array, index: Array, input_shape: Sequence[int]) -> Array:
    """Return dx of input_shape: each grad added to the cell its index names."""
    planes, area = prod(input_shape[:-2]), prod(input_shape[-2:])
    outputs = prod(grad.shape[-2:])
    dx = np.zeros((planes, area), grad.dtype)
    place = np.arange(planes)[:, None], index.reshape(planes, outputs)
    np.add.at(dx, place, grad.reshape(planes, outputs))
    return dx.reshape(input_shape)
