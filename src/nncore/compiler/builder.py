"""From a model to the engine's list of operations: one lowering rule a layer, in one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nncore import nn
from nncore.compiler.lowering import Graph as Graph
from nncore.compiler.lowering import lowered
from nncore.losses import EngineLoss
from nncore.nn.module import Module
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


def _unflatten(layer: nn.Unflatten, label: str, shape: Shape) -> Node:
    if layer.dim % len(shape) == 0:
        raise ValueError(f"compile: {label}: the axis of samples cannot be parted in a step")
    return Node(label, "reshape", shape, layer._shape_of(shape))


def _nothing(_layer: Module, _label: str, _shape: Shape) -> None:
    return None


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
    nn.Unflatten: _unflatten,
    nn.Identity: _nothing,
    nn.ReLU: _elementwise("relu"),
    nn.Sigmoid: _elementwise("sigmoid"),
    nn.Tanh: _elementwise("tanh"),
    nn.LeakyReLU: _elementwise("leaky_relu", "negative_slope"),
    nn.ELU: _elementwise("elu", "alpha"),
    nn.GELU: _gelu,
    nn.SiLU: _elementwise("silu"),
    nn.Softplus: _elementwise("softplus", "beta", "threshold"),
}


def _described(layer: Any, kind: Any, label: str, shape: Shape) -> Node | None:
    """The operation of a layer as `kind`, its class, computes it; None where it changes nothing."""
    if issubclass(kind, nn.Embedding) and len(shape) > 2:
        raise ValueError(
            f"compile: {label}: x has shape {shape}, expected (batch,) or (batch, length): give"
            " x.reshape(len(x), -1), or run the model eagerly"
        )
    if issubclass(kind, Layer):
        try:
            node: Node = kind._operation(layer, shape)
        except (TypeError, ValueError) as error:
            error.add_note(f"compile: in {label}")
            raise
        node.label = label
        return node
    rule = _RULES.get(kind)
    if rule is None:
        raise TypeError(f"compile: {label} has no compiled form: run the model eagerly")
    return rule(layer, label, shape)


def lower(
    model: Module, loss_fn: Any, input_shapes: Sequence[Shape], capacity: int, labels: bool
) -> Graph:
    """The operations of a model and its loss, for batches of up to `capacity` samples.

    `input_shapes` are those of one sample, of each of the model's inputs; `labels`: what a loss
    that takes both is to read.

    Raises
    ------
    TypeError
        A layer or loss that has no operation: use it eagerly.
    ValueError
        Shapes that do not fit, as the layer itself would say it.
    """
    if len(input_shapes) != 1 and not model._composed:
        name = type(model).__name__
        raise TypeError(f"compile: {name} has one input, got {len(input_shapes)} arrays")
    dtype: np.dtype[Any] = model.dtype or np.dtype(np.float32)
    graph = lowered(model, dtype, _described, [(capacity, *shape) for shape in input_shapes])
    if loss_fn is not None:
        if graph.several:
            raise TypeError(
                f"compile: {type(model).__name__} returns several outputs and"
                f" {type(loss_fn).__name__} takes one: compile it without loss_fn, and train by"
                " step.forward and step.backward"
            )
        (shape,) = graph.output_shapes
        if not (isinstance(loss_fn, EngineLoss) and loss_fn._is_described()):
            raise TypeError(
                f"compile: {type(loss_fn).__name__} has no compiled form: write step.forward(x) and"
                " step.backward(grad)"
            )
        node = loss_fn._compiled(shape, dtype, labels)
        node.inputs = graph.outputs
        graph.nodes.append(node)
    return graph
