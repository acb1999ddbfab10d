"""How windows meet an image: the geometry that convolution and pooling share."""

from collections.abc import Iterator
from types import EllipsisType
from typing import NamedTuple

Region = tuple[EllipsisType, slice, slice]


class Axis(NamedTuple):
    """How a window walks along one axis of an image."""

    outputs: int
    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    def overlap(self, tap: int) -> tuple[slice, slice]:
        """Return the outputs whose window has its ``tap`` inside the image, and those cells."""
        offset = tap * self.dilation - self.padding  # output o meets cell o * stride + offset
        first = max(0, -(offset // self.stride))
        last = min(self.outputs - 1, (self.size - 1 - offset) // self.stride)
        if last < first:
            return slice(0), slice(0)
        start, stop = first * self.stride + offset, last * self.stride + offset + 1
        return slice(first, last + 1), slice(start, stop, self.stride)


def taps(rows: Axis, columns: Axis) -> Iterator[tuple[int, int, Region, Region]]:
    """Visit the positions of a window in row-major order: (row, column, outputs, cells).

    ``cells`` are what ``outputs`` have at this position of their windows. Where that would be
    padding they are left out: padding does not exist, so it takes part in nothing.
    """
    for i in range(rows.kernel):
        out_rows, in_rows = rows.overlap(i)
        for j in range(columns.kernel):
            out_columns, in_columns = columns.overlap(j)
            yield i, j, (..., out_rows, out_columns), (..., in_rows, in_columns)


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int, up: int) -> int:
    """Return floor((size + 2 padding - dilation (kernel - 1) - 1 + up) / stride) + 1."""
    for name, value, least in (
        ("input size", size, 1),
        ("kernel_size", kernel, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    outputs = (size + 2 * padding - dilation * (kernel - 1) - 1 + up) // stride + 1
    if outputs < 1:
        raise ValueError(
            f"a window of {kernel} with dilation {dilation} is larger than "
            f"the input of {size} with padding {padding}"
        )
    return outputs
