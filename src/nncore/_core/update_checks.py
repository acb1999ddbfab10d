"""What an `engine.Update` asks of its arrays before it keeps pointers to them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Sequence[NDArray[Any]]
FLOATING = (np.dtype(np.float32), np.dtype(np.float64))


def check_arrays(
    params: Arrays, grads: Arrays, states: Sequence[Arrays], least: int, most: int
) -> None:
    """Of one dtype, plain in memory, of equal sizes, and none over another.

    Each parameter has `least` to `most` arrays of state, as many as the first has.
    """
    if not len(params) == len(grads) == len(states):
        raise ValueError(
            f"Update: {len(params)} params, {len(grads)} grads and {len(states)} states, "
            "expected as many of each"
        )
    spans = []
    for i, arrays in enumerate(states):
        if len(arrays) != len(states[0]) or not least <= len(arrays) <= most:
            raise ValueError(
                f"Update: states[{i}] has {len(arrays)} arrays, expected {least} to {most},"
                " as many as the first has"
            )
        for at, array in enumerate((params[i], grads[i], *arrays)):
            _check(array, params[0], params[i], i, at)
            if array.size:
                start = array.__array_interface__["data"][0]
                spans.append((start, start + array.nbytes, i, at))
    # Two threads may work on any two of them at once.
    spans.sort()
    for (_, stop, *one), (start, _, *other) in pairwise(spans):
        if start < stop:
            raise ValueError(
                f"Update: {_name(*one)} and {_name(*other)} share memory, expected arrays of"
                " their own"
            )


def _name(i: int, at: int) -> str:
    """Of array `at` of parameter i: itself, its gradient, its states."""
    return (f"params[{i}]", f"grads[{i}]")[at] if at < 2 else f"states[{i}][{at - 2}]"


def _check(array: Any, first: NDArray[Any], param: NDArray[Any], i: int, at: int) -> None:
    if type(array) is not np.ndarray:
        raise TypeError(f"Update: {_name(i, at)} is a {type(array).__name__}, expected an array")
    if array.dtype not in FLOATING:
        raise TypeError(
            f"Update: {_name(i, at)} has dtype {array.dtype}, expected float32 or float64"
        )
    if array.dtype != first.dtype:
        raise TypeError(
            f"Update: {_name(i, at)} has dtype {array.dtype}, expected {first.dtype} as the first"
            " has"
        )
    if array.size != param.size:
        raise ValueError(
            f"Update: {_name(i, at)} has {array.size} elements, its parameter has {param.size}"
        )
    if not (array.flags.c_contiguous and array.flags.behaved):
        raise ValueError(
            f"Update: {_name(i, at)} must be C-contiguous, aligned, writeable and in native byte"
            " order"
        )
