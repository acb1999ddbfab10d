"""Convolution.

The cells under every window are copied into columns, which one matmul per sample multiplies by the
weights. Also tried, and slower over all: one matmul for the whole batch, one matmul per position of
the window, sliding_window_view with tensordot, columns with channels last.
"""

from math import prod

import numpy as np

from ._arrays import Array, Pair, pair, silent
from ._windows import Axis, output_size, taps


def _conv_axes(
    x: Array,
    weight: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    extra: Pair,
) -> tuple[Axis, Axis]:
    if x.ndim != 4 or weight.ndim != 4:
        raise ValueError(
            f"conv2d: x and weight must have 4 dimensions, got shapes {x.shape} and {weight.shape}"
        )
    outputs, channels = weight.shape[:2]
    if groups < 1 or x.shape[1] % groups or outputs % groups:
        raise ValueError(
            f"conv2d: groups must divide {x.shape[1]} channels and {outputs} outputs, got {groups}"
        )
    if x.shape[1] != channels * groups or channels < 1:
        raise ValueError(f"conv2d: x has {x.shape[1]} channels, weight expects {channels * groups}")
    windows = zip(
        x.shape[2:], weight.shape[2:], pair(stride), pair(padding), pair(dilation), strict=True
    )
    rows, columns = (
        Axis(output_size(*window, up=more), *window)
        for window, more in zip(windows, pair(extra), strict=True)
    )
    return rows, columns


def _cells_under_windows(x: Array, rows: Axis, columns: Axis) -> Array:
    """Return (N, C, KH, KW, OH, OW): the cell at each position of each window, 0 for padding."""
    window, image = (rows.kernel, columns.kernel), (rows.outputs, columns.outputs)
    under = np.zeros(x.shape[:2] + window + image, x.dtype)
    for i, j, outputs, cells in taps(rows, columns):
        under[:, :, i, j][outputs] = x[cells]
    return under


def _zero_can_pad(factor: Array, rows: Axis, columns: Axis) -> bool:
    """Tell whether padding may be multiplied as zeros: 0 * factor is 0 unless it is inf or NaN."""
    inside = all(
        axis.padding == 0
        and (axis.outputs - 1) * axis.stride + (axis.kernel - 1) * axis.dilation < axis.size
        for axis in (rows, columns)
    )
    return inside or bool(np.isfinite(factor).all())


@silent
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    extra: Pair = 0,
) -> Array:
    """Return y[n,o,p,q] = b[o] + sum_{c,i,j} W[o,c,i,j] x[n, c, ps - pad + id, qs - pad + jd].

    Shapes: x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,), y (N, O, OH, OW). Group g of
    the outputs sees group g of the channels. The sum is over the cells that exist: an infinite
    weight over padding gives no NaN. `extra` cells of padding come after the image beyond those
    before it. Raises ValueError where the shapes do not fit.
    """
    rows, columns = _conv_axes(x, weight, stride, padding, dilation, groups, extra)
    n, out, channels, area = len(x), len(weight) // groups, weight.shape[1], weight[0, 0].size
    image = (rows.outputs, columns.outputs)
    if _zero_can_pad(weight, rows, columns):
        under = _cells_under_windows(x, rows, columns)
        under = under.reshape(n, groups, channels * area, prod(image))
        y: Array = weight.reshape(groups, out, channels * area) @ under
    else:
        y = np.zeros((n, groups, out, *image), x.dtype)
        xg = x.reshape(n, groups, channels, *x.shape[2:])
        wg = weight.reshape(groups, out, *weight.shape[1:])
        for i, j, outputs, cells in taps(rows, columns):
            y[outputs] += np.einsum("goc,ngchw->ngohw", wg[..., i, j], xg[cells])
    y = y.reshape(n, groups * out, *image)
    return y if bias is None else y + bias[:, None, None]


@silent
def conv2d_backward(
    grad: Array,
    x: Array,
    weight: Array,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    extra: Pair = 0,
) -> tuple[Array, Array, Array]:
    """Return dx, dweight, dbias for grad (N, O, OH, OW).

    dx[n,c] at each cell = sum of W[o,c,i,j] grad[n,o,p,q] over the windows (p,q) with that cell at
    (i,j); dweight[o,c,i,j] = sum_{n,p,q} grad[n,o,p,q] times the cell at (i,j) of window (p,q);
    dbias[o] = sum_{n,p,q} grad[n,o,p,q].
    """
    rows, columns = _conv_axes(x, weight, stride, padding, dilation, groups, extra)
    n, out, channels, area = len(x), len(weight) // groups, weight.shape[1], weight[0, 0].size
    image = (rows.outputs, columns.outputs)
    shape = (n, len(weight), *image)
    if grad.shape != shape:
        raise ValueError(f"conv2d: grad has shape {grad.shape}, expected {shape}")
    gg = grad.reshape(n, groups, out, prod(image))
    wg = weight.reshape(groups, out, channels * area)

    d_under = (wg.swapaxes(1, 2) @ gg).reshape(*x.shape[:2], *weight.shape[2:], *image)
    dx = np.zeros_like(x)
    for i, j, outputs, cells in taps(rows, columns):
        dx[cells] += d_under[:, :, i, j][outputs]

    if _zero_can_pad(grad, rows, columns):
        under = _cells_under_windows(x, rows, columns)
        under = under.reshape(n, groups, channels * area, prod(image))
        dweight = (gg @ under.swapaxes(2, 3)).sum(axis=0).reshape(weight.shape)
    else:
        dweight = np.zeros_like(weight)
        xg = x.reshape(n, groups, channels, *x.shape[2:])
        gg = grad.reshape(n, groups, out, *image)
        for i, j, outputs, cells in taps(rows, columns):
            product = np.einsum("ngohw,ngchw->goc", gg[outputs], xg[cells])
            dweight[:, :, i, j] = product.reshape(weight.shape[:2])
    return dx, dweight, grad.sum(axis=(0, 2, 3))
