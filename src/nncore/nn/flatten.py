"""Layers that only reshape."""

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
