"""Layers in NumPy: activations, normalisations and the sum, as ``nncore.reference`` has them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.contestants.contestant import Runner
from nncore import reference

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case

# Named as the layer is, in small letters; these have their own way to write it, or keep y.
NAMES = {"LeakyReLU": "leaky_relu", "LogSoftmax": "log_softmax"}
ACTIVATIONS = (
    *("ReLU", "LeakyReLU", "Hardtanh", "Hardswish", "Hardsigmoid", "Softsign", "ELU", "SELU"),
    *("CELU", "SiLU", "Softplus", "Sigmoid", "LogSigmoid", "Tanh", "Mish", "Softmax", "LogSoftmax"),
)
FROM_OUTPUT = ("ReLU", "Sigmoid", "Tanh", "Softmax", "LogSoftmax")


def _first(function: Callable[..., Any], *given: Any) -> Any:
    return function(*given)[0]


def _alone(function: Callable[..., Any], *given: Any) -> tuple[Any]:
    return (function(*given),)


def layer_forward(case: Case, arrays: Arrays) -> Runner | None:
    x, name = arrays["x"], case.options["layer"]
    weights = (arrays.get("weight"), arrays.get("bias"))
    if name in ACTIVATIONS:
        function = getattr(reference, NAMES.get(name, name.lower()))
        run = partial(function, x)
    elif name == "Add":
        run = partial(reference.add, x, arrays["other"])
    elif name == "LayerNorm":
        run = partial(reference.layer_norm, x, x.shape[-1:], *weights)
    elif name == "GroupNorm":
        groups = case.options["arguments"]["num_groups"]
        run = partial(reference.group_norm, x, groups, *weights)
    elif name == "BatchNorm2d" and case.options.get("training", True):
        run = partial(_first, reference.batch_norm, x, *weights)
    else:
        return None
    return Runner(run, lambda: {"y": run()})


def layer_backward(case: Case, arrays: Arrays) -> Runner | None:
    x, grad, name = arrays["x"], arrays["grad"], case.options["layer"]
    weight, names = arrays.get("weight"), ("dx", "dweight", "dbias")
    if name in ACTIVATIONS:
        function = NAMES.get(name, name.lower())
        kept = getattr(reference, function)(x) if name in FROM_OUTPUT else x
        backward, names = getattr(reference, f"{function}_backward"), ("dx",)
        run = partial(_alone, backward, grad, kept)
    elif name == "LayerNorm":
        run = partial(reference.layer_norm_backward, grad, x, x.shape[-1:], weight)
    elif name == "GroupNorm":
        groups = case.options["arguments"]["num_groups"]
        run = partial(reference.group_norm_backward, grad, x, groups, weight)
    elif name == "BatchNorm2d":
        run = partial(reference.batch_norm_backward, grad, x, weight)
    else:
        return None
    return Runner(run, lambda: dict(zip(names, run(), strict=True)))
