"""nncore itself: kernels below the layers, networks eagerly or as a compiled step.

A forward or backward row calls the binding, or the layer's pure pair, without the books that a
Module keeps, as PyTorch's rows call operators below autograd; a forward+backward row calls the
layer as a user does. The variant ``channels_last`` gets images in the engine's own memory order;
otherwise they are row-major NCHW and the transposition is part of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import nncore
from benchmarks.case import aligned_copy
from benchmarks.contestants import nncore_mnist, nncore_overhead, nncore_parallel
from benchmarks.contestants.contestant import Operations, Runner
from benchmarks.contestants.nncore_layers import layer_backward, layer_forward
from benchmarks.contestants.nncore_training import (
    build,
    epoch,
    optimizer_step,
    prediction,
    training_step,
)
from nncore import nn
from nncore._core import engine

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case

Maker = Callable[..., Runner | None]


def open_contestant(variant: str, threads: int) -> Operations:
    nncore.set_num_threads(threads)
    makers: dict[str, dict[str, Maker]] = {
        "compiled": {
            "step.train": partial(training_step, compiled=True),
            "step.epoch": epoch,
            "build.train": build,
            "step.predict": partial(prediction, compiled=True),
            "overhead.fit": partial(nncore_overhead.fit, idle=False),
            "overhead.callback": partial(nncore_overhead.fit, idle=True),
            "overhead.inspection": nncore_overhead.inspected,
            "parallel.steps": partial(nncore_parallel.steps, threads=threads),
            "parallel.epochs": partial(nncore_parallel.steps, threads=threads),
            "mnist.fit": partial(nncore_mnist.run, recipe=False),
            "mnist.recipe": partial(nncore_mnist.run, recipe=True),
        },
        "without": {
            "overhead.fit": nncore_overhead.bare,
            "overhead.callback": partial(nncore_overhead.fit, idle=False),
            "overhead.inspection": nncore_overhead.bare,
        },
        "channels_last": _image_makers(channels_last=True),
        "": _image_makers(channels_last=False)
        | {
            "linear.forward": _linear_forward,
            "linear.dx": _linear_dx,
            "linear.dW+db": _linear_dw_db,
            "linear.forward+backward": _linear_forward_backward,
            "activation.forward": _activation_forward,
            "activation.backward": _activation_backward,
            "activation.layer": _activation_layer,
            "optim.step": optimizer_step,
            "step.train": partial(training_step, compiled=False),
            "step.predict": partial(prediction, compiled=False),
        },
    }
    return Operations(nncore.__version__, makers[variant])


def _image_makers(*, channels_last: bool) -> dict[str, Maker]:
    """The operations on images, for which the memory order matters."""
    makers: dict[str, Maker] = {
        "pool.forward": _pool_forward,
        "pool.backward": _pool_backward,
        "pool.forward+backward": _pool_forward_backward,
        "average.forward": _average_forward,
        "average.backward": _average_backward,
        "layer.forward": layer_forward,
        "layer.backward": layer_backward,
        "conv.forward": _conv_forward,
        "conv.backward data": _conv_backward_data,
        "conv.backward weights": _conv_backward_weights,
    }
    if not channels_last:
        return makers
    return {name: partial(_in_engine_order, maker) for name, maker in makers.items()}


def _in_engine_order(maker: Maker, case: Case, arrays: Arrays) -> Runner | None:
    """The same arrays with the strides of (N, H, W, C), or of lines (N, L, C); nothing else."""
    if arrays["x"].ndim < 3:
        return None
    turned = {n: np.moveaxis(arrays[n], 1, -1) for n in ("x", "grad") if n in arrays}
    return maker(case, arrays | {n: np.moveaxis(aligned_copy(a), -1, 1) for n, a in turned.items()})


def _runner(compute: Callable[[], object], *names: str) -> Runner:
    def result() -> dict[str, np.ndarray]:
        outputs = compute()
        arrays = outputs if isinstance(outputs, tuple) else (outputs,)
        return {name: np.array(a) for name, a in zip(names, arrays, strict=True)}

    return Runner(compute, result)


def _backward_runner(accumulate: Callable[[], object], gradients: dict[str, np.ndarray]) -> Runner:
    """A runner whose every repetition adds to ``gradients``."""

    def result() -> dict[str, np.ndarray]:
        for gradient in gradients.values():
            gradient.fill(0)
        accumulate()
        return {name: gradient.copy() for name, gradient in gradients.items()}

    return Runner(accumulate, result)


# Linear


def _linear_forward(_case: Case, arrays: Arrays) -> Runner:
    x, weight, bias = arrays["x"], arrays["weight"], arrays["bias"]
    return _runner(lambda: engine.linear_forward(x, weight, bias), "y")


def _linear_dx(_case: Case, arrays: Arrays) -> Runner:
    grad, weight = arrays["grad"], arrays["weight"]
    x = np.zeros((len(grad), weight.shape[1]), grad.dtype)  # gives its shape only
    return _runner(lambda: engine.linear_backward(grad, x, weight), "dx")


def _linear_dw_db(_case: Case, arrays: Arrays) -> Runner:
    grad, x = arrays["grad"], arrays["x"]
    weight = np.zeros((grad.shape[1], x.shape[1]), x.dtype)  # gives its shape only
    dw = aligned_copy(np.zeros_like(weight))
    db = aligned_copy(np.zeros_like(weight[:, 0]))
    return _backward_runner(
        lambda: engine.linear_backward(grad, x, weight, dw, db, input_grad=False),
        {"dw": dw, "db": db},
    )


def _linear_forward_backward(_case: Case, arrays: Arrays) -> Runner:
    x, weight, grad = arrays["x"], arrays["weight"], arrays["grad"]
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": arrays["bias"]})

    def compute() -> tuple[np.ndarray, np.ndarray]:
        return layer(x), layer.backward(grad)

    def result() -> dict[str, np.ndarray]:
        layer.zero_grad()
        y, dx = compute()
        gradients = {"dw": layer.weight.grad.copy(), "db": layer.bias.grad.copy()}
        return {"y": y, "dx": dx} | gradients

    return Runner(compute, result)


# Images


def _pool(case: Case) -> Any:
    return nn.MaxPool2d(**case.options)


def _pool_forward(case: Case, arrays: Arrays) -> Runner:
    layer, x = _pool(case), arrays["x"]
    return _runner(lambda: layer._forward(x)[0], "y")


def _pool_backward(case: Case, arrays: Arrays) -> Runner:
    layer, grad = _pool(case), arrays["grad"]
    _, saved = layer._forward(arrays["x"])
    return _runner(lambda: layer._backward(saved, grad), "dx")


def _pool_forward_backward(case: Case, arrays: Arrays) -> Runner:
    layer, x, grad = _pool(case), arrays["x"], arrays["grad"]
    return _runner(lambda: (layer(x), layer.backward(grad)), "y", "dx")


def _average_forward(case: Case, arrays: Arrays) -> Runner:
    layer, x = nn.AvgPool2d(**case.options), arrays["x"]
    return _runner(lambda: layer._forward(x)[0], "y")


def _average_backward(case: Case, arrays: Arrays) -> Runner:
    layer, grad = nn.AvgPool2d(**case.options), arrays["grad"]
    _, saved = layer._forward(arrays["x"])
    return _runner(lambda: layer._backward(saved, grad), "dx")


def _conv(arrays: Arrays, case: Case) -> nn.Conv2d:
    """A layer with the case's own weights."""
    outputs, inputs, *kernel = arrays["weight"].shape
    padding = case.options["padding"]
    layer = nn.Conv2d(inputs, outputs, tuple(kernel), padding=padding, dtype=arrays["x"].dtype)
    layer.weight.data[...] = arrays["weight"]
    if "bias" in arrays and layer.bias is not None:
        layer.bias.data[...] = arrays["bias"]
    return layer


