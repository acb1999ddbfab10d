"""The fully connected layer."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nncore._core import engine
from nncore.nn import init
from nncore.nn.arguments import flag, integer
from nncore.nn.arrays import Array, element_type
from nncore.nn.module import Module
from nncore.nn.parameter import Parameter


class Linear(Module):
    """Fully connected: y = x W^T + b.

    Backward: dx = dy W; dW += dy^T x; db += the sum of dy over the batch.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of a sample of x and of y; 0 is allowed.
    bias : bool
        Whether there is a b.
    dtype : dtype
        float32 or float64.
    seed : int, optional
        Of the initial values, uniform in [-1/sqrt(in_features), 1/sqrt(in_features)) as PyTorch's;
        without it they come from the operating system's entropy. `reset_parameters(seed)` of the
        whole model gives every layer a stream of its own.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
    bias : Parameter, shape (out_features,), or None

    Raises
    ------
    TypeError, ValueError
        At construction: a size is no integer or negative. At a call: x is not of floating numbers;
        its last size is not in_features.

    Notes
    -----
    Shapes: x (..., in_features), y (..., out_features).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        self.in_features = integer("Linear", "in_features", in_features, 0)
        self.out_features = integer("Linear", "out_features", out_features, 0)
        wanted = element_type(dtype, "Linear")
        seed = init.seed_or_entropy(seed, "Linear")
        self.weight = Parameter.zeros((self.out_features, self.in_features), wanted)
        self.bias = (
            Parameter.zeros((self.out_features,), wanted) if flag("Linear", "bias", bias) else None
        )
        self._reset(seed, "")

    def _reset(self, seed: int, name: str) -> None:
        init.linear_default(self.weight, self.bias, seed, name)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        bias = None if self.bias is None else self.bias.data
        return engine.linear_forward(x, self.weight.data, bias, layer="Linear"), x

    def _backward(self, saved: Any, grad: Array) -> Array:
        return self._gradients(saved, grad, True)  # type: ignore[return-value]

    def _backward_last(self, saved: Any, grad: Array) -> None:
        self._gradients(saved, grad, False)

    def _gradients(self, x: Array, grad: Array, input_grad: bool) -> Array | None:
        return engine.linear_backward(
            grad,
            x,
            self.weight.data,
            self.weight.target,
            None if self.bias is None else self.bias.target,
            input_grad,
            layer="Linear",
        )

    def _multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        rows = int(np.prod(x_shape[:-1], dtype=np.int64))
        return rows * self.in_features * self.out_features

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features},"
            f" bias={self.bias is not None}"
        )
