"""Normalisation layers.

Means and variances are computed about a mean in two passes over what lies in the cache, partial
sums in float64, and what rounding takes from a mean is kept beside it: data far from zero lose no
digits. Sums have a fixed order, given by the shape alone.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nncore.nn.arguments import flag, integer, number
from nncore.nn.arrays import element_type, zeros
from nncore.nn.operation import Layer, Operation, Shape
from nncore.nn.parameter import Parameter


class _Norm(Layer):
    """Weights of ones and biases of zeros."""

    weight: Parameter | None
    bias: Parameter | None

    def _make_weights(self, shape: Shape, affine: bool, bias: bool, dtype: DTypeLike) -> None:
        wanted = element_type(dtype, type(self).__name__)
        self.weight = Parameter.zeros(shape, wanted) if affine else None
        self.bias = Parameter.zeros(shape, wanted) if affine and bias else None
        self._reset(0, "")

    def _reset(self, seed: int, name: str) -> None:
        if self.weight is not None:
            self.weight.data[...] = 1
        if self.bias is not None:
            self.bias.data[...] = 0

    def _described(self, kind: str, shape: Shape, channels: int, **given: Any) -> Operation:
        operation = Operation(type(self).__name__, kind, shape, shape, channels=channels, **given)
        expected = None if self.weight is None else self.weight.shape
        operation.hold(expected or (), self.weight, None)
        if self.bias is not None:  # of the weight's shape, however many axes that has
            operation.bias, operation.bias_grad = self.bias.data, self.bias.target
            operation.parameters.append(self.bias)
        return operation


class _BatchNorm(_Norm):
    _reads_mode = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        layer = type(self).__name__
        self.num_features = integer(layer, "num_features", num_features, 1)
        self.eps = _eps(layer, eps)
        self.momentum = None if momentum is None else number(layer, "momentum", momentum)
        self.affine = flag(layer, "affine", affine)
        self.track_running_stats = flag(layer, "track_running_stats", track_running_stats)
        wanted, tracked = element_type(dtype, layer), self.track_running_stats
        size = (self.num_features,)
        self.register_buffer("running_mean", zeros(size, wanted, layer) if tracked else None)
        self.register_buffer("running_var", zeros(size, wanted, layer) if tracked else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if tracked else None)
        self._make_weights(size, self.affine, True, wanted)

    def _reset(self, seed: int, name: str) -> None:
        super()._reset(seed, name)
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batch seen."""
        if self.track_running_stats:
            self.running_mean[...] = 0
            self.running_var[...] = 1
            self.num_batches_tracked[...] = 0

    @property
    def _uses_batch(self) -> bool:
        """Training mode, and not frozen."""
        own = [p for p in (self.weight, self.bias) if p is not None]
        return self.training and (not own or any(p.requires_grad for p in own))

    def _operation(self, shape: Shape) -> Operation:
        self._check_axes(shape)
        layer = type(self).__name__
        if shape[1] != self.num_features:
            raise ValueError(f"{layer}: x has {shape[1]} channels, expected {self.num_features}")
        tracked = self.track_running_stats
        return self._described(
            "batch_norm",
            shape,
            self.num_features,
            parameter=(self.eps, math.nan if self.momentum is None else self.momentum),
            training=self._uses_batch,
            buffers=(self.running_mean, self.running_var) if tracked else (),
            calls=self.num_batches_tracked if tracked else None,
        )

    def _check_axes(self, shape: Shape) -> None:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine},"
            f" track_running_stats={self.track_running_stats}"
        )


