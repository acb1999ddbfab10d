"""Activations of straight pieces: element by element, x and y of the same shape, rounded once."""

from nncore.nn.arguments import number
from nncore.nn.operation import Layer, Operation, Shape


class Hardtanh(Layer):
    """y = min(max(x, min_val), max_val); dx = dy strictly between the limits, else 0.

    Parameters
    ----------
    min_val, max_val : float
        The limits, the first below the second.

    Raises
    ------
    TypeError, ValueError
        A limit is no number, not finite, or they stand the wrong way round.

    Notes
    -----
    NaN stays NaN; its dx is 0, as in PyTorch. Source: Collobert, "Large scale machine learning"
    (2004).
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        name = type(self).__name__
        self.min_val = number(name, "min_val", min_val)
        self.max_val = number(name, "max_val", max_val)
        if self.min_val >= self.max_val:
            raise ValueError(
                f"{name}: min_val must be below max_val, got {min_val!r} and {max_val!r}"
            )

    def _operation(self, shape: Shape) -> Operation:
        limits = (self.min_val, self.max_val)
        return Operation(type(self).__name__, "hardtanh", shape, shape, parameter=limits)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class ReLU6(Hardtanh):
    """y = min(max(x, 0), 6); dx = dy strictly between 0 and 6, else 0.

    Source: Krizhevsky, "Convolutional deep belief networks on CIFAR-10" (2010).
    """

    def __init__(self) -> None:
        super().__init__(0.0, 6.0)

    def extra_repr(self) -> str:
        return ""


class Hardsigmoid(Layer):
    """y = min(max(x + 3, 0), 6) / 6; dx = dy / 6 strictly between -3 and 3, else 0.

    Within 1.5 ULP of the rounded x + 3, divided. Source: Courbariaux, Bengio and David,
    "BinaryConnect" (2015), with PyTorch's slope.
    """

    def _operation(self, shape: Shape) -> Operation:
        return Operation("Hardsigmoid", "hardsigmoid", shape, shape)


class Hardswish(Layer):
    """y = x min(max(x + 3, 0), 6) / 6; dx = dy (x / 3 + 1/2) between -3 and 3, 0 to the left of it,
    dy to the right.

    Within 2 ULP of x times the rounded x + 3. y(-inf) is NaN, as in PyTorch. Source: Howard and
    others, "Searching for MobileNetV3" (2019).
    """

    def _operation(self, shape: Shape) -> Operation:
        return Operation("Hardswish", "hardswish", shape, shape)
