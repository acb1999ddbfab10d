"""A student's own code, whatever its shape, as forward, backward and gradients."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from nncore.nn.arrays import Array
from nncore.nn.module import Module
from nncore.nn.parameter import Parameter

# What people call a layer's parameters, their gradients, and the method that updates.
VALUES = {
    "weight": ("weight", "weights", "W", "w", "kernel", "kernels"),
    "bias": ("bias", "biases", "b"),
}
GRADIENTS = {
    "weight": (
        *("weight_grad", "weights_grad", "w_gradient", "weight_gradient", "weights_gradient"),
        *("w_grad", "grad_weight", "grad_weights", "grad_W", "grad_w", "dW", "dw", "d_weight"),
    ),
    "bias": (
        *("bias_grad", "b_gradient", "bias_gradient", "biases_gradient", "b_grad"),
        *("grad_bias", "grad_b", "db", "dB", "d_bias"),
    ),
}
UPDATES = ("gradient", "update", "step")


class Student:
    """Calls a function, an object with `forward` and `backward`, or a Module, in one way."""

    def __init__(self, given: Any, backward: Callable[..., Any] | None) -> None:
        if isinstance(given, type):
            raise TypeError(
                f"check: student is the class {given.__name__}, expected an object:"
                f" write {given.__name__}(...)"
            )
        self.is_object = callable(getattr(given, "forward", None))
        if not self.is_object and not callable(given):
            raise TypeError(
                "check: student must be a function or have forward(x) and backward(grad), got"
                f" {type(given).__name__}"
            )
        self.name = type(given).__name__ if self.is_object else getattr(given, "__name__", "?")
        self.given, self.own_backward = copy.deepcopy(given), backward
        if isinstance(given, Module):
            self.given = given.astype(np.float64)
        self.has_backward = backward is not None or callable(getattr(given, "backward", None))
        self.turned = False  # square weights that lie (in, out), as the shape cannot tell
        self._inputs: tuple[Any, ...] = ()
        self._values: dict[str, Array] = {}

    # ---- the two passes

    def forward(self, *inputs: Any) -> Array:
        self._inputs = tuple(copy.deepcopy(each) for each in inputs)
        call = self.given.forward if self.is_object else self.given
        return np.array(call(*inputs, **self._wanted(call)), np.float64)

    def backward(self, grad: Array | None) -> Array | None:
        """dx; None where the student returns none."""
        given = () if grad is None else (grad.copy(),)
        if self.own_backward is not None:
            call = self.own_backward
            dx = call(*self._inputs, *given, **self._wanted(call))
        elif isinstance(self.given, Module):
            dx = self.given.backward(grad, input_grad=True)
        else:
            dx = self.given.backward(*given)
        return None if dx is None else np.array(dx, np.float64)

    def _wanted(self, call: Callable[..., Any]) -> dict[str, Array]:
        """Parameters that a function takes by name."""
        if self.is_object and call != self.own_backward:
            return {}
        names = inspect.signature(call).parameters
        return {name: self._values[name] for name in names if name in self._values}

    # ---- parameters

    def orient(self, values: dict[str, Array], x: Array, expected: Array) -> None:
        """Find out which way square weights lie: the way in which forward is right, if it is."""
        for turned in (False, True):
            twin = copy.deepcopy(self)
            twin.turned = turned
            twin.take(values)
            try:
                y = twin.forward(x.copy())
            except Exception:  # the student's own; told about when it is compared
                return
            if y.shape == expected.shape and np.allclose(y, expected, rtol=1e-5, atol=1e-7):
                self.turned = turned
                return

    def take(self, values: dict[str, Array]) -> None:
        """Give the student the parameters' values, and gradients of zero where it keeps some."""
        self._values = {name: value.copy() for name, value in values.items()}
        if not self.is_object:
            return
        for name, value in values.items():
            own = self._name_of(name, VALUES)
            if own is None:
                raise ValueError(
                    f"check: {self.name} has no {name}: it should be called one of"
                    f" {', '.join(VALUES.get(name, (name,)))}"
                )
            held = getattr(self.given, own)
            shape = np.shape(held.data if isinstance(held, Parameter) else held)
            if shape == value.T.shape and (shape != value.shape or self.turned):
                value = value.T
            elif np.prod(shape) != value.size:
                raise ValueError(
                    f"check: {self.name}.{own} has shape {shape}, expected {value.shape}"
                )
            if isinstance(held, Parameter):
                held.data[...] = value.reshape(shape)
                held.zero_grad()
            else:
                setattr(self.given, own, value.reshape(shape).copy())
                self._clear(name)

    def _clear(self, name: str) -> None:
        own = self._name_of(name, GRADIENTS)
        if own is not None and getattr(self.given, own) is not None:
            setattr(self.given, own, np.zeros_like(getattr(self.given, own), dtype=np.float64))

    def value(self, name: str, shape: tuple[int, ...]) -> Array:
        return self._shaped(getattr(self.given, str(self._name_of(name, VALUES))), shape, "data")

    def gradient(self, name: str, shape: tuple[int, ...]) -> Array | None:
        """The gradient the student has now; None where it keeps none."""
        own = self._name_of(name, VALUES) if self.is_object else None
        if own is not None and isinstance(getattr(self.given, own), Parameter):
            return self._shaped(getattr(self.given, own), shape, "grad")
        own = self._name_of(name, GRADIENTS) if self.is_object else None
        held = None if own is None else getattr(self.given, own)
        return None if held is None else self._shaped(held, shape, "")

    def _shaped(self, held: Any, shape: tuple[int, ...], part: str) -> Array:
        array = np.array(getattr(held, part) if isinstance(held, Parameter) else held, np.float64)
        if array.T.shape == shape and (array.shape != shape or self.turned):
            return array.T
        return array.reshape(shape) if array.size == np.prod(shape) else array

    def _name_of(self, name: str, known: dict[str, tuple[str, ...]]) -> str | None:
        names = known.get(name, (name,))
        return next((own for own in names if hasattr(self.given, own)), None)

    # ---- the update of its own

    def updater(self) -> Callable[[float, float], None] | None:
        """Its method that takes (learning rate) or (learning rate, weight decay), if it has one."""
        if not self.is_object or isinstance(self.given, Module):
            return None
        for name in UPDATES:
            method = getattr(self.given, name, None)
            if callable(method):
                count = len(inspect.signature(method).parameters)
                if count:
                    return lambda lr, decay: method(*(lr, decay)[:count])
        return None
