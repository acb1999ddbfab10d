"""Resizing of images: where each output looks, and what it takes from there."""

from collections.abc import Sequence

import numpy as np

from ._arrays import Array, silent

Taps = tuple[Array, Array, Array]


def _taps(mode: str, step: float, outputs: int, size: int) -> Taps:
    """Return along an axis the cell of each output, the next one, and the share of that."""
    if mode not in ("nearest", "bilinear", "aligned"):
        raise ValueError(f"resize2d: mode must be nearest, bilinear or aligned, got {mode!r}")
    i: Array = np.arange(outputs)
    place: Array
    if outputs == size:  # whatever the step, as in PyTorch
        return i, i, np.zeros(outputs)
    if mode == "nearest" and outputs == 2 * size:
        place = i // 2
    elif mode == "nearest":  # in single precision
        place = i.astype(np.float32) * np.float32(step)
    else:
        place = i * step if mode == "aligned" else np.maximum((i + 0.5) * step - 0.5, 0)
    first = np.minimum(place.astype(np.int64), size - 1)
    share: Array = np.zeros(outputs)
    if mode != "nearest":
        share = np.minimum(place - first, 1)
    second = first if mode == "nearest" else np.minimum(first + 1, size - 1)
    return first, second, share


@silent
def resize2d(
    x: Array, size: tuple[int, int], step: tuple[float, float], mode: str = "nearest"
) -> Array:
    """Return x (..., H, W) at other places, (..., *size).

    Output i of an axis stands at i * step (modes "nearest" and "aligned", which is bilinear with
    aligned corners) or (i + 1/2) step - 1/2, at least 0 ("bilinear"). It is the cell whose number
    that is, rounded down; or that cell and the next one, weighted by their nearness.
    """
    top, bottom, down = _taps(mode, step[0], size[0], x.shape[-2])
    left, right, across = _taps(mode, step[1], size[1], x.shape[-1])
    if mode == "nearest":
        return x[..., top[:, None], left]
    down, across = down[:, None].astype(x.dtype), across.astype(x.dtype)
    rows = x[..., top, :] * (1 - down) + x[..., bottom, :] * down
    y: Array = rows[..., left] * (1 - across) + rows[..., right] * across
    return y


@silent
def resize2d_backward(
    grad: Array, input_shape: Sequence[int], step: tuple[float, float], mode: str = "nearest"
) -> Array:
    """Return dx of input_shape: each grad (..., OH, OW) to the cells of its output, as weighted."""
    top, bottom, down = _taps(mode, step[0], grad.shape[-2], input_shape[-2])
    left, right, across = _taps(mode, step[1], grad.shape[-1], input_shape[-1])
    down, across = down[:, None].astype(grad.dtype), across.astype(grad.dtype)
    dx = np.zeros(input_shape, grad.dtype)
    parts = [(top, left, 1 - down, 1 - across)]
    if mode != "nearest":
        parts += [
            (top, right, 1 - down, across),
            (bottom, left, down, 1 - across),
            (bottom, right, down, across),
        ]
    area = dx.shape[-2] * dx.shape[-1]
    flat = dx.reshape(dx.size // area, area).T
    for rows, columns, by_row, by_column in parts:
        cells = (rows[:, None] * dx.shape[-1] + columns).ravel()
        np.add.at(flat, cells, (grad * (by_row * by_column)).reshape(flat.shape[1], cells.size).T)
    return dx
