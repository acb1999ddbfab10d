"""Rotation of images by bilinear interpolation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rotated(x: NDArray[Any], angles: NDArray[np.float64]) -> NDArray[Any]:
    """Images (N, C, H, W), each turned around its centre by its angle, counter-clockwise.

    A pixel takes the mean of the four around the place where it comes from, by distance; beyond
    the edge there are zeros.
    """
    n, channels, height, width = x.shape
    # One frame of zeros: whatever comes from outside is a mean with them, or they alone.
    framed = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    down = np.arange(height)[:, None] - (height - 1) / 2
    right = np.arange(width)[None, :] - (width - 1) / 2
    cosine, sine = (f(angles)[:, None, None] for f in (np.cos, np.sin))
    source_row = cosine * down + sine * right + (height - 1) / 2 + 1
    source_column = -sine * down + cosine * right + (width - 1) / 2 + 1
    row = np.clip(source_row, 0, height + 1)
    column = np.clip(source_column, 0, width + 1)
    top, left = (np.minimum(v.astype(np.int64), m) for v, m in ((row, height), (column, width)))
    below, beside = (row - top).astype(x.dtype)[:, None], (column - left).astype(x.dtype)[:, None]
    flat = framed.reshape(n, channels, -1)
    at = (top * (width + 2) + left).reshape(n, 1, -1)

    def pixels(offset: int) -> NDArray[Any]:
        return np.take_along_axis(flat, at + offset, axis=2).reshape(x.shape)

    upper = pixels(0) * (1 - beside) + pixels(1) * beside
    lower = pixels(width + 2) * (1 - beside) + pixels(width + 3) * beside
    return np.asarray(upper * (1 - below) + lower * below)
