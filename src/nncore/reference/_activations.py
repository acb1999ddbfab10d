"""Activations, whose backward needs only the output y, and flatten."""

from collections.abc import Sequence
from math import prod

import numpy as np

from ._arrays import Array, silent


@silent
def relu(x: Array) -> Array:
    """Return y = max(x, 0), any shape; NaN stays NaN."""
    y: Array = np.maximum(x, 0)
    return y


@silent
def relu_backward(grad: Array, y: Array) -> Array:
    """Return dx = grad where y > 0 (or y is NaN), else 0."""
    return np.where(y <= 0, 0, grad)


@silent
def sigmoid(x: Array) -> Array:
    """Return y = 1 / (1 + e^-x) = e^x / (1 + e^x), any shape, by the form that cannot overflow."""
    e = np.exp(-np.abs(x))
    y: Array = np.where(x >= 0, 1, e) / (1 + e)
    return y


@silent
def sigmoid_backward(grad: Array, y: Array) -> Array:
    """Return dx = grad y (1 - y)."""
    dx: Array = grad * y * (1 - y)
    return dx


@silent
def tanh(x: Array) -> Array:
    """Return y = tanh x, any shape."""
    y: Array = np.tanh(x)
    return y


@silent
def tanh_backward(grad: Array, y: Array) -> Array:
    """Return dx = grad (1 - y^2)."""
    dx: Array = grad * (1 - y * y)
    return dx


def flatten(x: Array) -> Array:
    """Return x (N, ...) as (N, product of the rest), in logical (C, H, W) order."""
    return x.reshape(len(x), prod(x.shape[1:]))


def flatten_backward(grad: Array, input_shape: Sequence[int]) -> Array:
    """Return grad in the input's shape."""
    return grad.reshape(input_shape)
