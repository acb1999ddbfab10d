"""Losses of two arrays, element by element: each loss and its slope in the prediction x."""

import numpy as np

from ._arrays import Array, silent


@silent
def huber(x: Array, t: Array, delta: float = 1.0) -> Array:
    """Return z^2 / 2 where z = |x - t| < delta, else delta (z - delta / 2)."""
    z = np.abs(x - t)
    loss: Array = np.where(z < delta, z * z / 2, delta * (z - delta / 2))
    return loss


@silent
def huber_backward(x: Array, t: Array, delta: float = 1.0) -> Array:
    """Return x - t, held within -delta and delta."""
    dx: Array = np.clip(x - t, -delta, delta)
    return dx


@silent
def smooth_l1(x: Array, t: Array, beta: float = 1.0) -> Array:
    """Return z^2 / (2 beta) where z = |x - t| < beta, else z - beta / 2."""
    z = np.abs(x - t)
    loss: Array = np.where(z < beta, z * z / 2 / (beta or 1), z - beta / 2)
    return loss


@silent
def smooth_l1_backward(x: Array, t: Array, beta: float = 1.0) -> Array:
    """Return (x - t) / beta where |x - t| < beta, else its sign."""
    return np.where(np.abs(x - t) < beta, (x - t) / (beta or 1), np.sign(x - t))


def l1(x: Array, t: Array) -> Array:
    """Return |x - t|."""
    return smooth_l1(x, t, 0.0)


def l1_backward(x: Array, t: Array) -> Array:
    """Return the sign of x - t."""
    return smooth_l1_backward(x, t, 0.0)


@silent
def hinge(x: Array, t: Array, margin: float = 1.0) -> Array:
    """Return max(0, margin - t x), t -1 or 1."""
    loss: Array = np.maximum(0, margin - t * x)
    return loss


@silent
def hinge_backward(x: Array, t: Array, margin: float = 1.0) -> Array:
    """Return -t where margin > t x, else 0."""
    return np.where(margin - t * x <= 0, 0, -t)


@silent
def bce(x: Array, t: Array) -> Array:
    """Return -(t log x + (1 - t) log(1 - x)), the logarithms held at -100."""
    loss: Array = -(t * np.maximum(np.log(x), -100) + (1 - t) * np.maximum(np.log1p(-x), -100))
    return loss


@silent
def bce_backward(x: Array, t: Array) -> Array:
    """Return (x - t) / max(x (1 - x), 1e-12)."""
    dx: Array = (x - t) / np.maximum(x * (1 - x), 1e-12)
    return dx


@silent
def bce_with_logits(x: Array, t: Array, pos_weight: Array | float = 1.0) -> Array:
    """Return -(p t log s + (1 - t) log(1 - s)), s = sigmoid(x), p the weight of the positive."""
    line = np.where(x >= 0, (1 - t) * x, -pos_weight * t * x)
    loss: Array = line + (pos_weight * t + 1 - t) * np.log1p(np.exp(-np.abs(x)))
    return loss


@silent
def bce_with_logits_backward(x: Array, t: Array, pos_weight: Array | float = 1.0) -> Array:
    """Return (1 - t) s - p t (1 - s)."""
    e = np.exp(-np.abs(x))
    s, other = np.where(x >= 0, 1, e) / (1 + e), np.where(x >= 0, e, 1) / (1 + e)
    dx: Array = (1 - t) * s - pos_weight * t * other
    return dx


@silent
def kl_div(x: Array, t: Array, log_target: bool = False) -> Array:
    """Return t (log t - x), 0 where t = 0; of logarithms exp(t) (t - x)."""
    if log_target:
        loss: Array = np.exp(t) * (t - x)
    else:
        loss = np.where(t == 0, 0, t * np.log(t)) - t * x
    return loss


@silent
def kl_div_backward(x: Array, t: Array, log_target: bool = False) -> Array:
    """Return -t, of logarithms -exp(t)."""
    return -np.exp(t) if log_target else -t
