"""Inputs that are not ready as they are: converted, or refused with a word on what to write."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_int64_max = 2**63 - 1


def converted(x: Any, dtype: np.dtype[Any], layer: str, arg: str) -> NDArray[Any]:
    """`x` as an aligned, native array of `dtype`."""
    if x is None:
        raise TypeError(f"{layer}: {arg} is None, expected an array of {dtype.name}")
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{layer}: {arg} is a masked array ({x.dtype}), expected a plain one:"
            f" use {arg}.filled(value)"
        )
    given_dtype = getattr(x, "dtype", None) is not None
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise TypeError(f"{layer}: {arg} cannot be made an array: {error}") from None
    kind = array.dtype.kind
    if kind in "iub":
        if given_dtype or kind == "b":
            raise TypeError(
                f"{layer}: {arg} has dtype {array.dtype}, expected {dtype.name}: "
                + (
                    f"scale it, for example {arg}.astype(np.{dtype.name}) / 255"
                    if array.dtype.itemsize == 1 and kind != "b"
                    else f"convert it, {arg}.astype(np.{dtype.name})"
                )
            )
    elif kind != "f" or array.dtype.itemsize not in (4, 8):
        hints = {"f": f".astype(np.{dtype.name})", "O": f".astype(np.{dtype.name})", "c": ".real"}
        hint = f": write {arg}{hints[kind]}" if given_dtype and kind in hints else ""
        raise TypeError(f"{layer}: {arg} has dtype {array.dtype}, expected {dtype.name}{hint}")
    return np.require(array, dtype=dtype, requirements=["A", "E"])


def labels(x: Any, layer: str, arg: str, axes: int) -> NDArray[np.int64]:
    """`x` as a C-contiguous int64 array of class numbers."""
    if x is None:
        raise TypeError(f"{layer}: {arg} is None, expected an array of class numbers")
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{layer}: {arg} is a masked array, expected a plain one: use {arg}.filled(value)"
        )
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise TypeError(f"{layer}: {arg} cannot be made an array: {error}") from None
    if array.dtype.kind not in "iufb":
        raise TypeError(f"{layer}: {arg} has dtype {array.dtype}, expected integer class numbers")
    if array.ndim != axes:
        raise ValueError(
            f"{layer}: {arg} has shape {array.shape}, expected "
            + ("one class number a row, (N,)" if axes == 1 else f"class numbers along {axes} axes")
            + (_labels_hint(array, arg) if axes == 1 else "")
        )
    if array.dtype.kind in "fb":
        # An empty list has no dtype of its own.
        if array.size or getattr(x, "dtype", None) is not None:
            raise TypeError(
                f"{layer}: {arg} has dtype {array.dtype}, expected integer class numbers: "
                f"write {arg}.astype(int)"
            )
    elif array.dtype.kind == "u" and array.dtype.itemsize == 8 and array.size:
        row = int(array.argmax())
        if int(array.flat[row]) > _int64_max:
            raise IndexError(
                f"{layer}: {arg}[{row}] is {array.flat[row]}, expected at most {_int64_max}"
            )
    return np.require(array, dtype=np.int64, requirements=["C", "A", "E"])


def row_order(order: Any, count: int, layer: str) -> NDArray[np.int64]:
    """`order` as an int64 array of its own, each number at least 0 and below `count`."""
    array = np.asarray(order)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise TypeError(
            f"{layer}: order has dtype {array.dtype} and shape {array.shape}, expected one row"
            " number a sample, integers (N,)"
        )
    wrong = np.flatnonzero((array < 0) | (array >= count))
    if wrong.size:
        raise IndexError(
            f"{layer}: order[{wrong[0]}] is {array[wrong[0]]}, expected 0 to {count - 1}, as x has"
            f" {count} rows"
        )
    return np.array(array, np.int64, order="C")


def _labels_hint(array: NDArray[Any], arg: str) -> str:
    if array.ndim == 2 and array.shape[1] == 1:
        return f": write {arg}[:, 0]"
    if array.ndim == 2:
        return f": write {arg}.argmax(1) if it is one-hot"
    return ""
