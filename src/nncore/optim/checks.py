"""Checks of the numbers of a parameter group."""

import math
from numbers import Real
from typing import Any


def number(owner: str, name: str, value: Any, below: float | None = None) -> float:
    """`value` as a float of at least 0, finite, and below `below` where given."""
    # NumPy's scalars are registered as Real; bool is one too, and a mistake here.
    plain = type(value) is float  # nearly always, and the other question takes long
    if not plain and (isinstance(value, bool) or not isinstance(value, Real)):
        raise TypeError(f"{owner}: {name} must be a number, got {value!r}")
    result = float(value)
    if not (0 <= result < (math.inf if below is None else below)):
        expected = "at least 0 and finite" if below is None else f"in [0, {below:g})"
        raise ValueError(f"{owner}: {name} must be {expected}, got {value!r}")
    return result


def limit(owner: str, name: str, value: Any) -> float | None:
    """None, or `value` as a positive float."""
    if value is None:
        return None
    result = number(owner, name, value)
    if result == 0:
        raise ValueError(f"{owner}: {name} must be positive, or None, got {value!r}")
    return result


def flag(owner: str, name: str, value: Any) -> bool:
    """A bool, or the 0 or 1 of a file."""
    if value not in (False, True):
        raise TypeError(f"{owner}: {name} must be a bool, got {value!r}")
    return bool(value)


def betas(owner: str, value: Any) -> tuple[float, float]:
    """Two decay rates in [0, 1)."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{owner}: betas must be two numbers in [0, 1), got {value!r}")
    return (
        number(owner, "betas[0]", value[0], below=1.0),
        number(owner, "betas[1]", value[1], below=1.0),
    )
