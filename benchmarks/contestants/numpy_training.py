"""Training in NumPy over the reference functions, for any network that is a list of layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.contestants.contestant import OPTIMIZER_STEPS, TRAINING_STEPS, Runner
from nncore import reference

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case
    from benchmarks.cases.networks import Layer, Network

LARGEST_STEP = 2e9  # flops; beyond, a step takes many seconds, and nobody's training goes so

_ACTIVATIONS = {"ReLU": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}


class _Parameters:
    """Named arrays that an optimiser changes in place."""

    def __init__(self, case: Case, initial: Arrays):
        self._initial = initial
        self._step = {"SGD": reference.sgd_step, "Adam": reference.adam_step}[
            case.options["optimizer"]
        ]
        self._arguments: dict[str, Any] = case.options["arguments"]
        self.data = {name: array.copy() for name, array in initial.items()}
        self.reset()

    def reset(self) -> None:
        for name, array in self._initial.items():
            self.data[name][...] = array
        self._state: dict[str, dict[str, Any]] = {name: {} for name in self.data}

    def update(self, gradients: Arrays) -> None:
        for name, array in self.data.items():
            self._step(array, gradients[name], self._state[name], **self._arguments)

    def copies(self) -> Arrays:
        return {name: array.copy() for name, array in self.data.items()}


def optimizer_step(case: Case, arrays: Arrays) -> Runner:
    """The update of every parameter in turn."""
    initial = {name: a for name, a in arrays.items() if not name.startswith("grad ")}
    gradients = {name: arrays[f"grad {name}"] for name in initial}
    parameters = _Parameters(case, initial)

    def result() -> Arrays:
        parameters.reset()
        for _ in range(OPTIMIZER_STEPS):
            parameters.update(gradients)
        return parameters.copies()

    return Runner(lambda: parameters.update(gradients), result, parameters.reset)


def training_step(case: Case, arrays: Arrays, linear_backward: Callable[..., Any]) -> Runner | None:
    """Forward, loss, backward, update; Linear's backward is given."""
    network: Network = case.options["network"]
    if case.flops > LARGEST_STEP:
        return None
    parameters = _Parameters(case, {name: arrays[name] for name in network.weights()})
    x, y = arrays["x"], arrays["y"]

    def run() -> float:
        logits, saved = _forward(network, parameters.data, x)
        loss, probabilities = reference.cross_entropy(logits, y)
        grad = reference.cross_entropy_backward(probabilities, y)
        parameters.update(_backward(network, parameters.data, saved, grad, linear_backward))
        return float(loss)

    def result() -> Arrays:
        parameters.reset()
        losses = np.array([run() for _ in range(TRAINING_STEPS)])
        return {"losses": losses, **parameters.copies()}

    return Runner(run, result, parameters.reset)


def _forward(network: Network, weights: Arrays, x: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """The output, and for each layer what its backward needs."""
    saved = []
    for position, layer in enumerate(network.layers):
        x, kept = _layer_forward(layer, x, weights, position)
        saved.append(kept)
    return x, saved


def _layer_forward(
    layer: Layer, x: np.ndarray, weights: Arrays, position: int
) -> tuple[np.ndarray, Any]:
    match layer.kind:
        case "Linear":
            y = reference.linear(x, weights[f"{position}.weight"], weights[f"{position}.bias"])
            return y, x
        case "Conv2d":
            weight, bias = weights[f"{position}.weight"], weights[f"{position}.bias"]
            return reference.conv2d(x, weight, bias, padding=_padding(layer)), x
        case "MaxPool2d":
            y, index = reference.max_pool2d(x, layer.arguments["kernel_size"])
            return y, (index, x.shape)
        case "Flatten":
            return x.reshape(len(x), -1), x.shape
        case kind:
            y = getattr(reference, _ACTIVATIONS[kind])(x)
            return y, y


def _backward(
    network: Network,
    weights: Arrays,
    saved: list[Any],
    grad: np.ndarray,
    linear_backward: Callable[..., Any],
) -> Arrays:
    """The gradient of every parameter."""
    gradients: Arrays = {}
    for position in reversed(range(len(network.layers))):
        layer, kept = network.layers[position], saved[position]
        if layer.kind in ("Linear", "Conv2d"):
            weight = weights[f"{position}.weight"]
            if layer.kind == "Linear":
                found = linear_backward(grad, kept, weight)
            else:
                found = reference.conv2d_backward(grad, kept, weight, padding=_padding(layer))
            grad, gradients[f"{position}.weight"], gradients[f"{position}.bias"] = found
        elif layer.kind == "MaxPool2d":
            index, shape = kept
            kernel = layer.arguments["kernel_size"]
            grad = reference.max_pool2d_backward(grad, index, shape, kernel)
        elif layer.kind == "Flatten":
            grad = grad.reshape(kept)
        else:
            grad = getattr(reference, f"{_ACTIVATIONS[layer.kind]}_backward")(grad, kept)
    return gradients


def _padding(layer: Layer) -> int:
    return int(layer.arguments.get("padding", 0))
