"""Sums, products and rearrangements of arrays. `other` may have sizes of 1 where x has more."""

from collections.abc import Sequence

import numpy as np

from ._arrays import Array, silent


def _summed(grad: Array, shape: Sequence[int]) -> Array:
    """Return grad summed over the axes along which `shape` was repeated."""
    axes = tuple(axis for axis, size in enumerate(shape) if size != grad.shape[axis])
    total: Array = grad.sum(axis=axes, keepdims=True)
    return total


@silent
def add(x: Array, other: Array) -> Array:
    """Return y = x + other, of x's shape."""
    y: Array = x + other
    return y


def add_backward(grad: Array, other_shape: Sequence[int]) -> tuple[Array, Array]:
    """Return (dx, dother) = (grad, grad summed over what was repeated)."""
    return grad.copy(), _summed(grad, other_shape)


@silent
def subtract(x: Array, other: Array) -> Array:
    """Return y = x - other, of x's shape."""
    y: Array = x - other
    return y


def subtract_backward(grad: Array, other_shape: Sequence[int]) -> tuple[Array, Array]:
    """Return (dx, dother) = (grad, -grad summed over what was repeated)."""
    return grad.copy(), -_summed(grad, other_shape)


@silent
def multiply(x: Array, other: Array) -> Array:
    """Return y = x other, of x's shape."""
    y: Array = x * other
    return y


@silent
def multiply_backward(grad: Array, x: Array, other: Array) -> tuple[Array, Array]:
    """Return (dx, dother) = (grad other, grad x summed over what was repeated)."""
    return grad * other, _summed(grad * x, other.shape)


@silent
def scale(x: Array, factor: float, summand: float = 0.0) -> Array:
    """Return y = factor x + summand, any shape."""
    y: Array = x * x.dtype.type(factor) + x.dtype.type(summand)
    return y


@silent
def scale_backward(grad: Array, factor: float) -> Array:
    """Return dx = factor grad."""
    dx: Array = grad * grad.dtype.type(factor)
    return dx


def concatenate(arrays: Sequence[Array]) -> Array:
    """Return the arrays side by side along axis 1, features or channels."""
    return np.concatenate(arrays, axis=1)


def concatenate_backward(grad: Array, sizes: Sequence[int]) -> tuple[Array, ...]:
    """Return the part of grad that belongs to each array; `sizes` are theirs along axis 1."""
    return tuple(np.split(grad, np.cumsum(sizes)[:-1], axis=1))


def reshape(x: Array, sample_shape: Sequence[int]) -> Array:
    """Return the samples of x (N, ...) in another shape, (N, *sample_shape), in logical order."""
    return x.reshape(len(x), *sample_shape)


def reshape_backward(grad: Array, input_shape: Sequence[int]) -> Array:
    """Return dx of input_shape."""
    return grad.reshape(input_shape)
