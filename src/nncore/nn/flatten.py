"""Layers that only reshape."""

import math
from typing import Any

from nncore._core import engine
from nncore.nn.arguments import index
from nncore.nn.arrays import Array
from nncore.nn.module import Module


class Flatten(Module):
    """Join the axes from `start_dim` to `end_dim` into one, in logical (row-major, N C H W) order.

    Backward gives the gradient the shape of x again.

    Parameters
    ----------
    start_dim, end_dim : int
        The first and the last axis that are joined; negative ones count from the end.

    Raises
    ------
    TypeError, ValueError
        At construction: they are no integers. At a call: x has no such axes, or they are in the
        wrong order.

    Notes
    -----
    Shapes: with the defaults x (N, ...) and y (N, product of the other sizes). y may be a view of
    x.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = index("Flatten", "start_dim", start_dim)
        self.end_dim = index("Flatten", "end_dim", end_dim)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        start, end = self._axis("start_dim", x), self._axis("end_dim", x)
        if start > end:
            raise ValueError(
                f"Flatten: start_dim must not come after end_dim, got {self.start_dim} and"
                f" {self.end_dim} for x of shape {x.shape}"
            )
        if start == 1 and end == x.ndim - 1:
            return engine.flatten_forward(x, layer="Flatten"), (x.shape, True)
        # Not reshape(-1), which cannot tell a size where another one is 0.
        joined = 1
        for size in x.shape[start : end + 1]:
            joined *= size
        return x.reshape((*x.shape[:start], joined, *x.shape[end + 1 :])), (x.shape, False)

    def _backward(self, saved: Any, grad: Array) -> Array:
        shape, in_engine = saved
        if in_engine:
            return engine.flatten_backward(grad, shape, layer="Flatten")
        return grad.reshape(shape)

    def _backward_last(self, saved: Any, grad: Array) -> None:
        pass

    def _axis(self, arg: str, x: Array) -> int:
        axis: int = getattr(self, arg)
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(
                f"Flatten: {arg} must be an axis of x, got {axis} for x of shape {x.shape}"
            )
        return axis % x.ndim

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Part one axis of x into several, in logical order: the inverse of `Flatten`.

    Backward gives the gradient the shape of x again.

    Parameters
    ----------
    dim : int
        The axis; negative ones count from the end.
    unflattened_size : sequence of int
        The sizes it becomes; one of them may be -1, and follows from the others.

    Raises
    ------
    TypeError, ValueError
        At construction: they are no integers, a size is below -1, or two are -1. At a call: x has
        no such axis, or it is not the product of the sizes.

    Notes
    -----
    Shapes: x (..., product, ...), y (..., *unflattened_size, ...). y may be a view of x.
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...] | list[int]) -> None:
        self.dim = index("Unflatten", "dim", dim)
        if not isinstance(unflattened_size, (tuple, list)) or not unflattened_size:
            raise TypeError(
                f"Unflatten: unflattened_size must be a tuple of sizes, got {unflattened_size!r}"
            )
        sizes = tuple(index("Unflatten", "unflattened_size", size) for size in unflattened_size)
        if min(sizes) < -1 or sizes.count(-1) > 1:
            raise ValueError(
                "Unflatten: unflattened_size must be sizes, at most one of them -1, got"
                f" {unflattened_size!r}"
            )
        self.unflattened_size = sizes

    def _shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of y."""
        if not -len(shape) <= self.dim < len(shape):
            raise ValueError(
                f"Unflatten: dim must be an axis of x, got {self.dim} for x of shape {shape}"
            )
        axis = self.dim % len(shape)
        known = math.prod(size for size in self.unflattened_size if size != -1)
        rest = shape[axis] // known if known else 0
        sizes = tuple(rest if size == -1 else size for size in self.unflattened_size)
        if math.prod(sizes) != shape[axis]:
            raise ValueError(
                f"Unflatten: axis {axis} of x has size {shape[axis]}, which is not"
                f" {self.unflattened_size}"
            )
        return (*shape[:axis], *sizes, *shape[axis + 1 :])

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return x.reshape(self._shape_of(x.shape)), x.shape

    def _backward(self, saved: Any, grad: Array) -> Array:
        return grad.reshape(saved)

    def _backward_last(self, saved: Any, grad: Array) -> None:
        pass

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Module):
    """y = x; dx = dy. Takes any arguments and heeds none, so that it may stand in for any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return x, None

    def _backward(self, saved: Any, grad: Array) -> Array:
        return grad

    def _backward_last(self, saved: Any, grad: Array) -> None:
        pass
