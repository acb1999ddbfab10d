"""From a model to the engine's list of operations: one lowering rule a layer, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nncore import nn
from nncore.nn.module import Module, join
from nncore.nn.operation import Layer, Pair, Shape
from nncore.nn.operation import Operation as Node


def _linear(layer: nn.Linear, label: str, shape: Shape) -> Node:
    if len(shape) != 2:
        raise ValueError(
            f"compile: {label}: x has shape {shape}, expected (batch, features):"
            " put a Flatten before it"
        )
    if shape[1] != layer.in_features:
        raise ValueError(f"{label}: x has {shape[1]} features, weight expects {layer.in_features}")
    node = Node(label, "linear", shape, (shape[0], layer.out_features), channels=layer.out_features)
    return node.hold((layer.out_features, layer.in_features), layer.weight, layer.bias)


def _image(label: str, shape: Shape) -> None:
    if len(shape) != 4:
        raise ValueError(f"{label}: x has shape {shape}, expected (batch, channels, height, width)")


def _window_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """Number of windows along an axis; the engine checks the same geometry when it plans."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1 + (stride - 1 if ceil_mode else 0)
    count = span // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


def _conv2d(layer: nn.Conv2d, label: str, shape: Shape) -> Node:
    _image(label, shape)
    if shape[1] != layer.in_channels:
        raise ValueError(f"{label}: x has {shape[1]} channels, weight expects {layer.in_channels}")
    node = Node(
        label,
        "conv2d",
        shape,
        (),
        channels=layer.out_channels,
        groups=layer.groups,
        kernel_size=layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
    )
    node.y_shape = (shape[0], layer.out_channels, *_windows(node))
    kernel = (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)
    return node.hold(kernel, layer.weight, layer.bias)


def _max_pool2d(layer: nn.MaxPool2d, label: str, shape: Shape) -> Node:
    _image(label, shape)
    node = Node(
        label,
        "maxpool2d",
        shape,
        (),
        kernel_size=layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        ceil_mode=layer.ceil_mode,
    )
    node.y_shape = (*shape[:2], *_windows(node))
    return node


def _avg_pool2d(layer: nn.AvgPool2d, label: str, shape: Shape) -> Node:
    _image(label, shape)
    node = Node(
        label,
        "avgpool2d",
        shape,
        (),
        kernel_size=layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        ceil_mode=layer.ceil_mode,
        count_include_pad=layer.count_include_pad,
        divisor=layer.divisor_override or 0,
    )
    node.y_shape = (*shape[:2], *_windows(node))
    return node


def _global_avg_pool2d(_layer: nn.GlobalAvgPool2d, label: str, shape: Shape) -> Node:
    _image(label, shape)
    whole = (max(shape[2], 1), max(shape[3], 1))
    y_shape = (*shape[:2], 1, 1)
    return Node(label, "avgpool2d", shape, y_shape, kernel_size=whole, stride=whole)


def _windows(node: Node) -> Pair:
    height, width = (
        _window_size(
            node.x_shape[2 + axis],
            node.kernel_size[axis],
            node.stride[axis],
            node.padding[axis],
            node.dilation[axis],
            node.ceil_mode,
        )
        for axis in range(2)
    )
    return height, width


def _flatten(layer: nn.Flatten, label: str, shape: Shape) -> Node | None:
    if (layer.start_dim, layer.end_dim) not in {(1, -1), (1, len(shape) - 1)}:
        raise ValueError(
            f"compile: {label}: only start_dim=1, end_dim=-1 can be compiled, got {layer}"
        )
    if len(shape) == 2:
        return None
    return Node(label, "flatten", shape, (shape[0], int(np.prod(shape[1:]))))


def _elementwise(kind: str, *names: str) -> Callable[[Any, str, Shape], Node]:
    """The rule of an activation; `names` are the attributes that are its parameters."""

    def rule(layer: Any, label: str, shape: Shape) -> Node:
        values = [getattr(layer, name) for name in names] + [0.0, 0.0]
        return Node(label, kind, shape, shape, parameter=(values[0], values[1]))

    return rule


