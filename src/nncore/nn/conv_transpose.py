"""Transposed convolution."""

import numpy as np
from numpy.typing import DTypeLike

from nncore.nn.arguments import Pair
from nncore.nn.conv import Convolution
from nncore.nn.images import countable
from nncore.nn.operation import Operation, Shape


class ConvTranspose2d(Convolution):
    """Transposed convolution: the gradient of `Conv2d` with respect to its input, as a layer.

    Each x[n, c, i, j] adds w[c, o, u, v] x[n, c, i, j] to y[n, o, i s + u d - p, j s + v d - p],
    where that lies within y, with stride s, dilation d and padding p of each direction and o
    running over the output channels of c's group; b[o] is added to all.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of x and of y; `groups` divides both.
    kernel_size, stride, padding, output_padding, dilation : int or (int, int)
        Of height and width. `padding` takes rows and columns from both ends of y,
        `output_padding`, which is below `stride` or `dilation`, adds some at the end.
    groups : int
        The channels are cut into so many groups, each with kernels of its own.
    bias : bool
        Whether there is a b.
    padding_mode : str
        Only "zeros".
    dtype : dtype
        float32 or float64.
    seed : int, optional
        Of the initial values, uniform in [-1/sqrt(k), 1/sqrt(k)) with k = out_channels / groups *
        kernel height * kernel width, as PyTorch's; see `Linear`.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, kernel height, kernel width)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        At construction: an argument is no integer or out of range, `groups` does not divide the
        channels. At a call: x is not of floating numbers, has other channels, no pixels, or so few
        that the padding leaves nothing of y.

    Notes
    -----
    Shapes: x (N, C, H, W) or (C, H, W); y (N, O, H', W') or (O, H', W') with
    H' = (H - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1, and W' so.
    3x3 kernels in float32 may be computed by Winograd's algorithm, as in `Conv2d`. Source: Zeiler
    and others, "Deconvolutional networks" (2010).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        output_padding: int | Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Pair = 1,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        self._set(
            (in_channels, out_channels), (kernel_size, stride, dilation), groups, padding_mode
        )
        self.padding = self._sizes("padding", padding, 0)
        self.output_padding = self._sizes("output_padding", output_padding, 0)
        steps = zip(self.output_padding, self.stride, self.dilation, strict=True)
        if any(more >= max(stride, dilation) for more, stride, dilation in steps):
            raise ValueError(
                "ConvTranspose2d: output_padding must be smaller than stride or dilation, got"
                f" {output_padding!r} for stride {self.stride} and dilation {self.dilation}"
            )
        self._set_weights(self.in_channels, self.out_channels, bias, dtype, seed)

    def _over_images(self, shape: Shape) -> Operation:
        height, width = (
            (shape[2 + axis] - 1) * self.stride[axis]
            - 2 * self.padding[axis]
            + self.dilation[axis] * (self.kernel_size[axis] - 1)
            + self.output_padding[axis]
            + 1
            for axis in range(2)
        )
        operation = Operation(
            type(self).__name__,
            "conv_transpose2d",
            shape,
            (shape[0], self.out_channels, countable(height), countable(width)),
            padding=(self.padding[0], self.padding[1]),
            extra=(self.output_padding[0], self.output_padding[1]),
        )
        return self._held(operation, self.in_channels, self.out_channels)

    def _multiply_adds(self, x_shape: Shape, y_shape: Shape) -> int:
        outputs = int(np.prod(self.weight.shape[1:], dtype=np.int64))
        return int(np.prod(x_shape, dtype=np.int64)) * outputs
