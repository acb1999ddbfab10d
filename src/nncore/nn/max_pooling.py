"""Max pooling."""

from typing import Any

import numpy as np

from nncore._core import engine
from nncore.nn import records
from nncore.nn.arguments import flag, show
from nncore.nn.arrays import Array
from nncore.nn.images import ImageLayer, over_image, window_counts
from nncore.nn.operation import Operation, Pair, Shape
from nncore.nn.recording import records_kept
from nncore.nn.tracing import Value


class Winners(ImageLayer):
    """A layer each of whose outputs is the largest element of a window."""

    return_indices: bool

    def _operation(self, shape: Shape) -> Operation:
        if self.return_indices:
            raise ValueError(
                f"{type(self).__name__}: return_indices=True gives two arrays, of which no other"
                " layer takes the second: call the layer by itself"
            )
        return super()._operation(shape)

    def __call__(self, x: Any, *more: Any) -> Any:
        """The output for the batch `x`; with `return_indices` also where its elements stood."""
        if not self.return_indices or isinstance(x, Value):
            return super().__call__(x, *more)
        x = self._input(x)
        keep = records_kept(self, 1 if self.training else 0)
        kept_records = records.room(self, keep) if keep else None
        is_batch = x.ndim == self._axes + 2
        operation = super()._operation(self._batch_shape(x.shape))
        y, kept = self._run(operation, x.reshape(operation.x_shape))
        indices = _indices(operation, self._places(operation, kept))
        indices = self._as_given(indices, is_batch)
        y = self._as_given(y, is_batch)
        if kept_records is not None:
            kept_records.append(((operation, kept, is_batch), records.kind(y)))
        return y, indices

    def _places(self, operation: Operation, kept: Any) -> Array:
        """Where in its window each winner stood: integers of y's shape."""
        n, channels, height, width = operation.y_shape
        winners = kept[3]
        size = winners.size // max(1, n * channels * height * width)
        winners = winners.view({1: np.uint8, 2: np.uint16, 4: np.int32}.get(size, np.uint8))
        places: Array = winners.reshape(n, height, width, channels).transpose(0, 3, 1, 2)
        return places


class _MaxPool(Winners):
    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = self._sizes("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else self._sizes("stride", stride, 1)
        self.padding = self._sizes("padding", padding, 0)
        self.dilation = self._sizes("dilation", dilation, 1)
        self.return_indices = flag(type(self).__name__, "return_indices", return_indices)
        self.ceil_mode = flag(type(self).__name__, "ceil_mode", ceil_mode)
        windows = zip(self.kernel_size, self.dilation, strict=True)
        extents = tuple((k - 1) * d + 1 for k, d in windows)
        self._check_padding(self.padding, extents, "whose extent is", padding)

    def _over_images(self, shape: Shape) -> Operation:
        kernel, stride = over_image(self.kernel_size, 1), over_image(self.stride, 1)
        padding, dilation = over_image(self.padding, 0), over_image(self.dilation, 1)
        counts = window_counts(shape, kernel, stride, padding, dilation, self.ceil_mode)
        return Operation(
            type(self).__name__,
            "maxpool2d",
            shape,
            (*shape[:2], *counts),
            kernel_size=kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=self.ceil_mode,
        )

    def _window(self, operation: Operation) -> tuple[Pair, Pair, Pair, Pair, bool]:
        of = operation
        return of.kernel_size, of.stride, of.padding, of.dilation, self.ceil_mode

    def _run(self, operation: Operation, images: Array, save: bool = True) -> tuple[Array, Any]:
        window, name = self._window(operation), operation.label
        return engine.max_pool2d_forward(images, *window, with_index=save, layer=name)

    def _run_back(self, operation: Operation, kept: Any, grad: Array) -> Array:
        window, name = self._window(operation), operation.label
        return engine.max_pool2d_backward(grad, kept, operation.x_shape, *window, layer=name)

    def _places(self, operation: Operation, kept: Any) -> Array:
        places: Array = kept
        return places

    def extra_repr(self) -> str:
        return (
            f"kernel_size={show(self.kernel_size)}, stride={show(self.stride)},"
            f" padding={show(self.padding)}, dilation={show(self.dilation)},"
            f" ceil_mode={self.ceil_mode}"
        )


class MaxPool2d(_MaxPool):
    """Max pooling: the largest value of each window, channel by channel.

    Backward: each gradient goes to the element that won its window; overlapping windows add up. Of
    equal values the first in row-major order wins, NaN wins over everything; padding never wins.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or (int, int)
        Of height and width. `stride` is the kernel size unless given; `padding` is at most half
        the window (with dilation: half its extent).
    return_indices : bool
        Whether a call returns (y, indices): int64, of y's shape, the place of each winner in the
        row-major order of its H x W image. Such a layer is called by itself: in a container, or
        compiled, it is a ValueError.
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


class MaxPool1d(_MaxPool):
    """Max pooling along a line: `MaxPool2d` over images of height 1.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int
    return_indices, ceil_mode : bool
        As in `MaxPool2d`; indices are places along the line.

    Raises
    ------
    TypeError, ValueError
        As `MaxPool2d`.

    Notes
    -----
    Shapes: x (N, C, L) or (C, L); y (N, C, L') or (C, L') with L' as `MaxPool2d`'s H'.
    """

    _axes = 1


def _indices(operation: Operation, places: Array) -> Array:
    """Where in its image each winner stands, from where in its window: (N, C, H', W') int64."""
    height, width = operation.x_shape[2:]
    starts, pitch, steps = _windows(operation, (height, width), operation.y_shape[2:])
    position = places.astype(np.int64)
    row, column = np.divmod(position, pitch)
    flat: Array = (row * steps[0] + starts[0][:, None]) * width + column * steps[1] + starts[1]
    return flat


def _windows(operation: Operation, size: Pair, outputs: Shape) -> tuple[list[Array], int, Pair]:
    """Along both axes the first cells of the windows; taps in a window's row; cells between taps.

    As the engine counts them: nn_pool_window in csrc/ops/op.c.
    """
    places = [np.arange(count) for count in outputs]
    if not operation.adaptive:
        windows = zip(places, operation.stride, operation.padding, strict=True)
        starts = [place * stride - padding for place, stride, padding in windows]
        return starts, operation.kernel_size[1], operation.dilation
    starts = [place * size[axis] // outputs[axis] for axis, place in enumerate(places)]
    whole, rest = divmod(size[1], outputs[1])
    return starts, whole + 2 * (rest > 0), (1, 1)
