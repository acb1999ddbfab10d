"""Layers whose operation runs along one axis, which the engine reads where it lies innermost."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore._core import engine
from nncore.nn.arrays import Array
from nncore.nn.operation import Layer, Operation, Shape


class AlongAxis(Layer):
    """A `Layer` whose axis may be any: by hand another one is turned there and back.

    Innermost in the engine's memory is the last axis, of images (N, C, H, W) the channels.
    """

    def _axis(self, shape: Shape) -> int:
        """The axis for an input of `shape`, from 0 on."""
        raise NotImplementedError

    def _is_innermost(self, shape: Shape) -> bool:
        return self._axis(shape) == (1 if len(shape) == 4 else len(shape) - 1)

    def _turned(self, x: Array) -> Array:
        """`x` as rows along the axis."""
        axis = self._axis(x.shape)
        return np.ascontiguousarray(np.moveaxis(x, axis, -1)).reshape(-1, x.shape[axis])

    def _turned_back(self, rows: Array, shape: Shape) -> Array:
        axis = self._axis(shape)
        rest = shape[:axis] + shape[axis + 1 :]
        return np.moveaxis(rows.reshape(*rest, shape[axis]), -1, axis)

    def _along(self, shape: Shape) -> Operation:
        """The operation along the innermost axis of inputs of `shape`."""
        raise NotImplementedError

    def _operation(self, shape: Shape) -> Operation:
        if len(shape) == 3 and self._axis(shape) == 1:  # lines: images of height 1 to a step
            return self._along((*shape[:2], 1, shape[2]))
        if not self._is_innermost(shape):
            raise ValueError(
                f"compile: {self!r} runs along axis {self._axis(shape)} of x of shape {shape}: only"
                " the features of rows and the channels of lines and images can be compiled"
            )
        return self._along(shape)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        if self._is_innermost(x.shape):
            return super()._forward(x)
        rows = self._turned(x)
        operation = self._along(rows.shape)
        y, kept = engine.operation_forward(operation, rows)
        return self._turned_back(y, x.shape), (operation, kept)

    def _forward_only(self, x: Array) -> Array:
        if self._is_innermost(x.shape):
            return super()._forward_only(x)
        rows = self._turned(x)
        y, _ = engine.operation_forward(self._along(rows.shape), rows, save=False)
        return self._turned_back(y, x.shape)

    def _backward(self, saved: Any, grad: Array) -> Array:
        if self._is_innermost(grad.shape):
            return super()._backward(saved, grad)
        return self._turned_back(super()._backward(saved, self._turned(grad)), grad.shape)

    def _backward_last(self, saved: Any, grad: Array) -> None:
        turned = grad if self._is_innermost(grad.shape) else self._turned(grad)
        super()._backward_last(saved, turned)
