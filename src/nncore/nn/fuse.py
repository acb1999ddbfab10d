"""What is done to whole layers: a normalisation folded into the layer before it."""

import copy
from typing import Any

import numpy as np

from nncore.nn.arrays import Array
from nncore.nn.conv import Conv2d
from nncore.nn.linear import Linear
from nncore.nn.normalization import BatchNorm1d, BatchNorm2d
from nncore.nn.parameter import Parameter


def fuse_conv_bn_eval(conv: Conv2d, bn: BatchNorm2d) -> Conv2d:
    """A convolution that computes what `conv` and then `bn` do in evaluation, for prediction.

    weight' = weight s and bias' = (bias - running_mean) s + bn.bias by output channel,
    s = bn.weight / sqrt(running_var + eps), computed in float64. The layers themselves are left
    alone. PyTorch's `torch.nn.utils.fuse_conv_bn_eval`.

    Raises
    ------
    TypeError, ValueError
        Other layers; one of them is in training mode; `bn` has no running statistics, or another
        number of channels than `conv` gives.
    """
    fused: Conv2d = _fused("fuse_conv_bn_eval", conv, bn, Conv2d, BatchNorm2d)
    return fused


def fuse_linear_bn_eval(linear: Linear, bn: BatchNorm1d) -> Linear:
    """A Linear that computes what `linear` and then `bn` do in evaluation, for prediction.

    As `fuse_conv_bn_eval`; PyTorch's `torch.nn.utils.fuse_linear_bn_eval`.

    Raises
    ------
    TypeError, ValueError
        As there.
    """
    fused: Linear = _fused("fuse_linear_bn_eval", linear, bn, Linear, BatchNorm1d)
    return fused


def _fused(name: str, layer: Any, bn: Any, kind: type, norm: type) -> Any:
    for value, expected in ((layer, kind), (bn, norm)):
        if not isinstance(value, expected):
            raise TypeError(f"{name}: expected a {expected.__name__}, got {type(value).__name__}")
    if layer.training or bn.training:
        raise ValueError(f"{name}: the layers must be in evaluation mode: call eval() first")
    if bn.running_mean is None:
        raise ValueError(f"{name}: {norm.__name__} has no running statistics to fold")
    channels = layer.weight.shape[0]
    if bn.num_features != channels:
        raise ValueError(
            f"{name}: {norm.__name__} has {bn.num_features} channels, {kind.__name__} gives"
            f" {channels}"
        )
    scale = _wide(bn.weight, 1.0) / np.sqrt(bn.running_var.astype(np.float64) + bn.eps)
    shift = (_wide(layer.bias, 0.0) - bn.running_mean) * scale + _wide(bn.bias, 0.0)
    fused = copy.deepcopy(layer)
    by_output = scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    fused.weight.data[...] = layer.weight.data.astype(np.float64) * by_output
    if fused.bias is None:
        fused.bias = Parameter.zeros((channels,), fused.weight.dtype)
    fused.bias.data[...] = shift
    return fused


def _wide(parameter: Parameter | None, otherwise: float) -> Array | float:
    return otherwise if parameter is None else parameter.data.astype(np.float64)