def _conv_forward(case: Case, arrays: Arrays) -> Runner:
    layer, x = _conv(arrays, case), arrays["x"]
    return _runner(lambda: layer._forward_only(x), "y")


def _conv_backward_data(case: Case, arrays: Arrays) -> Runner:
    layer, grad = _conv(arrays, case), arrays["grad"]
    layer.requires_grad_(False)
    _, saved = layer._forward(arrays["x"])
    return _runner(lambda: layer._backward(saved, grad), "dx")


def _conv_backward_weights(case: Case, arrays: Arrays) -> Runner:
    layer, grad = _conv(arrays, case), arrays["grad"]
    operation = layer._planned(arrays["x"].shape)
    _, kept = engine.operation_forward(operation, arrays["x"])
    dw, db = operation.weight_grad, operation.bias_grad
    return _backward_runner(
        lambda: engine.operation_backward(operation, kept, grad, input_grad=False),
        {"dw": dw, "db": db},
    )


# Activations

_LAYERS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
_FROM_OUTPUT = ("relu", "sigmoid", "tanh", "leaky_relu", "elu", "exp")


def _activation(case: Case) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The bindings of both directions."""
    name = case.options["function"]
    if name == "gelu_tanh":
        tanh = {"approximate": "tanh"}
        return partial(engine.gelu_forward, **tanh), partial(engine.gelu_backward, **tanh)
    return getattr(engine, f"{name}_forward"), getattr(engine, f"{name}_backward")


def _activation_forward(case: Case, arrays: Arrays) -> Runner:
    forward, x = _activation(case)[0], arrays["x"]
    y = aligned_copy(np.zeros_like(x))
    return _runner(lambda: forward(x, out=y), "y")


def _activation_backward(case: Case, arrays: Arrays) -> Runner:
    forward, backward = _activation(case)
    x, grad = arrays["x"], arrays["grad"]
    kept = forward(x) if case.options["function"] in _FROM_OUTPUT else x
    return _runner(lambda: backward(grad, kept), "dx")


def _activation_layer(case: Case, arrays: Arrays) -> Runner:
    layer, x = _LAYERS[case.options["function"]]().eval(), arrays["x"]
    return _runner(lambda: layer(x), "y")
