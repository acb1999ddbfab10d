"""What goes through a model in one pass: every layer's input, output and gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore.nn.module import Module
from nncore.nn.recording import recording

Array = NDArray[Any]


@dataclass
class Call:
    """One use of a layer in a pass."""

    name: str  # qualified, with "/2" for the second use of a shared layer
    layer: Module
    x: Array
    y: Array
    grad_y: Array | None = None  # dC/dy
    grad_x: Array | None = None  # dC/dx


def layers(model: Module) -> dict[str, Module]:
    """The layers that compute, by their qualified names: modules that hold no others."""
    found = {
        name: module
        for name, module in model.named_modules()
        if next(module.children(), None) is None
    }
    return found


@contextmanager
def watched(model: Module) -> Iterator[list[Call]]:
    """Within the block each use of a layer of `model` is put on the list.

    The arrays are those that the layers gave and got, not copies and not computed anew.
    """
    calls: list[Call] = []
    uses: dict[str, int] = {}
    open_calls: dict[int, list[Call]] = {}
    wrapped: list[Module] = []

    def wrap(name: str, layer: Module) -> None:
        forward, backward = layer._forward, layer._backward

        def seen_forward(x: Array) -> tuple[Array, Any]:
            y, saved = forward(x)
            uses[name] = uses.get(name, 0) + 1
            label = name or type(layer).__name__
            call = Call(label if uses[name] == 1 else f"{label}/{uses[name]}", layer, x, y)
            calls.append(call)
            open_calls.setdefault(id(layer), []).append(call)
            return y, saved

        def seen_backward(saved: Any, grad: Array) -> Array:
            grad_x = backward(saved, grad)
            call = open_calls[id(layer)].pop()  # the latest one goes back first
            call.grad_y, call.grad_x = grad, grad_x
            return grad_x

        # In the object's own dictionary, past __setattr__: its structure does not change.
        vars(layer)["_forward"], vars(layer)["_backward"] = seen_forward, seen_backward
        wrapped.append(layer)

    try:
        for name, layer in layers(model).items():
            wrap(name, layer)
        yield calls
    finally:
        for layer in wrapped:
            del vars(layer)["_forward"], vars(layer)["_backward"]


@contextmanager
def gradients_kept(model: Module) -> Iterator[None]:
    """Within the block gradients may be used: as they were before, afterwards."""
    parameters = list(model.parameters())
    before = [parameter.grad.copy() for parameter in parameters]
    for parameter in parameters:
        parameter.zero_grad()
    try:
        yield
    finally:
        for parameter, grad in zip(parameters, before, strict=True):
            parameter.grad[...] = grad


def forward_pass(model: Module, x: Any) -> tuple[Array, list[Call]]:
    """The output and the uses of all layers, in whatever mode the model is."""
    with recording(model), watched(model) as calls:
        return model(x), calls


def full_pass(
    model: Module, x: Any, seed_gradient: Callable[[Array], Array]
) -> tuple[Array, Array, list[Call]]:
    """Output, dC/dx, and the uses of all layers; gradients of parameters are added to theirs.

    `seed_gradient` gives dC/dy of the output.
    """
    with recording(model), watched(model) as calls:
        y = model(x)
        grad = model.backward(seed_gradient(y), input_grad=True)
    return y, grad, calls


def activations(model: Module, x: Any) -> dict[str, Array]:
    """The outputs of all layers for a batch, by the layers' names.

    Parameters
    ----------
    model : Module
        In either mode: dropout and batch normalisation behave as it says.
    x : array_like
        A batch.

    Returns
    -------
    dict of str to array
        In the order in which they were computed; a layer that is used again is named "name/2". A
        model that is one layer has its class's name. The arrays are what the kernels wrote.

    Examples
    --------
    >>> for name, a in nc.inspection.activations(model, x[:8]).items():
    ...     print(name, a.shape, a.mean())
    """
    return {call.name: call.y for call in forward_pass(model, x)[1]}


def gradients(model: Module, x: Any, y: Any, loss_fn: Any) -> dict[str, Array]:
    """The gradients of one batch: dC/d(output) of all layers, then those of all parameters.

    Parameters
    ----------
    model : Module
        Its own gradients, modes and record are left as they are.
    x, y : array_like
        A batch and its targets.
    loss_fn : loss function
        C, called as ``loss_fn(model(x), y)``.

    Returns
    -------
    dict of str to array
        By layers' names as `activations` has them, in the order of the forward, then by
        parameters' names ("0.weight").
    """

    def seed(output: Array) -> Array:
        loss_fn(output, y)
        return np.asarray(loss_fn.backward())

    with gradients_kept(model):
        _, _, calls = full_pass(model, x, seed)
        found = {call.name: call.grad_y for call in calls if call.grad_y is not None}
        return found | {name: p.grad.copy() for name, p in model.named_parameters()}
