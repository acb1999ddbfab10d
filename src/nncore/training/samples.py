"""Samples on their way in: arrays of equal length, checked before anything is trained on them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore._core import engine
from nncore.nn.arrays import Array, value
from nncore.nn.module import Module

Rows = NDArray[np.int64] | slice
Order = NDArray[np.int64] | None


class Samples(NamedTuple):
    """Inputs as the model takes them, and their targets."""

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)

    def rows(
        self, batch_size: int, order: Order = None, begin: int = 0, end: int | None = None
    ) -> Iterator[Rows]:
        """The rows of the batches from `begin` to `end`; the last one takes what is left."""
        last = -(-len(self.x) // batch_size) if end is None else end
        return (self.rows_between(batch_size, order, at, at + 1) for at in range(begin, last))

    def rows_between(self, batch_size: int, order: Order, begin: int, end: int) -> Rows:
        """The rows of all these batches."""
        rows = slice(begin * batch_size, min(end * batch_size, len(self.x)))
        return rows if order is None else order[rows]


def samples(function: str, x: Any, y: Any, model: Module) -> Samples:
    """`x` and `y` as arrays with one row a sample.

    Raises
    ------
    TypeError
        One of them is something that has no rows (a generator), or of a dtype that no network
        takes.
    ValueError
        They differ in length or are empty.
    """
    dtype = model.dtype or np.dtype(np.float32)
    checked = Samples(inputs(function, x, model), _targets(function, y, dtype))
    if len(checked.x) != len(checked.y):
        raise ValueError(f"{function}: x has {len(checked.x)} samples, y has {len(checked.y)}")
    if len(checked.x) == 0:
        raise ValueError(f"{function}: x has no samples")
    return checked


def inputs(function: str, x: Any, model: Module) -> Array:
    """`x` as an array with one row a sample, there may be none: as `model` takes it, whole numbers
    where it looks them up."""
    _refuse_stream(function, "x", x)
    if model._takes_indices(x):
        array = model._input(x)
    else:
        array = value(x, model.dtype or np.dtype(np.float32), function, "x")
    if array.ndim == 0:
        raise ValueError(
            f"{function}: x is a single number, expected an array with one row a sample"
        )
    return array


def _targets(function: str, y: Any, dtype: np.dtype[Any]) -> Array:
    if y is None:
        raise TypeError(f"{function}: y is None, expected the labels or targets of x")
    _refuse_stream(function, "y", y)
    if hasattr(y, "detach"):
        y = y.detach().cpu()
    if isinstance(y, np.ma.MaskedArray):
        raise TypeError(
            f"{function}: y is a masked array, expected a plain one: use y.filled(value)"
        )
    try:
        array = np.asarray(y)
    except ValueError as error:
        raise TypeError(f"{function}: y cannot be made an array: {error}") from None
    if array.dtype.kind in "OSU":
        raise TypeError(
            f"{function}: y has dtype {array.dtype}, expected integer labels from 0 on:"
            " names, y = numpy.unique(y, return_inverse=True) numbers them"
        )
    if array.ndim == 0:
        raise ValueError(
            f"{function}: y is a single number, expected an array with one row a sample"
        )
    if array.dtype.kind in "biu":
        return array
    return np.asarray(engine.floating(array, dtype, function, "y"))


def _refuse_stream(function: str, name: str, given: Any) -> None:
    """Generators and loaders have no rows to shuffle."""
    rows = hasattr(given, "__len__") and hasattr(given, "__getitem__")
    if hasattr(given, "__iter__") and not rows and not hasattr(given, "__array__"):
        raise TypeError(
            f"{function}: {name} is a {type(given).__name__}, expected an array with one row a"
            f" sample: where it gives batches, collect them with numpy.concatenate(list({name}))"
        )


def gives_batches(x: Any, y: Any) -> bool:
    """Whether `x` is meant as a loader: gives pairs (x, y) when iterated over, and is no array."""
    if y is not None or hasattr(x, "__array__") or not hasattr(x, "__iter__"):
        return False
    if isinstance(x, (list, tuple)):
        # A list of batches, rather than of samples whose labels were forgotten.
        return len(x) > 0 and all(
            isinstance(each, tuple)
            and len(each) in (2, 3)
            and all(hasattr(part, "__array__") for part in each)
            for each in x
        )
    return not isinstance(x, (str, bytes, dict))
