"""Softmax and its logarithm, along an axis."""

from nncore.nn.along_axis import AlongAxis
from nncore.nn.arguments import index
from nncore.nn.operation import Operation, Shape


class _AlongDim(AlongAxis):
    """Of the one operation `_kind`, along axis `dim`."""

    _kind: str

    def __init__(self, dim: int) -> None:
        self.dim = index(type(self).__name__, "dim", dim)

    def _axis(self, shape: Shape) -> int:
        if not -len(shape) <= self.dim < len(shape):
            raise ValueError(
                f"{type(self).__name__}: dim is {self.dim}, x has shape {shape}, expected one of"
                f" its {len(shape)} axes"
            )
        return self.dim % len(shape)

    def _along(self, shape: Shape) -> Operation:
        classes = shape[1 if len(shape) == 4 else -1]
        return Operation(type(self).__name__, self._kind, shape, shape, channels=classes)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """y = exp(x) / the sum of exp(x) along axis `dim`; dx = y (dy - the sum of dy y).

    Parameters
    ----------
    dim : int
        The axis whose elements add up to 1; -1 is the last. (PyTorch guesses one where none is
        given.)

    Raises
    ------
    TypeError, ValueError
        dim is no integer; x has no such axis, or none of its elements.

    Notes
    -----
    Never overflows: the largest element is taken off first. Before a cross-entropy it is one
    softmax too many: `CrossEntropyLoss` takes the logits. Source: Bridle, "Probabilistic
    interpretation of feedforward classification network outputs" (1990).
    """

    _kind = "softmax"


class LogSoftmax(_AlongDim):
    """y = x - log of the sum of exp(x) along axis `dim`; dx = dy - exp(y) (the sum of dy).

    Parameters and errors as of `Softmax`. With `NLLLoss` it is `CrossEntropyLoss`.
    """

    _kind = "log_softmax"
