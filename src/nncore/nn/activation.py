"""Activations: element by element, x and y of the same shape.

How far a result may be from the truth is said in units in the last place (ULP) of the right float32
result, over all float32 numbers; infinities, NaN and results too small for a normal number are
among them. The errors of float64 are at most as many units, unless said otherwise.
"""

from typing import Any

from nncore._core import engine
from nncore.nn.arguments import number
from nncore.nn.arrays import Array
from nncore.nn.module import Module


class _Activation(Module):
    """Two engine functions: y from x, and dx from grad and what is kept of forward, y or x."""

    def _function(self, x: Array) -> Array:
        raise NotImplementedError

    def _derivative(self, grad: Array, kept: Array) -> Array:
        raise NotImplementedError

    def _keeps_x(self) -> bool:
        """Whether the derivative is had from x; else from y, and x need not stay in memory."""
        return False

    def _forward(self, x: Array) -> tuple[Array, Any]:
        y = self._function(x)
        if self._keeps_x():
            return y, x
        y.flags.writeable = False
        return y, y

    def _forward_only(self, x: Array) -> Array:
        return self._function(x)

    def _backward(self, saved: Any, grad: Array) -> Array:
        return self._derivative(grad, saved)

    def _backward_last(self, saved: Any, grad: Array) -> None:
        pass


class ReLU(_Activation):
    """Rectified linear unit: y = max(x, 0); dx = dy where y > 0, else 0.

    NaN stays NaN, in both directions. Source: Nair and Hinton, "Rectified linear units improve
    restricted Boltzmann machines" (2010).
    """

    def _function(self, x: Array) -> Array:
        return engine.relu_forward(x, layer="ReLU")

    def _derivative(self, grad: Array, kept: Array) -> Array:
        return engine.relu_backward(grad, kept, layer="ReLU")


class LeakyReLU(_Activation):
    """Leaky rectified linear unit: y = x where x > 0, else slope x; dx = dy or slope dy.

    Parameters
    ----------
    negative_slope : float
        The slope to the left of 0.

    Raises
    ------
    TypeError, ValueError
        The slope is no number, or not finite.

    Notes
    -----
    Correctly rounded. Source: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network
    acoustic models" (2013).
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = number("LeakyReLU", "negative_slope", negative_slope)

    def _function(self, x: Array) -> Array:
        return engine.leaky_relu_forward(x, self.negative_slope, layer="LeakyReLU")

    def _derivative(self, grad: Array, kept: Array) -> Array:
        return engine.leaky_relu_backward(grad, kept, self.negative_slope, layer="LeakyReLU")

    def _keeps_x(self) -> bool:
        return self.negative_slope < 0

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(_Activation):
    """Exponential linear unit: y = x where x > 0, else alpha (exp(x) - 1).

    dx = dy where x > 0, else dy alpha exp(x), had from y as dy (y + alpha).

    Parameters
    ----------
    alpha : float
        -alpha is the limit to the left.

    Raises
    ------
    TypeError, ValueError
        alpha is no number, or not finite.

    Notes
    -----
    Within 2.5 ULP. Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network
    learning by exponential linear units (ELUs)" (2016).
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = number("ELU", "alpha", alpha)

    def _function(self, x: Array) -> Array:
        return engine.elu_forward(x, self.alpha, layer="ELU")

    def _derivative(self, grad: Array, kept: Array) -> Array:
        return engine.elu_backward(grad, kept, self.alpha, layer="ELU")

    def _keeps_x(self) -> bool:
        return self.alpha < 0

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class GELU(_Activation):
    """Gaussian error linear unit: y = x Phi(x), Phi the normal distribution function.

    dx = dy (Phi(x) + x phi(x)), phi the normal density. With ``approximate="tanh"``
    y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, and dx its derivative.

    Parameters
    ----------
    approximate : str
        "none" or "tanh".

    Raises
    ------
    ValueError
        `approximate` is something else.

    Notes
    -----
    Within 6 ULP (float64: 8), also in the left tail, where x Phi(x) becomes too small for a number.
    The form with tanh: within 6 ULP of its own formula from -1 up; to the left of it the error
    grows with the exponent, up to 250 ULP where the result vanishes, and in float64 up to 3000.
    y(-inf) = -0 in both, the limit (PyTorch: NaN). Source: Hendrycks and Gimpel, "Gaussian
    error linear units (GELUs)" (2016).
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def _function(self, x: Array) -> Array:
        return engine.gelu_forward(x, self.approximate, layer="GELU")

    def _derivative(self, grad: Array, kept: Array) -> Array:
        return engine.gelu_backward(grad, kept, self.approximate, layer="GELU")

    def _keeps_x(self) -> bool:
        return True

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(_Activation):
    """Sigmoid linear unit, also called swish: y = x s with s = 1 / (1 + exp(-x)).

    dx = dy s (1 + x (1 - s)).

    Notes
    -----
    Within 3.5 ULP. y(-inf) = -0, the limit (PyTorch: NaN). Source: Elfwing, Uchibe and Doya,
    "Sigmoid-weighted linear units for neural network function approximation in reinforcement
    learning" (2018).
    """

    def _function(self, x: Array) -> Array:
        return engine.silu_forward(x, layer="SiLU")

    def _derivative(self, grad: Array, kept: Array) -> Array:
        return engine.silu_backward(grad, kept, layer="SiLU")

    def _keeps_x(self) -> bool:
        return True


class Softplus(_Activation):
    """A smooth ReLU: y = log(1 + exp(beta x)) / beta, and x itself where beta x > threshold.

    dx = dy / (1 + exp(-beta x)), and dy beyond the threshold.

    Parameters
    ----------
    beta : float
        How sharply it bends; not 0.
    threshold : float
        Where it is taken as straight.

    Raises
    ------
    TypeError, ValueError
        They are no numbers, or not finite; beta is 0.

    Notes
    -----
    Within 4 ULP of log(1 + exp(x)) for beta = 1 below the threshold; another beta costs the
    roundings of beta x and of the division. Source: Dugas and others, "Incorporating second-order
    functional knowledge for better option pricing" (2001).
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta = number("Softplus", "beta", beta)
        self.threshold = number("Softplus", "threshold", threshold)
        if self.beta == 0:
            raise ValueError(f"Softplus: beta must not be 0, got {beta!r}")

    def _function(self, x: Array) -> Array:
        return engine.softplus_forward(x, self.beta, self.threshold, layer="Softplus")

    def _derivative(self, grad: Array, kept: Array) -> Array:
        return engine.softplus_backward(grad, kept, self.beta, self.threshold, layer="Softplus")

    def _keeps_x(self) -> bool:
        return True

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Sigmoid(_Activation):
    """Logistic function: y = 1 / (1 + exp(-x)); dx = dy y (1 - y).

    Within 2.5 ULP. Never overflows: sigmoid(-1000) = 0.
    """

    def _function(self, x: Array) -> Array:
        return engine.sigmoid_forward(x, layer="Sigmoid")

    def _derivative(self, grad: Array, kept: Array) -> Array:
        return engine.sigmoid_backward(grad, kept, layer="Sigmoid")


class Tanh(_Activation):
    """Hyperbolic tangent: y = tanh(x); dx = dy (1 - y^2). Within 2.5 ULP."""

    def _function(self, x: Array) -> Array:
        return engine.tanh_forward(x, layer="Tanh")

    def _derivative(self, grad: Array, kept: Array) -> Array:
        return engine.tanh_backward(grad, kept, layer="Tanh")
