"""Activations made of others, of straight pieces, and along an axis."""

import numpy as np

from ._activations import elu, elu_backward, sigmoid, softplus
from ._arrays import Array, silent

_SCALE, _ALPHA = 1.0507009873554804934, 1.6732632423543772848


@silent
def selu(x: Array) -> Array:
    """Return y = scale (x where x > 0, else alpha (e^x - 1)), any shape."""
    y: Array = x.dtype.type(_SCALE) * elu(x, _ALPHA)
    return y


@silent
def selu_backward(grad: Array, x: Array) -> Array:
    """Return dx = grad scale where x > 0, else grad scale alpha e^x."""
    dx: Array = x.dtype.type(_SCALE) * elu_backward(grad, x, _ALPHA)
    return dx


@silent
def celu(x: Array, alpha: float = 1.0) -> Array:
    """Return y = x where x > 0, else alpha (e^(x / alpha) - 1), any shape."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


@silent
def celu_backward(grad: Array, x: Array, alpha: float = 1.0) -> Array:
    """Return dx = grad where x > 0 (or NaN), else grad e^(x / alpha)."""
    return np.where(x <= 0, grad * np.exp(np.minimum(x, 0) / alpha), grad)


@silent
def mish(x: Array) -> Array:
    """Return y = x tanh(log(1 + e^x)), any shape; at -inf the limit, -0."""
    x = np.where(np.isinf(x) & (x < 0), x.dtype.type(-1e4), x)
    y: Array = x * np.tanh(softplus(x, threshold=np.inf))
    return y


@silent
def mish_backward(grad: Array, x: Array) -> Array:
    """Return dx = grad (t + x s (1 - t^2)), t = tanh(log(1 + e^x)), s = sigmoid(x)."""
    x = np.clip(x, -1e4, 1e4)
    t = np.tanh(softplus(x, threshold=np.inf))
    dx: Array = grad * (t + x * sigmoid(x) * (1 - t) * (1 + t))
    return dx


@silent
def softsign(x: Array) -> Array:
    """Return y = x / (1 + |x|), any shape."""
    y: Array = x / (1 + np.abs(x))
    return y


@silent
def softsign_backward(grad: Array, x: Array) -> Array:
    """Return dx = grad / (1 + |x|)^2."""
    dx: Array = grad / np.square(1 + np.abs(x))
    return dx


@silent
def logsigmoid(x: Array) -> Array:
    """Return y = -log(1 + e^-x), any shape."""
    return -softplus(-x, threshold=np.inf)


@silent
def logsigmoid_backward(grad: Array, x: Array) -> Array:
    """Return dx = grad / (1 + e^x)."""
    dx: Array = grad * sigmoid(-x)
    return dx


@silent
def hardtanh(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """Return y = min(max(x, min_val), max_val), any shape."""
    y: Array = np.minimum(np.maximum(x, x.dtype.type(min_val)), x.dtype.type(max_val))
    return y


@silent
def hardtanh_backward(grad: Array, x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """Return dx = grad strictly between the limits, else 0; y serves as x."""
    return np.where((x > min_val) & (x < max_val), grad, 0)


@silent
def hardsigmoid(x: Array) -> Array:
    """Return y = min(max(x + 3, 0), 6) / 6, any shape."""
    return hardtanh(x + 3, 0.0, 6.0) / 6


@silent
def hardsigmoid_backward(grad: Array, x: Array) -> Array:
    """Return dx = grad / 6 strictly between -3 and 3, else 0."""
    return hardtanh_backward(grad, x, -3.0, 3.0) / 6


@silent
def hardswish(x: Array) -> Array:
    """Return y = x min(max(x + 3, 0), 6) / 6, any shape."""
    y: Array = x * hardsigmoid(x)
    return y


@silent
def hardswish_backward(grad: Array, x: Array) -> Array:
    """Return dx = grad (x / 3 + 1/2) between -3 and 3, 0 to the left, grad to the right."""
    return grad * np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5))


def _of_channels(weight: Array, x: Array) -> Array:
    """`weight`, one or one a channel (axis 1), as it meets x."""
    return weight if weight.size == 1 else weight.reshape(-1, *[1] * (x.ndim - 2))


@silent
def prelu(x: Array, weight: Array) -> Array:
    """Return y = x where x > 0, else weight x; weight (1,), or (C,) for x (N, C, ...)."""
    return np.where(x > 0, x, _of_channels(weight, x) * x)


@silent
def prelu_backward(grad: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    """Return dx = grad where x > 0, else weight grad; and dweight, the sums of x grad there."""
    dx = np.where(x > 0, grad, _of_channels(weight, x) * grad)
    part = np.where(x > 0, 0, x * grad)
    axes = tuple(axis for axis in range(x.ndim) if weight.size == 1 or axis != 1)
    return dx, part.sum(axis=axes).reshape(weight.shape)


@silent
def softmax(x: Array, axis: int = -1) -> Array:
    """Return y = e^x / sum of e^x along the axis; its maximum is taken off first."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    y: Array = e / e.sum(axis=axis, keepdims=True)
    return y


@silent
def softmax_backward(grad: Array, y: Array, axis: int = -1) -> Array:
    """Return dx = y (grad - sum of grad y)."""
    dx: Array = y * (grad - (grad * y).sum(axis=axis, keepdims=True))
    return dx


@silent
def log_softmax(x: Array, axis: int = -1) -> Array:
    """Return y = x - log of the sum of e^x along the axis; its maximum is taken off first."""
    z = x - x.max(axis=axis, keepdims=True)
    y: Array = z - np.log(np.exp(z).sum(axis=axis, keepdims=True))
    return y


@silent
def log_softmax_backward(grad: Array, y: Array, axis: int = -1) -> Array:
    """Return dx = grad - e^y (sum of grad)."""
    dx: Array = grad - np.exp(y) * grad.sum(axis=axis, keepdims=True)
    return dx
