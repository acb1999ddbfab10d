"""Operations of the engine as functions of arrays, for tests of kernels below the layers."""

import numpy as np

from nncore._core import engine
from nncore.nn.images import window_counts
from nncore.nn.operation import Operation


def _conv2d(x, weight, bias, stride, padding, dilation, groups, layer, **held):
    # A stride of 0 is the engine's to refuse.
    steps = tuple(max(s, 1) for s in stride)
    counts = window_counts(x.shape, weight.shape[2:], steps, padding, dilation)
    return Operation(
        layer,
        "conv2d",
        x.shape,
        (len(x), len(weight), *counts),
        channels=len(weight),
        groups=groups,
        kernel_size=weight.shape[2:],
        stride=stride,
        padding=padding,
        dilation=dilation,
        weight=np.ascontiguousarray(weight),
        bias=bias,
        **held,
    )


def conv2d_forward(
    x,
    weight,
    bias=None,
    stride=(1, 1),
    padding=(0, 0),
    dilation=(1, 1),
    groups=1,
    layer="Conv2d",
):
    operation = _conv2d(x, weight, bias, stride, padding, dilation, groups, layer)
    return engine.operation_forward(operation, x, save=False)[0]


def conv2d_backward(
    grad,
    x,
    weight,
    dweight=None,
    dbias=None,
    stride=(1, 1),
    padding=(0, 0),
    dilation=(1, 1),
    groups=1,
    input_grad=True,
    layer="Conv2d",
):
    """dx, or None; adds to dweight and dbias where they are given."""
    bias = None if dbias is None else np.zeros_like(dbias)
    held = {"weight_grad": dweight, "bias_grad": dbias}
    operation = _conv2d(x, weight, bias, stride, padding, dilation, groups, layer, **held)
    kept = engine.operation_forward(operation, x)[1]
    return engine.operation_backward(operation, kept, grad, input_grad=input_grad)[0]


def _avg_pool2d(shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor, layer):
    counts = window_counts(shape, kernel, stride, padding, ceil_mode=ceil_mode)
    return Operation(
        layer,
        "avgpool2d",
        shape,
        (*shape[:2], *counts),
        kernel_size=kernel,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor=divisor or 0,
    )


def avg_pool2d_forward(
    x,
    kernel,
    stride,
    padding,
    ceil_mode=False,
    count_include_pad=True,
    divisor=None,
    layer="AvgPool2d",
):
    arguments = kernel, stride, padding, ceil_mode, count_include_pad, divisor, layer
    return engine.operation_forward(_avg_pool2d(x.shape, *arguments), x, save=False)[0]


def avg_pool2d_backward(
    grad,
    shape,
    kernel,
    stride,
    padding,
    ceil_mode=False,
    count_include_pad=True,
    divisor=None,
    layer="AvgPool2d",
):
    arguments = kernel, stride, padding, ceil_mode, count_include_pad, divisor, layer
    operation = _avg_pool2d(shape, *arguments)
    kept = engine.operation_forward(operation, np.zeros(shape, grad.dtype))[1]
    return engine.operation_backward(operation, kept, grad)[0]
