"""The fully connected layer."""

from math import prod

import numpy as np

from ._arrays import Array, silent


@silent
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Return y = x W^T + b: x (..., in), weight (out, in), bias (out,), y (..., out)."""
    y: Array = x @ weight.T
    return y if bias is None else y + bias


@silent
def linear_backward(grad: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Return dx = grad W, dweight = grad^T x, dbias = sum of grad over the batch.

    Shapes: grad (..., out); each gradient has the shape of what it belongs to.
    """
    rows = grad.reshape(prod(grad.shape[:-1]), grad.shape[-1])
    dx: Array = grad @ weight
    dweight: Array = rows.T @ x.reshape(len(rows), x.shape[-1])
    return dx, dweight, rows.sum(axis=0)


@silent
def linear_backward_per_sample(grad: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Return the same one sample at a time, dweight = sum_n outer(grad_n, x_n), for x (N, in).

    This is the loop of the lecture notes, kept as the benchmark's other baseline.
    """
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    dbias = np.zeros(len(weight), weight.dtype)
    for n in range(len(x)):
        dweight += np.outer(grad[n], x[n])
        dbias += grad[n]
        dx[n] = grad[n] @ weight
    return dx, dweight, dbias
