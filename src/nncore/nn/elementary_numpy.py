"""The elementary operations in NumPy."""

from typing import Any

import numpy as np

from nncore.nn.arrays import Array
Operation = Any


def _weight(op: Operation, like: Array, array: Array) -> Array:
    return array.reshape((1,) * (like.ndim - array.ndim) + array.shape)


def _reduced(grad: Array, shape: tuple[int, ...]) -> Array:
    axes = tuple(a for a, (g, s) in enumerate(zip(grad.shape, shape, strict=True)) if s == 1 != g)
    return grad.sum(axes, keepdims=True) if axes else grad


def operation_forward(op: Operation, x: Array, *more: Array, save: bool = True) -> tuple[Array, Any]:
    other = more[0] if more else None
    if op.weight is not None:
        other = _weight(op, x, op.weight)
    kept = (x, other, [x, *more])
    match op.kind:
        case "add":
            y = x + other
        case "subtract":
            y = x - other
        case "multiply":
            y = x * other
        case "scale":
            y = x.dtype.type(op.parameter[0]) * x + x.dtype.type(op.parameter[1])
        case "reshape":
            y = x.reshape(op.y_shape)
        case "avgpool2d":
            y = x.mean(tuple(a for a in (2, 3) if op.y_shape[a] == 1)).reshape(op.y_shape)
        case "concatenate":
            y = np.concatenate([x, *more], 1)
    return y, kept


def operation_backward(op: Operation, kept: Any, grad: Array, *, input_grad: bool = True) -> Any:
    x, other, inputs = kept
    match op.kind:
        case "add":
            dx, dother = grad, grad
        case "subtract":
            dx, dother = grad, -grad
        case "multiply":
            dx, dother = grad * other, grad * x
        case "scale":
            return x.dtype.type(op.parameter[0]) * grad, ()
        case "reshape":
            return grad.reshape(x.shape), ()
        case "avgpool2d":
            n = x.size // max(grad.size, 1)
            return np.broadcast_to(grad / x.dtype.type(n), x.shape), ()
        case "concatenate":
            at = np.cumsum([each.shape[1] for each in inputs])[:-1]
            first, *rest = np.split(grad, at, 1)
            return first, tuple(rest)
    if op.weight is not None:
        if op.weight_grad is not None:
            op.weight_grad += _reduced(dother, other.shape).reshape(op.weight.shape)
        return dx, ()
    return dx, (_reduced(dother, other.shape),)
