"""Normalisations: a mean and a biased variance taken away, a weight and a bias put on."""

from collections.abc import Sequence
from math import prod

import numpy as np

from ._arrays import Array, silent


def _over_channels(values: Array | None, ndim: int) -> Array | None:
    """Return (C,) so that it meets axis 1 of ndim axes."""
    return None if values is None else values.reshape(-1, *[1] * (ndim - 2))


def _affine(xhat: Array, weight: Array | None, bias: Array | None) -> Array:
    y = xhat if weight is None else xhat * weight
    return y if bias is None else y + bias


def _moments(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Return mean and biased variance over axes, which stay with size 1."""
    mean = x.mean(axis=axes, keepdims=True)
    return mean, ((x - mean) ** 2).mean(axis=axes, keepdims=True)


def _centred_backward(g: Array, xhat: Array, scale: Array, axes: tuple[int, ...]) -> Array:
    """Return dx from the gradient of xhat, where mean and variance over axes are x's own."""
    mean = g.mean(axis=axes, keepdims=True)
    slope = (g * xhat).mean(axis=axes, keepdims=True)
    dx: Array = scale * (g - mean - xhat * slope)
    return dx


@silent
def batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    statistics: tuple[Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """Return y, mean (C,) and biased variance (C,) for x (N, C, ...).

    statistics, a mean and a variance (C,), stand in for those of the batch.
    """
    axes = (0, *range(2, x.ndim))
    mean, variance = (
        _moments(x, axes)
        if statistics is None
        else (s.reshape(1, -1, *[1] * (x.ndim - 2)) for s in statistics)
    )
    xhat = (x - mean) / np.sqrt(variance + x.dtype.type(eps))
    y = _affine(xhat, _over_channels(weight, x.ndim), _over_channels(bias, x.ndim))
    return y, mean.reshape(-1), variance.reshape(-1)


@silent
def batch_norm_backward(
    grad: Array,
    x: Array,
    weight: Array | None = None,
    eps: float = 1e-5,
    statistics: tuple[Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """Return dx (N, C, ...), dweight (C,), dbias (C,); statistics are constants where given."""
    axes = (0, *range(2, x.ndim))
    xhat, _, variance = batch_norm(x, eps=eps, statistics=statistics)
    scale = 1 / np.sqrt(variance + x.dtype.type(eps)).reshape(1, -1, *[1] * (x.ndim - 2))
    factor = _over_channels(weight, x.ndim)
    g = grad if factor is None else grad * factor
    dx = g * scale if statistics is not None else _centred_backward(g, xhat, scale, axes)
    return dx, (grad * xhat).sum(axis=axes), grad.sum(axis=axes)


@silent
def running_statistics(
    running: tuple[Array, Array], batch: tuple[Array, Array], count: int, momentum: float
) -> tuple[Array, Array]:
    """Return running mean and variance after a batch of count values a channel, whose variance
    (biased) is stored unbiased."""
    mean, variance = (
        (1 - momentum) * old + momentum * new
        for old, new in zip(running, (batch[0], batch[1] * count / (count - 1)), strict=True)
    )
    return mean, variance


@silent
def group_norm(
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    """Return y for x (N, C, ...): each group of channels of a sample by itself."""
    groups = x.reshape(len(x), num_groups, prod(x.shape[1:]) // num_groups)
    mean, variance = _moments(groups, (2,))
    xhat = ((groups - mean) / np.sqrt(variance + x.dtype.type(eps))).reshape(x.shape)
    return _affine(xhat, _over_channels(weight, x.ndim), _over_channels(bias, x.ndim))


@silent
def group_norm_backward(
    grad: Array, x: Array, num_groups: int, weight: Array | None = None, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """Return dx (N, C, ...), dweight (C,), dbias (C,)."""
    shape = (len(x), num_groups, prod(x.shape[1:]) // num_groups)
    xhat = group_norm(x, num_groups, eps=eps)
    _, variance = _moments(x.reshape(shape), (2,))
    factor = _over_channels(weight, x.ndim)
    g = grad if factor is None else grad * factor
    scale = 1 / np.sqrt(variance + x.dtype.type(eps))
    dx = _centred_backward(g.reshape(shape), xhat.reshape(shape), scale, (2,)).reshape(x.shape)
    axes = (0, *range(2, x.ndim))
    return dx, (grad * xhat).sum(axis=axes), grad.sum(axis=axes)


def _last(x: Array, normalized_shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(range(x.ndim - len(normalized_shape), x.ndim))


@silent
def layer_norm(
    x: Array,
    normalized_shape: Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    """Return y for x (..., *normalized_shape); weight and bias have normalized_shape."""
    mean, variance = _moments(x, _last(x, normalized_shape))
    return _affine((x - mean) / np.sqrt(variance + x.dtype.type(eps)), weight, bias)


@silent
def layer_norm_backward(
    grad: Array,
    x: Array,
    normalized_shape: Sequence[int],
    weight: Array | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """Return dx, dweight and dbias (normalized_shape)."""
    axes = _last(x, normalized_shape)
    xhat = layer_norm(x, normalized_shape, eps=eps)
    scale = 1 / np.sqrt(_moments(x, axes)[1] + x.dtype.type(eps))
    dx = _centred_backward(grad if weight is None else grad * weight, xhat, scale, axes)
    rest = tuple(range(x.ndim - len(normalized_shape)))
    return dx, (grad * xhat).sum(axis=rest), grad.sum(axis=rest)


@silent
def rms_norm(
    x: Array, normalized_shape: Sequence[int], weight: Array | None = None, eps: float = 1e-5
) -> Array:
    """Return x / sqrt(mean(x^2) + eps) weight for x (..., *normalized_shape)."""
    square = (x * x).mean(axis=_last(x, normalized_shape), keepdims=True)
    return _affine(x / np.sqrt(square + x.dtype.type(eps)), weight, None)


@silent
def rms_norm_backward(
    grad: Array,
    x: Array,
    normalized_shape: Sequence[int],
    weight: Array | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array]:
    """Return dx, dweight (normalized_shape)."""
    axes = _last(x, normalized_shape)
    scale = 1 / np.sqrt((x * x).mean(axis=axes, keepdims=True) + x.dtype.type(eps))
    xhat = x * scale
    g = grad if weight is None else grad * weight
    dx = scale * (g - xhat * (g * xhat).mean(axis=axes, keepdims=True))
    return dx, (grad * xhat).sum(axis=tuple(range(x.ndim - len(normalized_shape))))
