"""Activations made of exponentials and quotients: element by element, x and y of the same shape.

Errors are in units in the last place, as in `nncore.nn.activation`.
"""

from math import inf

from nncore.nn.arguments import number
from nncore.nn.operation import Layer, Operation, Shape


class SELU(Layer):
    """Scaled exponential linear unit: y = scale (x where x > 0, else alpha (exp(x) - 1)).

    scale = 1.0507009873554805 and alpha = 1.6732632423543772 keep mean 0 and variance 1 from layer
    to layer. dx = dy scale where x > 0, else dy (y + scale alpha).

    Notes
    -----
    Within 3 ULP. Source: Klambauer and others, "Self-normalizing neural networks" (2017).
    """

    def _operation(self, shape: Shape) -> Operation:
        return Operation("SELU", "selu", shape, shape)


class CELU(Layer):
    """Continuously differentiable exponential linear unit: y = x where x > 0, else
    alpha (exp(x / alpha) - 1).

    dx = dy where x > 0, else dy exp(x / alpha).

    Parameters
    ----------
    alpha : float
        -alpha is the limit to the left. Positive (PyTorch allows a negative one).

    Raises
    ------
    TypeError, ValueError
        alpha is no number, or not positive.

    Notes
    -----
    Within 2.5 ULP for alpha = 1, else of the rounded x / alpha. Source: Barron, "Continuously
    differentiable exponential linear units" (2017).
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = number("CELU", "alpha", alpha)
        if self.alpha <= 0:
            raise ValueError(f"CELU: alpha must be positive, got {alpha!r}")

    def _operation(self, shape: Shape) -> Operation:
        return Operation("CELU", "celu", shape, shape, parameter=(self.alpha, 0.0))

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Mish(Layer):
    """y = x tanh(log(1 + exp(x))).

    dx = dy (t + x s (1 - t^2)), t that tanh, s = sigmoid(x).

    Notes
    -----
    Within 5 ULP. y(-inf) = -0, the limit (PyTorch: NaN). Source: Misra, "Mish: a self regularized
    non-monotonic activation function" (2020).
    """

    def _operation(self, shape: Shape) -> Operation:
        return Operation("Mish", "mish", shape, shape)


class Softsign(Layer):
    """y = x / (1 + |x|); dx = dy / (1 + |x|)^2.

    Notes
    -----
    Within 1.5 ULP. y of an infinity is NaN, as in PyTorch. Source: Bergstra and others, "Quadratic
    polynomials learn better image features" (2009).
    """

    def _operation(self, shape: Shape) -> Operation:
        return Operation("Softsign", "softsign", shape, shape)


class LogSigmoid(Layer):
    """y = log(1 / (1 + exp(-x))) = -log(1 + exp(-x)); dx = dy / (1 + exp(x)).

    Within 4 ULP, also where it is near 0. Never overflows: y(-1000) = -1000.
    """

    def _operation(self, shape: Shape) -> Operation:
        # Softplus turned round: beta = -1, and no threshold.
        return Operation("LogSigmoid", "softplus", shape, shape, parameter=(-1.0, inf))
