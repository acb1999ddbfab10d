"""The networks of the training-step cases, as lists of layers with PyTorch's names and arguments.

A contestant builds its model from such a list; the initial weights come from the case and carry the
names of a PyTorch ``Sequential``'s state dict (``0.weight``, ``0.bias``, ``2.weight``, ...).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.case import Input


@dataclass(frozen=True)
class Layer:
    """``kind`` is the layer's class name, ``arguments`` what its constructor takes."""

    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    name: str
    input_shape: tuple[int, ...]
    """Shape of one sample."""
    layers: tuple[Layer, ...]
    classes: int = 10

    def weights(self) -> dict[str, Input]:
        """Shape and PyTorch's default range of every parameter, by state-dict name."""
        specs: dict[str, Input] = {}
        for position, layer in enumerate(self.layers):
            weight = weight_shape(layer)
            if weight:
                half_width = _product(weight[1:]) ** -0.5
                specs[f"{position}.weight"] = Input(weight, "uniform", half_width)
                specs[f"{position}.bias"] = Input(weight[:1], "uniform", half_width)
        return specs

    def forward_flops(self, batch: int) -> float:
        return sum(2.0 * batch * products for products in self._products())

    def training_flops(self, batch: int) -> float:
        """Forward, dW and dx of every layer with weights; no dx for the first of them."""
        forward = [2.0 * batch * products for products in self._products()]
        return sum(forward) * 3 - forward[0]

    def _products(self) -> Iterator[int]:
        shape = self.input_shape
        for layer in self.layers:
            shape = output_shape(layer, shape)
            weight = weight_shape(layer)
            if weight:
                yield _product(weight) * _product(shape[1:])


def weight_shape(layer: Layer) -> tuple[int, ...]:
    a = layer.arguments
    if layer.kind == "Linear":
        return (a["out_features"], a["in_features"])
    if layer.kind == "Conv2d":
        return (a["out_channels"], a["in_channels"], a["kernel_size"], a["kernel_size"])
    return ()


def output_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    a = layer.arguments
    if layer.kind == "Linear":
        return (a["out_features"],)
    if layer.kind == "Flatten":
        return (_product(shape),)
    if layer.kind in ("Conv2d", "MaxPool2d"):
        kernel = a["kernel_size"]
        stride = a.get("stride", kernel if layer.kind == "MaxPool2d" else 1)
        height, width = (
            (side + 2 * a.get("padding", 0) - kernel) // stride + 1 for side in shape[1:]
        )
        return (a.get("out_channels", shape[0]), height, width)
    return shape


def _product(numbers: tuple[int, ...]) -> int:
    total = 1
    for number in numbers:
        total *= number
    return total


def _linear(features: int, outputs: int) -> Layer:
    return Layer("Linear", {"in_features": features, "out_features": outputs})


def _conv(channels: int, filters: int, kernel: int, padding: int = 0) -> Layer:
    arguments = {"in_channels": channels, "out_channels": filters, "kernel_size": kernel}
    return Layer("Conv2d", arguments | ({"padding": padding} if padding else {}))


_RELU, _TANH, _FLATTEN = Layer("ReLU"), Layer("Tanh"), Layer("Flatten")
_POOL = Layer("MaxPool2d", {"kernel_size": 2})

NOTES_CNN = Network(
    "notes' CNN",
    (1, 28, 28),
    (_conv(1, 12, 5), _RELU, _POOL, _conv(12, 24, 3), _RELU, _POOL, _FLATTEN, _linear(600, 10)),
)
LENET5 = Network(
    "LeNet-5",
    (1, 28, 28),
    (
        *(_conv(1, 6, 5, padding=2), _RELU, _POOL),
        *(_conv(6, 16, 5), _RELU, _POOL, _FLATTEN),
        *(_linear(400, 120), _RELU, _linear(120, 84), _RELU, _linear(84, 10)),
    ),
)
POLICY = Network(
    "4-64-64-2",
    (4,),
    (_linear(4, 64), _TANH, _linear(64, 64), _TANH, _linear(64, 2)),
    classes=2,
)
PERCEPTRON = Network(
    "784-512-256-10",
    (784,),
    (_linear(784, 512), _RELU, _linear(512, 256), _RELU, _linear(256, 10)),
)
CIFAR_CNN = Network(
    "CIFAR CNN",
    (3, 32, 32),
    (
        *(_conv(3, 32, 3, padding=1), _RELU, _conv(32, 32, 3, padding=1), _RELU, _POOL),
        *(_conv(32, 64, 3, padding=1), _RELU, _conv(64, 64, 3, padding=1), _RELU, _POOL),
        *(_FLATTEN, _linear(4096, 256), _RELU, _linear(256, 10)),
    ),
)
