"""Transposed convolution, position by position of the window."""

import numpy as np

from ._arrays import Array, Pair, pair, silent
from ._windows import Axis, taps


def _axes(
    x: Array,
    weight: Array,
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    dilation: Pair,
    groups: int,
) -> tuple[Axis, Axis]:
    """Return how windows on y meet it, one for each cell of x."""
    if groups < 1 or x.shape[1] % groups or weight.shape[0] != x.shape[1]:
        raise ValueError(
            f"conv_transpose2d: x {x.shape} and weight {weight.shape} do not fit {groups} groups"
        )
    axes = []
    for cells, kernel, s, p, more, d in zip(
        x.shape[2:],
        weight.shape[2:],
        pair(stride),
        pair(padding),
        pair(output_padding),
        pair(dilation),
        strict=True,
    ):
        size = (cells - 1) * s - 2 * p + d * (kernel - 1) + more + 1
        if cells < 1 or size < 1 or not 0 <= more < max(s, d):
            raise ValueError(f"conv_transpose2d: {cells} cells give an output of {size}")
        axes.append(Axis(cells, size, kernel, s, p, d))
    return axes[0], axes[1]


@silent
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Array:
    """Return y[n,o,p,q] = b[o] + the sum of W[c,o,i,j] x[n,c,u,v] where the window of (u,v) has
    (p,q) at (i,j): p = u s - pad + i d, q = v s - pad + j d.

    Shapes: x (N, C, H, W), weight (C, O/groups, KH, KW), bias (O,), y (N, O, OH, OW). Group g of
    the outputs sees group g of the channels.
    """
    rows, columns = _axes(x, weight, stride, padding, output_padding, dilation, groups)
    n, out = len(x), weight.shape[1]
    y: Array = np.zeros((n, groups, out, rows.size, columns.size), x.dtype)
    xg = x.reshape(n, groups, x.shape[1] // groups, *x.shape[2:])
    wg = weight.reshape(groups, -1, *weight.shape[1:])
    for i, j, windows, cells in taps(rows, columns):
        y[cells] += np.einsum("gco,ngchw->ngohw", wg[..., i, j], xg[windows])
    y = y.reshape(n, groups * out, rows.size, columns.size)
    return y if bias is None else y + bias[:, None, None]


@silent
def conv_transpose2d_backward(
    grad: Array,
    x: Array,
    weight: Array,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> tuple[Array, Array, Array]:
    """Return dx, dweight, dbias for grad (N, O, OH, OW): the products of forward, the other way."""
    rows, columns = _axes(x, weight, stride, padding, output_padding, dilation, groups)
    n, out = len(x), weight.shape[1]
    shape = (n, groups * out, rows.size, columns.size)
    if grad.shape != shape:
        raise ValueError(f"conv_transpose2d: grad has shape {grad.shape}, expected {shape}")
    xg = x.reshape(n, groups, x.shape[1] // groups, *x.shape[2:])
    gg = grad.reshape(n, groups, out, *shape[2:])
    wg = weight.reshape(groups, -1, *weight.shape[1:])
    dx, dweight = np.zeros_like(xg), np.zeros_like(wg)
    for i, j, windows, cells in taps(rows, columns):
        dx[windows] += np.einsum("gco,ngohw->ngchw", wg[..., i, j], gg[cells])
        dweight[..., i, j] = np.einsum("ngchw,ngohw->gco", xg[windows], gg[cells])
    return dx.reshape(x.shape), dweight.reshape(weight.shape), grad.sum(axis=(0, 2, 3))
