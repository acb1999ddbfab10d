"""Average pooling."""

from nncore.nn.arguments import flag, integer, show
from nncore.nn.images import ImageLayer, over_image, window_counts
from nncore.nn.operation import Operation, Pair, Shape


class _AvgPool(ImageLayer):
    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None,
        padding: int | tuple[int, ...],
        ceil_mode: bool,
        count_include_pad: bool,
        divisor_override: int | None,
    ) -> None:
        name = type(self).__name__
        self.kernel_size = self._sizes("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else self._sizes("stride", stride, 1)
        self.padding = self._sizes("padding", padding, 0)
        self.ceil_mode = flag(name, "ceil_mode", ceil_mode)
        self.count_include_pad = flag(name, "count_include_pad", count_include_pad)
        self.divisor_override = (
            None
            if divisor_override is None
            else integer(name, "divisor_override", divisor_override, 1)
        )
        self._check_padding(self.padding, self.kernel_size, "which is", padding)

    def _over_images(self, shape: Shape) -> Operation:
        kernel, stride = over_image(self.kernel_size, 1), over_image(self.stride, 1)
        padding = over_image(self.padding, 0)
        counts = window_counts(shape, kernel, stride, padding, ceil_mode=self.ceil_mode)
        return Operation(
            type(self).__name__,
            "avgpool2d",
            shape,
            (*shape[:2], *counts),
            kernel_size=kernel,
            stride=stride,
            padding=padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
            divisor=self.divisor_override or 0,
        )

    def extra_repr(self) -> str:
        sizes = (show(size) for size in (self.kernel_size, self.stride, self.padding))
        return "kernel_size={}, stride={}, padding={}".format(*sizes)


class AvgPool2d(_AvgPool):
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
        super().__init__(
            kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        )


class AvgPool1d(_AvgPool):
    """Average pooling along a line: `AvgPool2d` over images of height 1.

    Parameters
    ----------
    kernel_size, stride, padding : int
    ceil_mode, count_include_pad : bool
        As in `AvgPool2d`.

    Raises
    ------
    TypeError, ValueError
        As `AvgPool2d`.

    Notes
    -----
    Shapes: x (N, C, L) or (C, L); y (N, C, L') or (C, L') with L' as `AvgPool2d`'s H'.
    """

    _axes = 1

    def __init__(
        self,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] | None = None,
        padding: int | tuple[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad, None)


class GlobalAvgPool2d(ImageLayer):
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

    def _over_images(self, shape: Shape) -> Operation:
        # Without pixels a window of 1 x 1, which the engine refuses.
        whole = max(shape[2], 1), max(shape[3], 1)
        y_shape = (*shape[:2], 1, 1)
        return Operation(
            type(self).__name__, "avgpool2d", shape, y_shape, kernel_size=whole, stride=whole
        )