_BATCH_NORM = """Batch normalisation: y = (x - mean) / sqrt(var + eps) weight + bias, by channel.

    In training mean and biased variance are those of the batch, and the running ones move towards
    them: running = (1 - momentum) running + momentum (mean or unbiased variance). In evaluation
    the running ones are used, and nothing moves.

    Backward, xhat the normalised x, over the m values of a channel: dbias += sum dy, dweight += sum
    dy xhat, dx = weight / sqrt(var + eps) (dy - sum dy / m - xhat sum(dy xhat) / m); with running
    statistics dx = weight / sqrt(var + eps) dy.

    **Frozen.** A layer that has parameters, none of which is trained (`freeze()` of it or of its
    model, or `requires_grad_(False)`), behaves as in evaluation whatever its mode: it uses the
    running statistics and leaves them alone. (PyTorch's goes on moving them.) `unfreeze()` ends it.
    With affine=False there is nothing to freeze: call `eval()`; with track_running_stats=False
    there are no running statistics, and the batch's are always used.

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float
        Added to the variance; not negative.
    momentum : float or None
        Weight of a batch in the running statistics; None: the mean of all batches seen.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        Whether there are running statistics.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,), or None
        At first 1 and 0.
    running_mean, running_var : array, shape (num_features,), or None
        Buffers, at first 0 and 1.
    num_batches_tracked : array of one int64, or None
        A buffer: batches in training so far, empty ones not counted.

    Raises
    ------
    TypeError, ValueError
        At construction: an argument out of range. At a call: x is not of floating numbers, or of
        another number of axes or channels; one value a channel in training, of which there is no
        variance: the statistics of all layers of the model stay as they were.

    Notes
    -----
    Shapes: {shapes}; y like x. An empty batch leaves the statistics alone. Source: Ioffe and
    Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift" (2015).
    """


class BatchNorm1d(_BatchNorm):
    __doc__ = _BATCH_NORM.format(shapes="x (N, C) or (N, C, L)")

    def _check_axes(self, shape: Shape) -> None:
        if len(shape) not in (2, 3):
            raise ValueError(f"BatchNorm1d: x has shape {shape}, expected (N, C) or (N, C, L)")


class BatchNorm2d(_BatchNorm):
    __doc__ = _BATCH_NORM.format(shapes="x (N, C, H, W)")

    def _check_axes(self, shape: Shape) -> None:
        if len(shape) != 4:
            raise ValueError(f"BatchNorm2d: x has shape {shape}, expected (N, C, H, W)")


