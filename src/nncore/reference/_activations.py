"""Activations, and flatten. Backward needs the output y where that is enough, else the input x."""

from collections.abc import Sequence
from math import erfc, prod, sqrt

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


@silent
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """Return y = x where x > 0, else negative_slope x, any shape."""
    return np.where(x > 0, x, x * x.dtype.type(negative_slope))


@silent
def leaky_relu_backward(grad: Array, x: Array, negative_slope: float = 0.01) -> Array:
    """Return dx = grad where x > 0, else negative_slope grad; y serves as x for positive slopes."""
    return np.where(x > 0, grad, grad * grad.dtype.type(negative_slope))


@silent
def elu(x: Array, alpha: float = 1.0) -> Array:
    """Return y = x where x > 0, else alpha (e^x - 1), any shape."""
    return np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)))


@silent
def elu_backward(grad: Array, x: Array, alpha: float = 1.0) -> Array:
    """Return dx = grad where x > 0 (or NaN), else grad alpha e^x."""
    return np.where(x <= 0, grad * x.dtype.type(alpha) * np.exp(np.minimum(x, 0)), grad)


def _tail(x: Array) -> Array:
    """Return Phi(x), the normal distribution function, with all its digits on the left side."""
    values = [erfc(value) / 2 for value in (x.astype(np.float64) * -sqrt(0.5)).flat]
    return np.array(values, x.dtype).reshape(x.shape)


@silent
def gelu(x: Array, approximate: str = "none") -> Array:
    """Return y = x Phi(x), or with "tanh" x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2.

    The latter as x / (1 + e^-v), v twice the argument of tanh. At -inf the limit, -0.
    """
    x = np.where(np.isinf(x) & (x < 0), x.dtype.type(-1e3), x)
    y: Array = x * (_tail(x) if approximate == "none" else sigmoid(_gelu_exponent(x)))
    return y


@silent
def gelu_backward(grad: Array, x: Array, approximate: str = "none") -> Array:
    """Return dx = grad (Phi(x) + x phi(x)), or the derivative of the form with tanh."""
    x = np.clip(x, -1e3, 1e3)
    if approximate == "none":
        density = np.exp(-x * x / 2) * x.dtype.type(0.3989422804014327)
        dx: Array = grad * (_tail(x) + x * density)
        return dx
    v = _gelu_exponent(x)
    slope = x.dtype.type(sqrt(8 / np.pi)) * (1 + x.dtype.type(3 * 0.044715) * x * x)
    dx = grad * sigmoid(v) * (1 + x * slope * sigmoid(-v))
    return dx


def _gelu_exponent(x: Array) -> Array:
    v: Array = x.dtype.type(sqrt(8 / np.pi)) * x * (1 + x.dtype.type(0.044715) * x * x)
    return v


@silent
def silu(x: Array) -> Array:
    """Return y = x sigmoid(x), any shape; at -inf the limit, -0."""
    x = np.where(np.isinf(x) & (x < 0), x.dtype.type(-1e4), x)
    y: Array = x * sigmoid(x)
    return y


@silent
def silu_backward(grad: Array, x: Array) -> Array:
    """Return dx = grad s (1 + x (1 - s)), s = sigmoid(x)."""
    x = np.clip(x, -1e4, 1e4)
    dx: Array = grad * sigmoid(x) * (1 + x * sigmoid(-x))
    return dx


@silent
def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """Return y = log(1 + e^(beta x)) / beta, and x where beta x > threshold, any shape."""
    t = x * x.dtype.type(beta)
    smooth = (np.maximum(t, 0) + np.log1p(np.exp(-np.abs(t)))) / x.dtype.type(beta)
    return np.where(t > threshold, x, smooth)


@silent
def softplus_backward(grad: Array, x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """Return dx = grad sigmoid(beta x), and grad where beta x > threshold."""
    t = x * x.dtype.type(beta)
    return np.where(t > threshold, grad, grad * sigmoid(t))


@silent
def exp(x: Array) -> Array:
    """Return y = e^x, any shape."""
    y: Array = np.exp(x)
    return y


@silent
def exp_backward(grad: Array, y: Array) -> Array:
    """Return dx = grad y."""
    dx: Array = grad * y
    return dx


@silent
def log(x: Array) -> Array:
    """Return y = the natural logarithm of x, any shape."""
    y: Array = np.log(x)
    return y


@silent
def log_backward(grad: Array, x: Array) -> Array:
    """Return dx = grad / x."""
    dx: Array = grad / x
    return dx


def flatten(x: Array) -> Array:
    """Return x (N, ...) as (N, product of the rest), in logical (C, H, W) order."""
    return x.reshape(len(x), prod(x.shape[1:]))


def flatten_backward(grad: Array, input_shape: Sequence[int]) -> Array:
    """Return grad in the input's shape."""
    return grad.reshape(input_shape)
