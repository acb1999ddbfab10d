"""Convolutional layers."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nncore.nn import init
from nncore.nn.arguments import Pair, flag, integer
from nncore.nn.arrays import element_type
from nncore.nn.images import ImageLayer, over_image, window_counts
from nncore.nn.operation import Operation, Shape
from nncore.nn.parameter import Parameter


class Convolution(ImageLayer):
    """What all convolutions are made of; a subclass says what y's shape is."""

    weight: Parameter
    bias: Parameter | None

    def _set(
        self,
        channels: tuple[Any, Any],
        sizes: tuple[Any, Any, Any],
        groups: Any,
        padding_mode: Any,
    ) -> None:
        """Check and keep in and out channels; kernel size, stride and dilation; groups."""
        name = type(self).__name__
        self.in_channels = integer(name, "in_channels", channels[0], 1)
        self.out_channels = integer(name, "out_channels", channels[1], 1)
        self.kernel_size = self._sizes("kernel_size", sizes[0], 1)
        self.stride = self._sizes("stride", sizes[1], 1)
        self.dilation = self._sizes("dilation", sizes[2], 1)
        self.groups = integer(name, "groups", groups, 1)
        for arg in ("in_channels", "out_channels"):
            if getattr(self, arg) % self.groups:
                raise ValueError(
                    f"{name}: {arg} must be divisible by groups,"
                    f" got {arg}={getattr(self, arg)}, groups={self.groups}"
                )
        if padding_mode != "zeros":
            raise ValueError(f"{name}: padding_mode must be 'zeros', got {padding_mode!r}")

    def _set_weights(self, outer: int, inner: int, bias: Any, dtype: Any, seed: Any) -> None:
        """Weights (outer, inner / groups, kernel) and a bias for each output channel."""
        name = type(self).__name__
        wanted = element_type(dtype, name)
        seed = init.seed_or_entropy(seed, name)
        shape = (outer, inner // self.groups, *self.kernel_size)
        self.weight = Parameter.zeros(shape, wanted)
        self.bias = (
            Parameter.zeros((self.out_channels,), wanted) if flag(name, "bias", bias) else None
        )
        self._reset(seed, "")

    def _reset(self, seed: int, name: str) -> None:
        init.linear_default(self.weight, self.bias, seed, name)

    def _held(self, operation: Operation, outer: int, inner: int) -> Operation:
        """The operation with what all convolutions have, its weights last."""
        channels = operation.x_shape[1]
        if channels != self.in_channels:
            each = self.in_channels // self.groups
            grouped = f" ({each} in each of {self.groups} groups)" if self.groups > 1 else ""
            raise ValueError(
                f"{type(self).__name__}: x has {channels} channels,"
                f" weight expects {self.in_channels}{grouped}"
            )
        operation.channels, operation.groups = self.out_channels, self.groups
        operation.kernel_size = over_image(self.kernel_size, 1)
        operation.stride = over_image(self.stride, 1)
        operation.dilation = over_image(self.dilation, 1)
        shape = (outer, inner // self.groups, *self.kernel_size)
        return operation.hold(shape, self.weight, self.bias)

    def _batch_shape(self, shape: Shape) -> Shape:
        if len(shape) == self._axes + 1 and self.in_channels == 1 != shape[0]:
            wanted = "(N, 1, L)" if self._axes == 1 else "(N, 1, H, W)"
            what = "lines" if self._axes == 1 else "images"
            raise ValueError(
                f"{type(self).__name__}: x has shape {shape}, expected {wanted}: for a batch of"
                f" {what} with one channel write x[:, None]"
            )
        return super()._batch_shape(shape)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}"]
        parts.append(f"stride={self.stride}")
        nothing = (0,) * self._axes
        for name, default in (
            ("padding", nothing),
            ("output_padding", nothing),
            ("dilation", (1,) * self._axes),
            ("groups", 1),
        ):
            value = getattr(self, name, default) if name in self.__dict__ else default
            if value != default:
                parts.append(f"{name}={value!r}" if isinstance(value, str) else f"{name}={value}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


class _Conv(Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] | str = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        self._set(
            (in_channels, out_channels), (kernel_size, stride, dilation), groups, padding_mode
        )
        self.padding: str | tuple[int, ...] = self._checked_padding(padding)
        self._set_weights(self.out_channels, self.in_channels, bias, dtype, seed)

    def _checked_padding(self, padding: Any) -> str | tuple[int, ...]:
        if not isinstance(padding, str):
            return self._sizes("padding", padding, 0)
        name = type(self).__name__
        if padding not in ("same", "valid"):
            raise ValueError(f"{name}: padding must be 'same', 'valid' or sizes, got {padding!r}")
        if padding == "same" and max(self.stride) > 1:
            raise ValueError(f"{name}: stride must be 1 for padding 'same', got {self.stride}")
        return padding

    def _padding(self) -> tuple[Pair, Pair]:
        """Cells of padding at the beginning, and how many more at the end."""
        if not isinstance(self.padding, str):
            return over_image(self.padding, 0), (0, 0)
        windows = zip(self.kernel_size, self.dilation, strict=True)
        totals = [(k - 1) * d if self.padding == "same" else 0 for k, d in windows]
        begin = tuple(total // 2 for total in totals)
        return over_image(begin, 0), over_image(tuple(total % 2 for total in totals), 0)

    def _over_images(self, shape: Shape) -> Operation:
        padding, extra = self._padding()
        operation = Operation(
            type(self).__name__, "conv2d", shape, (), padding=padding, extra=extra
        )
        self._held(operation, self.out_channels, self.in_channels)
        counts = window_counts(
            shape,
            operation.kernel_size,
            operation.stride,
            padding,
            operation.dilation,
            extra=extra,
        )
        operation.y_shape = (shape[0], self.out_channels, *counts)
        return operation

    def _multiply_adds(self, x_shape: Shape, y_shape: Shape) -> int:
        inputs = int(np.prod(self.weight.shape[1:], dtype=np.int64))
        return int(np.prod(y_shape, dtype=np.int64)) * inputs


class Conv2d(_Conv):
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
        Of height and width. `padding` may also be "valid", none, or "same": as much as gives y the
        size of x, an odd cell at the end; stride is 1 then.
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
    NaN in x reaches outputs up to 1 further than by the formula, as NaN. In the weight's gradient
    of other float32 convolutions with stride, dilation and groups 1 the same is done along the
    width alone, within the same error, where it saves more than it costs. With
    `nncore.set_winograd(False)` everything is summed directly, as float64 always is.

    .. [1] A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2016.
    """


class Conv1d(_Conv):
    """One-dimensional convolution: `Conv2d` over images of height 1.

    y[n, o, i] = b[o] + sum over c, u of w[o, c, u] x[n, c, i s + u d - p], with stride s, dilation
    d and padding p, c running over the input channels of o's group.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of x and of y; `groups` divides both.
    kernel_size, stride, padding, dilation : int
        `padding` may also be "valid" or "same", as in `Conv2d`.
    groups, bias, padding_mode, dtype, seed
        As in `Conv2d`.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        As `Conv2d`.

    Notes
    -----
    Shapes: x (N, C, L) or (C, L); y (N, O, L') or (O, L') with
    L' = floor((L + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1.
    """

    _axes = 1
