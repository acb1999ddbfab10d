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
from nncore.nn.tracing import Value

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


def blocks(model: Module) -> dict[str, Module]:
    """The modules within `model` that compose others in a `forward`, by their qualified names."""
    return {name: module for name, module in model.named_modules() if name and module._composed}


def layers(model: Module) -> dict[str, Module]:
    """The layers that compute, by their qualified names: modules that hold no others."""
    found = {
        name: module
        for name, module in model.named_modules()
        if next(module.children(), None) is None
    }
    return found


_WRAPPED = ("_forward", "_backward", "_backward_last")


class _Watch:
    """Puts each use of a layer on a list, by standing in its object's place of the methods."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._uses: dict[str, int] = {}
        # What each use left for backward, which is known again by being the same object.
        self._open: dict[int, list[tuple[Any, Call]]] = {}

    def wrap(self, name: str, layer: Module) -> None:
        forward, backward, backward_last = (getattr(layer, method) for method in _WRAPPED)
        label = name or type(layer).__name__

        def seen_forward(*x: Array) -> tuple[Any, Any]:
            y, saved = forward(*x)
            uses = self._uses[name] = self._uses.get(name, 0) + 1
            call = Call(label if uses == 1 else f"{label}/{uses}", layer, x[0], _first(y))
            self.calls.append(call)
            self._open.setdefault(id(layer), []).append((saved, call))
            return y, saved

        def seen_backward(saved: Any, grad: Any) -> Any:
            dx = backward(saved, grad)
            self._close(layer, saved, grad, dx)
            return dx

        def seen_backward_last(saved: Any, grad: Any) -> None:
            backward_last(saved, grad)  # which may end in the other one
            self._close(layer, saved, grad, None)

        # In the object's own dictionary, past __setattr__: its structure does not change.
        vars(layer).update(
            _forward=seen_forward, _backward=seen_backward, _backward_last=seen_backward_last
        )

    def wrap_block(self, name: str, block: Module) -> None:
        """A composed module runs as part of the whole: its values pass through its `forward`."""
        forward = block.forward

        def seen(*x: Any) -> Any:
            y = forward(*x)
            if isinstance(y, Value):  # else it was called with arrays, and comes back with values
                uses = self._uses[name] = self._uses.get(name, 0) + 1
                label = name if uses == 1 else f"{name}/{uses}"
                self.calls.append(Call(label, block, x[0].array, y.array))
            return y

        vars(block).update(forward=seen)

    def _close(self, layer: Module, saved: Any, grad: Any, dx: Any) -> None:
        waiting = self._open.get(id(layer), [])
        for at in reversed(range(len(waiting))):  # the latest one goes back first
            if waiting[at][0] is saved:
                call = waiting.pop(at)[1]
                call.grad_y, call.grad_x = _first(grad), None if dx is None else _first(dx)
                return


def _first(arrays: Any) -> Array:
    """Of several inputs or outputs the first."""
    first: Array = arrays[0] if isinstance(arrays, tuple) else arrays
    return first


@contextmanager
def watched(model: Module, *, whole: bool = False) -> Iterator[list[Call]]:
    """Within the block each use of a layer of `model` is put on the list.

    With `whole`, each use of a composed module too, after the layers in it, without gradients.

    The arrays are those that the layers gave and got, not copies and not computed anew. Running
    statistics and the places of random streams are, afterwards, what they were before.
    """
    watch = _Watch()
    found = layers(model)
    own = {
        name: {m: vars(layer)[m] for m in _WRAPPED if m in vars(layer)}
        for name, layer in found.items()
    }
    composed = {n: b for n, b in blocks(model).items() if whole and "forward" not in vars(b)}
    kept = [(array, array.copy()) for array in _moving(model)]
    try:
        for name, layer in found.items():
            watch.wrap(name, layer)
        for name, block in composed.items():
            watch.wrap_block(name, block)
        yield watch.calls
    finally:
        for block in composed.values():
            vars(block).pop("forward", None)
        for name, layer in found.items():
            for method in _WRAPPED:
                vars(layer).pop(method, None)
            vars(layer).update(own[name])  # a layer with hooks has methods of its own
        for array, before in kept:
            array[...] = before


def _moving(model: Module) -> list[Array]:
    """What a forward in training mode changes: buffers, and counters of random numbers."""
    counters = [vars(module)["_calls"] for module in model.modules() if "_calls" in vars(module)]
    return [array for _, array in model.named_buffers()] + counters


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


def forward_pass(model: Module, x: Any, *, whole: bool = False) -> tuple[Array, list[Call]]:
    """The output and the uses of all layers, in whatever mode the model is."""
    with recording(model), watched(model, whole=whole) as calls:
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

    A module that composes others (`Residual`, `Concat`, one of your own) has an entry after those
    of its layers.

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
    return {call.name: call.y for call in forward_pass(model, x, whole=True)[1]}


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
