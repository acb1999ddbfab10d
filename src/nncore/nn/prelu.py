"""The rectifier that learns its slope."""

import numpy as np
from numpy.typing import DTypeLike

from nncore.nn.along_axis import AlongAxis
from nncore.nn.arguments import integer, number
from nncore.nn.arrays import element_type
from nncore.nn.operation import Operation, Shape
from nncore.nn.parameter import Parameter


class PReLU(AlongAxis):
    """y = x where x > 0, else weight x; dx = dy or weight dy.

    The gradient of a weight is the sum of x dy over all x of its channel that are not above 0.

    Parameters
    ----------
    num_parameters : int
        1, or as many as x has channels, its axis 1.
    init : float
        The slopes to begin with.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    weight : Parameter, shape (num_parameters,)

    Raises
    ------
    TypeError, ValueError
        At construction: `num_parameters` is no positive integer, `init` no finite number. At a
        call: x has another number of channels.

    Notes
    -----
    Correctly rounded. Shapes: x of any, with several parameters (N, channels, ...). Source: He and
    others, "Delving deep into rectifiers" (2015).
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, dtype: DTypeLike = np.float32
    ) -> None:
        self.num_parameters = integer("PReLU", "num_parameters", num_parameters, 1)
        self.init = number("PReLU", "init", init)
        self.weight = Parameter.zeros((self.num_parameters,), element_type(dtype, "PReLU"))
        self._reset(0, "")

    def _reset(self, seed: int, name: str) -> None:
        self.weight.data.fill(self.init)

    def _axis(self, shape: Shape) -> int:
        if self.num_parameters == 1:
            return 1 if len(shape) == 4 else len(shape) - 1  # any will do
        if len(shape) < 2 or shape[1] != self.num_parameters:
            raise ValueError(
                f"PReLU: x has shape {shape}, expected {self.num_parameters} channels, one for"
                " each weight"
            )
        return 1

    def _along(self, shape: Shape) -> Operation:
        operation = Operation("PReLU", "prelu", shape, shape, channels=self.num_parameters)
        return operation.hold((self.num_parameters,), self.weight, None)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
