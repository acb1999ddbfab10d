"""From a model to the engine's list of operations: one lowering rule a layer, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nncore import nn
from nncore.losses import EngineLoss
from nncore.nn.module import Module, join
from nncore.nn.operation import Layer, Shape
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

# Element by element, wherever each stands in memory.
_ANY_ORDER = frozenset(
    "relu sigmoid tanh leaky_relu elu gelu gelu_tanh silu softplus"
    " hardtanh hardsigmoid hardswish selu celu mish softsign".split()
)


def _described(layer: Module, label: str, shape: Shape) -> Node | None:
    """The operation of a layer; None where it changes nothing."""
    if isinstance(layer, Layer):
        try:
            node = layer._operation(shape)
        except (TypeError, ValueError) as error:
            error.add_note(f"compile: in {label}")
            raise
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


class _Chain:
    """Operations one after the other, and the shape of what they give.

    To the engine lines (N, C, L) are images of height 1, in their order of memory. They stay so
    from layer to layer, and are turned to logical order where something else reads them.
    """

    def __init__(self, shape: Shape) -> None:
        self.nodes: list[Node] = []
        self.shape = shape  # logical
        self._as_images = False

    def add(self, layer: Module, label: str) -> None:
        node = _described(layer, label, self.shape)
        if node is None:
            return
        over_lines = len(self.shape) == 3 and len(node.x_shape) == 4
        shape = (*node.y_shape[:2], node.y_shape[3]) if over_lines else node.y_shape
        if self._as_images and node.kind == "flatten":
            node.x_shape = self._images
        elif self._as_images and node.kind in _ANY_ORDER:
            node.x_shape = node.y_shape = self._images
            over_lines = True
        else:
            self.turn(over_lines, label)
        self.nodes.append(node)
        self.shape, self._as_images = shape, over_lines

    @property
    def _images(self) -> Shape:
        return (*self.shape[:2], 1, self.shape[2])

    def turn(self, to_images: bool, label: str) -> None:
        """Bring lines into the one order or the other."""
        if to_images != self._as_images:
            x_shape, y_shape = self.shape, self._images
            if not to_images:
                x_shape, y_shape = y_shape, x_shape
            self.nodes.append(Node(label, "reshape", x_shape, y_shape))
            self._as_images = to_images


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
    chain = _Chain((capacity, *input_shapes[0]))
    label = ""
    for name, layer in leaves(model):
        label = f"{type(layer).__name__} ({name})" if name else type(layer).__name__
        chain.add(layer, label)
    chain.turn(False, label)
    nodes, shape = chain.nodes, chain.shape
    if not nodes:
        raise ValueError(f"compile: the model has no layer that computes: {model!r}")
    outputs = (len(nodes),)
    if loss_fn is not None:
        if not (isinstance(loss_fn, EngineLoss) and loss_fn._is_described()):
            raise TypeError(
                f"compile: {type(loss_fn).__name__} has no compiled form: write step.forward(x) and"
                " step.backward(grad)"
            )
        nodes.append(loss_fn._compiled(shape, model.dtype or np.dtype(np.float32)))
    return Graph(nodes, 1, outputs)
