"""Pooling layers."""

from typing import Any

from nncore._core import engine
from nncore.nn.arguments import Pair, flag, integer, pair, show
from nncore.nn.arrays import Array
from nncore.nn.images import batch_of, unbatched
from nncore.nn.module import Module


class MaxPool2d(Module):
    """Max pooling: the largest value of each window, channel by channel.

    Backward: each gradient goes to the element that won its window; overlapping windows add up. Of
    equal values the first in row-major order wins, NaN wins over everything; padding never wins.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or (int, int)
        Of height and width. `stride` is the kernel size unless given; `padding` is at most half
        the window (with dilation: half its extent).
    return_indices : bool
        Only False.
    ceil_mode : bool
        Whether a last window that reaches beyond the input counts; it must begin within the input
        or the padding before it.

    Raises
    ------
    TypeError, ValueError
        At construction: an argument is no integer or out of range. At a call: x is not of floating
        numbers, has no channels or pixels, or fewer than the window; a window would hold nothing
        but padding.

    Notes
    -----
    Shapes: x (N, C, H, W) or (C, H, W); y (N, C, H', W') or (C, H', W') with
    H' = floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 (ceil in place of floor in
    `ceil_mode`), and W' so.
    """

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = pair("MaxPool2d", "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("MaxPool2d", "stride", stride, 1)
        self.padding = pair("MaxPool2d", "padding", padding, 0)
        self.dilation = pair("MaxPool2d", "dilation", dilation, 1)
        self.ceil_mode = flag("MaxPool2d", "ceil_mode", ceil_mode)
        if flag("MaxPool2d", "return_indices", return_indices):
            raise ValueError("MaxPool2d: return_indices must be False, got True")
        extents = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        if any(p > extent // 2 for p, extent in zip(self.padding, extents, strict=True)):
            raise ValueError(
                "MaxPool2d: padding must be at most half the window, whose extent is"
                f" {extents[0]} x {extents[1]}, got {padding!r}"
            )

    @property
    def _geometry(self) -> tuple[Pair, Pair, Pair, Pair, bool]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode

    def _forward(self, x: Array) -> tuple[Array, Any]:
        images = batch_of(x, "MaxPool2d")
        y, index = engine.max_pool2d_forward(images, *self._geometry, True, layer="MaxPool2d")
        return unbatched(y, x), (index, images.shape)

    def _forward_only(self, x: Array) -> Array:
        images = batch_of(x, "MaxPool2d")
        y, _ = engine.max_pool2d_forward(images, *self._geometry, False, layer="MaxPool2d")
        return unbatched(y, x)

    def _backward(self, saved: Any, grad: Array) -> Array:
        index, shape = saved
        images = batch_of(grad, "MaxPool2d", "grad")
        dx = engine.max_pool2d_backward(images, index, shape, *self._geometry, layer="MaxPool2d")
        return unbatched(dx, grad)

    def _backward_last(self, saved: Any, grad: Array) -> None:
        pass

    def extra_repr(self) -> str:
        return (
            f"kernel_size={show(self.kernel_size)}, stride={show(self.stride)},"
            f" padding={show(self.padding)}, dilation={show(self.dilation)},"
            f" ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """Average pooling: the mean of each window, channel by channel.

    Backward: each gradient is divided as its window was and goes to all its cells; overlapping
    windows add up.

    Parameters
    ----------
    kernel_size, stride, padding : int or (int, int)
        Of height and width. `stride` is the kernel size unless given; `padding` is at most half
        the window.
    ceil_mode : bool
        Whether a last window that reaches beyond the input counts; it must begin within the input
        or the padding before it.
    count_include_pad : bool
        Whether the cells of the padding count in the number that divides a window's sum. What of a
        window lies beyond the padded input never counts.
    divisor_override : int, optional
        Divides every sum, in place of the number of cells.

    Raises
    ------
    TypeError, ValueError
        At construction: an argument is no integer or out of range. At a call: x is not of floating
        numbers, has no channels or pixels, or fewer than the window.

    Notes
    -----
    Shapes: x (N, C, H, W) or (C, H, W); y (N, C, H', W') or (C, H', W') with
    H' = floor((H + 2 padding - kernel) / stride) + 1 (ceil in place of floor in `ceil_mode`), and
    W' so. Source: LeCun and others, "Gradient-based learning applied to document recognition"
    (1998).
    """

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size = pair("AvgPool2d", "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("AvgPool2d", "stride", stride, 1)
        self.padding = pair("AvgPool2d", "padding", padding, 0)
        self.ceil_mode = flag("AvgPool2d", "ceil_mode", ceil_mode)
        self.count_include_pad = flag("AvgPool2d", "count_include_pad", count_include_pad)
        self.divisor_override = (
            None
            if divisor_override is None
            else integer("AvgPool2d", "divisor_override", divisor_override, 1)
        )
        if any(p > k // 2 for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                "AvgPool2d: padding must be at most half the window, which is"
                f" {self.kernel_size[0]} x {self.kernel_size[1]}, got {padding!r}"
            )

    @property
    def _geometry(self) -> tuple[Pair, Pair, Pair, bool, bool, int | None]:
        return (
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def _forward(self, x: Array) -> tuple[Array, Any]:
        images = batch_of(x, "AvgPool2d")
        y = engine.avg_pool2d_forward(images, *self._geometry, layer="AvgPool2d")
        return unbatched(y, x), images.shape

    def _backward(self, saved: Any, grad: Array) -> Array:
        images = batch_of(grad, "AvgPool2d", "grad")
        dx = engine.avg_pool2d_backward(images, saved, *self._geometry, layer="AvgPool2d")
        return unbatched(dx, grad)

    def _backward_last(self, saved: Any, grad: Array) -> None:
        pass

    def extra_repr(self) -> str:
        sizes = (show(size) for size in (self.kernel_size, self.stride, self.padding))
        return "kernel_size={}, stride={}, padding={}".format(*sizes)


class GlobalAvgPool2d(Module):
    """The mean of each channel over the whole image; PyTorch's ``AdaptiveAvgPool2d(1)``.

    Backward: the gradient of a channel, divided by the number of pixels, goes to all of them.

    Raises
    ------
    TypeError, ValueError
        At a call: x is not of floating numbers, has no channels or pixels.

    Notes
    -----
    Shapes: x (N, C, H, W) or (C, H, W); y (N, C, 1, 1) or (C, 1, 1). Source: Lin, Chen and Yan,
    "Network in network" (2014).
    """

    def _forward(self, x: Array) -> tuple[Array, Any]:
        images = batch_of(x, "GlobalAvgPool2d")
        whole = self._whole(images.shape)
        y = engine.avg_pool2d_forward(images, whole, whole, (0, 0), layer="GlobalAvgPool2d")
        return unbatched(y, x), images.shape

    def _backward(self, saved: Any, grad: Array) -> Array:
        images = batch_of(grad, "GlobalAvgPool2d", "grad")
        whole = self._whole(saved)
        dx = engine.avg_pool2d_backward(
            images, saved, whole, whole, (0, 0), layer="GlobalAvgPool2d"
        )
        return unbatched(dx, grad)

    def _backward_last(self, saved: Any, grad: Array) -> None:
        pass

    @staticmethod
    def _whole(shape: tuple[int, ...]) -> Pair:
        """The window that is the image; without pixels one of 1 x 1, which the engine refuses."""
        return max(shape[2], 1), max(shape[3], 1)
