"""Convolutional layers."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nncore._core import engine
from nncore.nn import init
from nncore.nn.arguments import Pair, flag, integer, pair
from nncore.nn.arrays import Array, element_type
from nncore.nn.images import batch_of, unbatched
from nncore.nn.module import Module
from nncore.nn.parameter import Parameter


class Conv2d(Module):
    """Two-dimensional convolution (cross-correlation, as is usual).

    y[n, o, i, j] = b[o] + sum over c, u, v of w[o, c, u, v] x[n, c, i s + u d - p, j s + v d - p],
    with stride s, dilation d and padding p of each direction, c running over the input channels of
    o's group. Cells of the padding are zeros that take no part: zero times infinity does not arise
    there.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of x and of y; `groups` divides both.
    kernel_size, stride, padding, dilation : int or (int, int)
        Of height and width.
    groups : int
        The channels are cut into so many groups, each with kernels of its own.
    bias : bool
        Whether there is a b.
    padding_mode : str
        Only "zeros".
    dtype : dtype
        float32 or float64.
    seed : int, optional
        Of the initial values, uniform in [-1/sqrt(k), 1/sqrt(k)) with k the inputs of one output,
        as PyTorch's; see `Linear`.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, kernel height, kernel width)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        At construction: an argument is no integer or out of range, `groups` does not divide the
        channels. At a call: x is not of floating numbers, has other channels, no pixels, or fewer
        than the kernel.

    Notes
    -----
    Shapes: x (N, C, H, W) or (C, H, W); y (N, O, H', W') or (O, H', W') with
    H' = floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1, and W' so.

    3x3 convolutions in float32 with stride, dilation and groups 1 and 12 channels or more on both
    sides are computed by Winograd's algorithm F(2x2, 3x3) [1]_, unless the images are so few and
    small that the direct sum is faster: 16 multiplications for each 2x2 outputs instead of 36.
    The largest error of y, dx and the gradients, against float64 and relative to the array's
    largest magnitude, is within 1e-6 for up to 128 channels of normally distributed data
    (measured: 2e-7 to 7e-7; the direct sum 3e-7 to 2e-6, for its sums are longer). An infinity or
    NaN in x reaches outputs up to 1 further than by the formula, as NaN. With
    `nncore.set_winograd(False)` everything is summed directly, as float64 always is.

    .. [1] A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2016.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        self.in_channels = integer("Conv2d", "in_channels", in_channels, 1)
        self.out_channels = integer("Conv2d", "out_channels", out_channels, 1)
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = pair("Conv2d", "stride", stride, 1)
        self.padding = pair("Conv2d", "padding", padding, 0)
        self.dilation = pair("Conv2d", "dilation", dilation, 1)
        self.groups = integer("Conv2d", "groups", groups, 1)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"Conv2d: {name} must be divisible by groups,"
                    f" got {name}={getattr(self, name)}, groups={self.groups}"
                )
        if padding_mode != "zeros":
            raise ValueError(f"Conv2d: padding_mode must be 'zeros', got {padding_mode!r}")
        wanted = element_type(dtype, "Conv2d")
        seed = init.seed_or_entropy(seed, "Conv2d")
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = Parameter.zeros(shape, wanted)
        self.bias = (
            Parameter.zeros((self.out_channels,), wanted) if flag("Conv2d", "bias", bias) else None
        )
        self._reset(seed, "")

    def _reset(self, seed: int, name: str) -> None:
        init.linear_default(self.weight, self.bias, seed, name)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        if x.ndim == 3 and self.in_channels == 1 != x.shape[0]:
            raise ValueError(
                f"Conv2d: x has shape {x.shape}, expected (N, 1, H, W): for a batch of images with"
                " one channel write x[:, None]"
            )
        y = engine.conv2d_forward(
            batch_of(x, "Conv2d"),
            self.weight.data,
            None if self.bias is None else self.bias.data,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            layer="Conv2d",
        )
        return unbatched(y, x), x

    def _backward(self, saved: Any, grad: Array) -> Array:
        return self._gradients(saved, grad, True)  # type: ignore[return-value]

    def _backward_last(self, saved: Any, grad: Array) -> None:
        self._gradients(saved, grad, False)

    def _gradients(self, x: Array, grad: Array, input_grad: bool) -> Array | None:
        dx = engine.conv2d_backward(
            batch_of(grad, "Conv2d", "grad"),
            batch_of(x, "Conv2d"),
            self.weight.data,
            self.weight.target,
            None if self.bias is None else self.bias.target,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            input_grad,
            layer="Conv2d",
        )
        return dx if dx is None else unbatched(dx, x)

    def _multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        inputs = int(np.prod(self.weight.shape[1:], dtype=np.int64))
        return int(np.prod(y_shape, dtype=np.int64)) * inputs

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}"]
        parts.append(f"stride={self.stride}")
        for name, default in (("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)
