"""Layers over images: batches (N, C, H, W), and (C, H, W) as a batch of one; lines likewise.

A line (N, C, L) is an image of height 1: what a layer does over images, its sister does over lines.
"""

from typing import Any

from nncore._core import engine
from nncore.nn.arguments import sizes
from nncore.nn.arrays import Array
from nncore.nn.operation import Layer, Operation, Pair, Shape

_AXES = {1: "(N, C, L) or (C, L)", 2: "(N, C, H, W) or (C, H, W)"}
_BATCH_AXES = {1: "(batch, channels, length)", 2: "(batch, channels, height, width)"}


class ImageLayer(Layer):
    """A layer whose operation is over images; a subclass defines `_over_images`."""

    _axes = 2  # of an image; 1: of a line

    def _over_images(self, shape: Shape) -> Operation:
        """The operation for images of `shape`, (N, C, H, W)."""
        raise NotImplementedError(f"{type(self).__name__}: define _over_images(shape)")

    def _operation(self, shape: Shape) -> Operation:
        """That for a batch of `shape`; of lines, that of the images that they are."""
        if len(shape) != self._axes + 2:
            raise ValueError(
                f"{type(self).__name__}: x has shape {shape}, expected {_BATCH_AXES[self._axes]}"
            )
        return self._over_images((*shape[:2], 1, shape[2]) if self._axes == 1 else shape)

    def _batch_shape(self, shape: Shape) -> Shape:
        """`shape` of a batch, or of the batch that one sample of `shape` is."""
        if len(shape) not in (self._axes + 1, self._axes + 2):
            raise ValueError(
                f"{type(self).__name__}: x has shape {shape}, expected {_AXES[self._axes]}"
            )
        return shape if len(shape) == self._axes + 2 else (1, *shape)

    def _as_given(self, images: Array, is_batch: bool) -> Array:
        """Images of the engine with the axes that the user's have."""
        if self._axes == 1:
            images = images[:, :, 0]
        return images if is_batch else images[0]

    # The engine, over images: a layer may have a binding of its own.

    def _run(self, operation: Operation, images: Array, save: bool = True) -> tuple[Array, Any]:
        """y, and what backward reads."""
        return engine.operation_forward(operation, images, save=save)

    def _run_back(self, operation: Operation, kept: Any, grad: Array) -> Array:
        return engine.operation_backward(operation, kept, grad)[0]  # type: ignore[return-value]

    # The axes of size 1 come and go as views, whatever the order in memory.

    def _forward(self, x: Array) -> tuple[Array, Any]:
        operation = self._planned(self._batch_shape(x.shape))
        is_batch = x.ndim == self._axes + 2
        y, kept = self._run(operation, x.reshape(operation.x_shape))
        return self._as_given(y, is_batch), (operation, kept, is_batch)

    def _forward_only(self, x: Array) -> Array:
        operation = self._planned(self._batch_shape(x.shape))
        y, _ = self._run(operation, x.reshape(operation.x_shape), save=False)
        return self._as_given(y, x.ndim == self._axes + 2)

    def _backward(self, saved: Any, grad: Array) -> Array:
        operation, kept, is_batch = saved
        dx = self._run_back(operation, kept, grad.reshape(operation.y_shape))
        return self._as_given(dx, is_batch)

    def _backward_last(self, saved: Any, grad: Array) -> None:
        operation, kept, _ = saved
        super()._backward_last((operation, kept), grad.reshape(operation.y_shape))

    # ---- arguments

    def _sizes(self, arg: str, value: Any, least: int) -> tuple[int, ...]:
        """An argument as one integer for each axis."""
        return sizes(type(self).__name__, arg, value, least, self._axes)

    def _check_padding(
        self, padding: tuple[int, ...], extents: tuple[int, ...], what: str, given: Any
    ) -> None:
        """Pooling: no window is mostly padding."""
        if any(p > extent // 2 for p, extent in zip(padding, extents, strict=True)):
            size = " x ".join(str(extent) for extent in extents)
            raise ValueError(
                f"{type(self).__name__}: padding must be at most half the window, {what} {size},"
                f" got {given!r}"
            )


def over_image(sizes: tuple[Any, ...], height: Any) -> Any:
    """Arguments of a line as those of an image, `height` being the one of its height."""
    return sizes if len(sizes) == 2 else (height, *sizes)


def window_counts(
    shape: Shape,
    kernel: Pair,
    stride: Pair,
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    ceil_mode: bool = False,
    extra: Pair = (0, 0),
) -> Pair:
    """How many windows images of `shape` have; the engine looks whether they are any.

    `extra` is padding at the end beyond that at the beginning.
    """
    counts = []
    for axis, size in enumerate(shape[2:]):
        step = stride[axis]
        span = size + 2 * padding[axis] + extra[axis] - dilation[axis] * (kernel[axis] - 1) - 1
        count = (span + (step - 1 if ceil_mode else 0)) // step + 1
        if ceil_mode and (count - 1) * step >= size + padding[axis]:
            count -= 1
        counts.append(count)
    return countable(counts[0]), countable(counts[1])


def countable(size: int) -> int:
    """The size of an output, or one that fits the engine's numbers for it to refuse."""
    return max(-(2**62), min(size, 2**62))