def _gelu(layer: nn.GELU, label: str, shape: Shape) -> Node:
    kind = "gelu_tanh" if layer.approximate == "tanh" else "gelu"
    return Node(label, kind, shape, shape)


# Layers with bindings of their own: every other one is a `Layer` and describes itself. A rule
# returns None where the layer changes nothing.
_RULES: dict[type, Callable[[Any, str, Shape], Node | None]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv2d,
    nn.MaxPool2d: _max_pool2d,
    nn.AvgPool2d: _avg_pool2d,
    nn.GlobalAvgPool2d: _global_avg_pool2d,
    nn.Flatten: _flatten,
    nn.ReLU: _elementwise("relu"),
    nn.Sigmoid: _elementwise("sigmoid"),
    nn.Tanh: _elementwise("tanh"),
    nn.LeakyReLU: _elementwise("leaky_relu", "negative_slope"),
    nn.ELU: _elementwise("elu", "alpha"),
    nn.GELU: _gelu,
    nn.SiLU: _elementwise("silu"),
    nn.Softplus: _elementwise("softplus", "beta", "threshold"),
}

_LOSSES: dict[type, str] = {nn.CrossEntropyLoss: "cross_entropy", nn.MSELoss: "mse"}


def _described(layer: Module, label: str, shape: Shape) -> Node | None:
    """The operation of a layer; None where it changes nothing."""
    if isinstance(layer, Layer):
        node = layer._operation(shape)
        node.label = label
        return node
    rule = _RULES.get(type(layer))
    if rule is None:
        raise TypeError(f"compile: {label} has no compiled form: run the model eagerly")
    return rule(layer, label, shape)


def leaves(module: Module, name: str = "") -> Iterator[tuple[str, Module]]:
    """The layers of a chain in order, with their qualified names."""
    if isinstance(module, nn.Sequential):
        for key, child in module._own(Module):  # a shared layer as often as it stands there
            yield from leaves(child, join(name, key))
    else:
        yield name, module


@dataclass
class Graph:
    """Operations in order of execution; a loss is the last.

    Values are numbered: first the `sources`, the arrays of a batch, then the nodes' outputs.
    """

    nodes: list[Node]
    sources: int
    outputs: tuple[int, ...]  # values; with a loss the one that it reads

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the outputs, at the capacity."""
        return tuple(self.nodes[value - self.sources].y_shape for value in self.outputs)


def lower(model: Module, loss_fn: Any, input_shapes: tuple[Shape, ...], capacity: int) -> Graph:
    """The operations of a model and its loss, for batches of up to `capacity` samples.

    `input_shapes` are those of one sample, of each of the model's inputs.

    Raises
    ------
    TypeError
        A layer or loss that has no operation: use it eagerly.
    ValueError
        Shapes that do not fit, as the layer itself would say it.
    """
    if len(input_shapes) != 1:
        name = type(model).__name__
        raise TypeError(f"compile: {name} has one input, got {len(input_shapes)} arrays")
    nodes: list[Node] = []
    shape: Shape = (capacity, *input_shapes[0])
    for name, layer in leaves(model):
        label = f"{type(layer).__name__} ({name})" if name else type(layer).__name__
        node = _described(layer, label, shape)
        if node is not None:
            nodes.append(node)
            shape = node.y_shape
    if not nodes:
        raise ValueError(f"compile: the model has no layer that computes: {model!r}")
    outputs = (len(nodes),)
    if loss_fn is not None:
        kind = _LOSSES.get(type(loss_fn))
        if kind is None:
            known = ", ".join(sorted(loss.__name__ for loss in _LOSSES))
            raise TypeError(
                f"compile: {type(loss_fn).__name__} has no compiled form, known are {known}"
            )
        if kind == "cross_entropy" and len(shape) != 2:
            raise ValueError(
                f"{type(loss_fn).__name__}: logits have shape {shape}, expected (batch, classes)"
            )
        nodes.append(Node(type(loss_fn).__name__, kind, shape, (1,)))
    return Graph(nodes, 1, outputs)
