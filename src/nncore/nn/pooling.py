"""Pooling layers."""

from typing import Any

from nncore._core import engine
from nncore.nn.arguments import Pair, flag, pair, show
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
