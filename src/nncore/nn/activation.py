"""Activations: element by element, x and y of the same shape, backward from y alone."""

from typing import Any

from nncore._core import engine
from nncore.nn.arrays import Array
from nncore.nn.module import Module


class _Activation(Module):
    """An activation whose derivative is a function of y: two engine functions."""

    @staticmethod
    def _function(x: Array, layer: str) -> Array:
        raise NotImplementedError

    @staticmethod
    def _derivative(grad: Array, y: Array, layer: str) -> Array:
        raise NotImplementedError

    def _forward(self, x: Array) -> tuple[Array, Any]:
        y = self._function(x, type(self).__name__)
        y.flags.writeable = False
        return y, y

    def _forward_only(self, x: Array) -> Array:
        return self._function(x, type(self).__name__)

    def _backward(self, saved: Any, grad: Array) -> Array:
        return self._derivative(grad, saved, type(self).__name__)

    def _backward_last(self, saved: Any, grad: Array) -> None:
        pass


class ReLU(_Activation):
    """Rectified linear unit: y = max(x, 0); dx = dy where y > 0, else 0.

    NaN stays NaN, in both directions. Source: Nair and Hinton, "Rectified linear units improve
    restricted Boltzmann machines" (2010).
    """

    @staticmethod
    def _function(x: Array, layer: str) -> Array:
        return engine.relu_forward(x, layer=layer)

    @staticmethod
    def _derivative(grad: Array, y: Array, layer: str) -> Array:
        return engine.relu_backward(grad, y, layer=layer)


class Sigmoid(_Activation):
    """Logistic function: y = 1 / (1 + exp(-x)); dx = dy y (1 - y).

    Never overflows: sigmoid(-1000) = 0.
    """

    @staticmethod
    def _function(x: Array, layer: str) -> Array:
        return engine.sigmoid_forward(x, layer=layer)

    @staticmethod
    def _derivative(grad: Array, y: Array, layer: str) -> Array:
        return engine.sigmoid_backward(grad, y, layer=layer)


class Tanh(_Activation):
    """Hyperbolic tangent: y = tanh(x); dx = dy (1 - y^2)."""

    @staticmethod
    def _function(x: Array, layer: str) -> Array:
        return engine.tanh_forward(x, layer=layer)

    @staticmethod
    def _derivative(grad: Array, y: Array, layer: str) -> Array:
        return engine.tanh_backward(grad, y, layer=layer)