class GroupNorm(_Norm):
    """Group normalisation: y = (x - mean) / sqrt(var + eps) weight + bias.

    Mean and biased variance are those of a group of channels in one sample; weight and bias belong
    to channels. Backward as BatchNorm's in training, with weight dy in place of dy within a group.

    Parameters
    ----------
    num_groups, num_channels : int
        num_groups divides num_channels.
    eps : float
        Added to the variance; not negative.
    affine : bool
        Whether there are a weight and a bias.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_channels,), or None
        At first 1 and 0.

    Raises
    ------
    TypeError, ValueError
        At construction: an argument out of range. At a call: x is not of floating numbers, or has
        other channels.

    Notes
    -----
    Shapes: x (N, C, ...), y like x. Source: Wu and He, "Group normalization" (2018).
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.num_groups = integer("GroupNorm", "num_groups", num_groups, 1)
        self.num_channels = integer("GroupNorm", "num_channels", num_channels, 1)
        if self.num_channels % self.num_groups:
            raise ValueError(
                f"GroupNorm: num_groups must divide num_channels, got {num_groups} and"
                f" {num_channels}"
            )
        self.eps = _eps("GroupNorm", eps)
        self.affine = flag("GroupNorm", "affine", affine)
        self._make_weights((self.num_channels,), self.affine, True, dtype)

    def _operation(self, shape: Shape) -> Operation:
        if len(shape) < 2 or shape[1] != self.num_channels:
            raise ValueError(
                f"GroupNorm: x has shape {shape}, expected (N, {self.num_channels}, ...)"
            )
        given = {"groups": self.num_groups, "parameter": (self.eps, 0.0)}
        return self._described("group_norm", shape, self.num_channels, **given)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class _RowNorm(_Norm):
    """Over the last axes of x."""

    normalized_shape: Shape

    def _over_rows(self, kind: str, shape: Shape, eps: float) -> Operation:
        own = self.normalized_shape
        if len(shape) <= len(own) or shape[len(shape) - len(own) :] != own:
            expected = ", ".join(["N", "...", *map(str, own)])
            raise ValueError(f"{type(self).__name__}: x has shape {shape}, expected ({expected})")
        return self._described(kind, shape, math.prod(own), parameter=(eps, 0.0))


class LayerNorm(_RowNorm):
    """Layer normalisation: y = (x - mean) / sqrt(var + eps) weight + bias.

    Mean and biased variance are those of each sample's (or row's) last axes. Backward, xhat the
    normalised x and g = weight dy: dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(var + eps),
    dweight += sum dy xhat, dbias += sum dy.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The sizes of the last axes of x; the first axis, that of samples, is not among them.
    eps : float
        Added to the variance; not negative.
    elementwise_affine, bias : bool
        Whether there is a weight, and a bias beside it.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    weight, bias : Parameter, shape normalized_shape, or None
        At first 1 and 0.

    Raises
    ------
    TypeError, ValueError
        At construction: an argument out of range. At a call: x is not of floating numbers, or its
        last axes have other sizes.

    Notes
    -----
    Shapes: x (N, ..., *normalized_shape), y like x. Source: Ba, Kiros and Hinton, "Layer
    normalization" (2016).
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.normalized_shape = _sizes("LayerNorm", normalized_shape)
        self.eps = _eps("LayerNorm", eps)
        self.elementwise_affine = flag("LayerNorm", "elementwise_affine", elementwise_affine)
        wanted = flag("LayerNorm", "bias", bias)
        self._make_weights(self.normalized_shape, self.elementwise_affine, wanted, dtype)

    def _operation(self, shape: Shape) -> Operation:
        return self._over_rows("layer_norm", shape, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class RMSNorm(_RowNorm):
    """Normalisation by the root of the mean square: y = x / sqrt(mean(x^2) + eps) weight.

    Backward, xhat the normalised x and g = weight dy: dx = (g - xhat mean(g xhat)) / sqrt(mean(x^2)
    + eps), dweight += sum dy xhat.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The sizes of the last axes of x; the first axis, that of samples, is not among them.
    eps : float, optional
        Added to the mean square; by default the spacing of the dtype at 1.
    elementwise_affine : bool
        Whether there is a weight.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    weight : Parameter, shape normalized_shape, or None
        At first 1.

    Raises
    ------
    TypeError, ValueError
        At construction: an argument out of range. At a call: x is not of floating numbers, or its
        last axes have other sizes.

    Notes
    -----
    Shapes: x (N, ..., *normalized_shape), y like x. Source: Zhang and Sennrich, "Root mean square
    layer normalization" (2019).
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.normalized_shape = _sizes("RMSNorm", normalized_shape)
        self.eps = None if eps is None else _eps("RMSNorm", eps)
        self.elementwise_affine = flag("RMSNorm", "elementwise_affine", elementwise_affine)
        # Without a weight the layer takes x's dtype: what eps is by default then, its own says.
        self._dtype_name = element_type(dtype, "RMSNorm").name
        self._make_weights(self.normalized_shape, self.elementwise_affine, False, dtype)

    def _operation(self, shape: Shape) -> Operation:
        own = self._dtype_name if self.weight is None else self.weight.dtype
        eps = float(np.finfo(own).eps) if self.eps is None else self.eps
        return self._over_rows("rms_norm", shape, eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


def _eps(layer: str, value: Any) -> float:
    eps = number(layer, "eps", value)
    if eps < 0:
        raise ValueError(f"{layer}: eps must not be negative, got {value!r}")
    return eps


def _sizes(layer: str, value: Any) -> Shape:
    given = value if isinstance(value, (tuple, list)) else (value,)
    if not given:
        raise ValueError(f"{layer}: normalized_shape must have one size or more, got {value!r}")
    return tuple(integer(layer, "normalized_shape", size, 1) for size in given)
