"""Checks of the arguments of layers, when a layer is built."""

import math
import operator
from typing import Any

# The engine's sizes are 64-bit; what fits is checked there, together with the geometry.
_LARGEST = 2**63 - 1

Pair = tuple[int, int]


def integer(layer: str, arg: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`, which is 0 or 1."""
    number = _index(value)
    if number is None:
        raise TypeError(f"{layer}: {arg} must be an integer, got {value!r}")
    _check_range(layer, arg, (number,), least, value)
    return number


def index(layer: str, arg: str, value: Any) -> int:
    """`value` as an int that may be negative: the number of an axis."""
    number = _index(value)
    if number is None:
        raise TypeError(f"{layer}: {arg} must be an integer, got {value!r}")
    return number


def pair(layer: str, arg: str, value: Any, least: int) -> Pair:
    """`value`, an integer or two of them (height, width), as a pair of ints of at least `least`."""
    numbers = sizes(layer, arg, value, least, 2)
    return numbers[0], numbers[1]


def sizes(layer: str, arg: str, value: Any, least: int, axes: int) -> tuple[int, ...]:
    """`value`, an integer or one for each of one or two axes, as ints of at least `least`."""
    numbers: tuple[Any, ...]
    if isinstance(value, (tuple, list)):
        if not 1 <= len(value) <= axes:
            wanted = "one or two integers" if axes == 2 else "one integer"
            raise ValueError(f"{layer}: {arg} must be {wanted}, got {value!r}")
        numbers = tuple(_index(part) for part in value)
    else:
        numbers = (_index(value),)
    if None in numbers:
        wanted = "an integer or two of them" if axes == 2 else "an integer"
        raise TypeError(f"{layer}: {arg} must be {wanted}, got {value!r}")
    _check_range(layer, arg, numbers, least, value)
    return (numbers[0], numbers[-1])[:axes]


def number(layer: str, arg: str, value: Any) -> float:
    """`value` as a finite float."""
    if isinstance(value, (bool, str, bytes)) or type(value).__name__ == "bool":
        raise TypeError(f"{layer}: {arg} must be a number, got {value!r}")
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{layer}: {arg} must be a number, got {value!r}") from None
    if not math.isfinite(result):
        raise ValueError(f"{layer}: {arg} must be finite, got {value!r}")
    return result


def flag(layer: str, arg: str, value: Any) -> bool:
    """`value` as a bool."""
    if isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    raise TypeError(f"{layer}: {arg} must be True or False, got {value!r}")


def show(value: tuple[Any, ...]) -> Any:
    """Sizes as a person would write them: one where all are the same."""
    return value[0] if value[0] == value[-1] else value


def _index(value: Any) -> int | None:
    # True is an int to Python, and a mistake here.
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _check_range(layer: str, arg: str, numbers: tuple[int, ...], least: int, value: Any) -> None:
    if min(numbers) < least:
        expected = "positive" if least == 1 else f"at least {least}"
        raise ValueError(f"{layer}: {arg} must be {expected}, got {value!r}")
    if max(numbers) > _LARGEST:
        raise ValueError(f"{layer}: {arg} must be below 2**63, got {value!r}")
