"""Adaptive pooling: the output has the size asked for, whatever the input's."""

from typing import Any

from nncore.nn.arguments import flag, show, sizes
from nncore.nn.images import ImageLayer, over_image
from nncore.nn.max_pooling import Winners
from nncore.nn.operation import Operation, Shape


class _Adaptive(ImageLayer):
    """`output_size` windows that share the input evenly."""

    _kind = ""  # the engine's name of the pooling
    output_size: tuple[int | None, ...]

    def _set_output_size(self, value: Any) -> None:
        """An integer or None, or one for each axis."""
        parts = tuple(value) if isinstance(value, (tuple, list)) else (value,)
        given = tuple(1 if part is None else part for part in parts)
        name = type(self).__name__
        checked = sizes(name, "output_size", given if len(parts) != 1 else given[0], 1, self._axes)
        if len(parts) == 1:
            parts *= self._axes
        both = zip(parts, checked, strict=True)
        self.output_size = tuple(None if part is None else size for part, size in both)

    def _over_images(self, shape: Shape) -> Operation:
        wanted = over_image(self.output_size, 1)
        # An input without pixels is for the engine to refuse.
        height, width = (size or max(shape[2 + axis], 1) for axis, size in enumerate(wanted))
        return Operation(
            type(self).__name__,
            self._kind,
            shape,
            (*shape[:2], height, width),
            kernel_size=(height, width),
            adaptive=True,
        )

    def extra_repr(self) -> str:
        return f"output_size={show(self.output_size)}"


class AdaptiveAvgPool2d(_Adaptive):
    """Average pooling to a given size: output i of an axis is the mean of the cells from
    floor(i in / out) up to, and without, ceil((i + 1) in / out).

    Where `out` divides `in` that is `AvgPool2d` with windows of in / out; else windows overlap by
    a cell, and differ by one in size.

    Backward: each gradient, divided by the cells of its window, goes to all of them.

    Parameters
    ----------
    output_size : int, None, or two of them
        Of height and width; None is the input's.

    Raises
    ------
    TypeError, ValueError
        At construction: `output_size` is no positive integer. At a call: x is not of floating
        numbers, has no channels or pixels.

    Notes
    -----
    Shapes: x (N, C, H, W) or (C, H, W); y (N, C, *output_size) or (C, *output_size).
    """

    _kind = "avgpool2d"

    def __init__(self, output_size: int | tuple[int | None, ...] | None) -> None:
        self._set_output_size(output_size)


class AdaptiveAvgPool1d(AdaptiveAvgPool2d):
    """`AdaptiveAvgPool2d` along a line.

    Parameters
    ----------
    output_size : int

    Notes
    -----
    Shapes: x (N, C, L) or (C, L); y (N, C, output_size) or (C, output_size).
    """

    _axes = 1


class AdaptiveMaxPool2d(Winners, _Adaptive):
    """Max pooling to a given size: output i of an axis is the largest of the cells from
    floor(i in / out) up to, and without, ceil((i + 1) in / out).

    Where `out` divides `in` that is `MaxPool2d` with windows of in / out; else windows overlap by
    a cell, and differ by one in size. Winners, ties, NaN and backward are as in `MaxPool2d`.

    Parameters
    ----------
    output_size : int, None, or two of them
        Of height and width; None is the input's.
    return_indices : bool
        As in `MaxPool2d`.

    Raises
    ------
    TypeError, ValueError
        At construction: `output_size` is no positive integer. At a call: x is not of floating
        numbers, has no channels or pixels.

    Notes
    -----
    Shapes: x (N, C, H, W) or (C, H, W); y (N, C, *output_size) or (C, *output_size).
    """

    _kind = "maxpool2d"

    def __init__(
        self, output_size: int | tuple[int | None, ...] | None, return_indices: bool = False
    ) -> None:
        self._set_output_size(output_size)
        self.return_indices = flag(type(self).__name__, "return_indices", return_indices)


class AdaptiveMaxPool1d(AdaptiveMaxPool2d):
    """`AdaptiveMaxPool2d` along a line.

    Parameters
    ----------
    output_size : int
    return_indices : bool
        As in `MaxPool1d`.

    Notes
    -----
    Shapes: x (N, C, L) or (C, L); y (N, C, output_size) or (C, output_size).
    """

    _axes = 1
