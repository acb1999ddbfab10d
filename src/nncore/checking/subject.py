"""What is checked, a module or a loss, as a function of arrays in double precision."""

import copy
from typing import Any

import numpy as np

from nncore._core import engine
from nncore.losses import LossFunction
from nncore.nn.arrays import Array
from nncore.nn.module import Module
from nncore.nn.recording import no_record, recording


class Subject:
    """A float64 copy of a module (or a loss and its target), its input, and calls of both passes.

    The one that was given is left as it is.
    """

    def __init__(self, module: Any, x: Any, target: Any) -> None:
        self.name = type(module).__name__
        self.is_loss = isinstance(module, LossFunction)
        if not self.is_loss and not isinstance(module, Module):
            raise TypeError(
                f"gradcheck: module must be a Module or a loss, got {self.name}; for NumPy code"
                " of another kind there is nncore.check"
            )
        if self.is_loss != (target is not None):
            what = "needs" if self.is_loss else "takes no"
            raise TypeError(f"gradcheck: {self.name} {what} target")
        self.input_name = "pred" if self.is_loss else "x"
        self.x = _input(x)
        self.target = target
        self.module = copy.deepcopy(module) if self.is_loss else module.astype(np.float64)
        # Calls that differ (Dropout) are made on fresh copies: each is the first call of its copy.
        self.random = False

    @property
    def differentiable(self) -> bool:
        """Whether there is a gradient of the input: not of indices."""
        return self.x.dtype.kind == "f"

    @property
    def parameters(self) -> dict[str, Any]:
        return {} if self.is_loss else dict(self.module.named_parameters())

    def value(self) -> Array:
        """The output: no records, nothing kept."""
        module = self._called()
        with no_record():
            y = module(self.x, self.target) if self.is_loss else module(self.x)
        return np.array(y, np.float64)

    def backward(self, weight: Array) -> tuple[Array, Any, dict[str, Array]]:
        """The output, dx, and the gradients of the parameters after a backward from `weight`."""
        module = self._called()
        if self.is_loss:
            y = module(self.x, self.target)
            given = weight.copy() if weight.ndim else float(weight)
            return np.array(y, np.float64), module.backward(given), {}
        with recording(module):
            y = np.array(module(self.x), np.float64)
            grad = weight.copy()
            dx = module.backward(grad, input_grad=self.differentiable)
        if not np.array_equal(grad, weight):
            raise SpoiltError("backward changes the gradient it is given")
        grads = {name: p.grad.copy() for name, p in module.named_parameters()}
        return y, dx, grads

    def zero_grad(self) -> None:
        if not self.is_loss:
            self.module.zero_grad()

    def _called(self) -> Any:
        return copy.deepcopy(self.module) if self.random else self.module


class SpoiltError(Exception):
    """A pass changed what it must leave alone."""


def _input(x: Any) -> Array:
    array = np.asarray(x)
    if array.dtype.kind in "iu":
        return array.copy()
    return np.array(engine.floating(x, np.dtype(np.float64), "gradcheck", "x"))
