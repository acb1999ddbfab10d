"""Agreement: the measure itself, on arrays small enough to check by eye."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.agreement import disagreement

ONE = {"y": np.array([1.0, -4.0, 2.0])}


def test_equal_arrays_agree_exactly() -> None:
    assert disagreement(ONE, {"y": ONE["y"].astype(np.float32)}) == 0.0


def test_difference_is_relative_to_the_largest_magnitude_of_the_array() -> None:
    assert disagreement(ONE, {"y": np.array([1.1, -4.0, 2.0])}) == pytest.approx(0.1 / 4)


def test_the_worst_array_counts() -> None:
    one = {"a": np.array([1.0]), "b": np.array([100.0])}
    other = {"a": np.array([1.0]), "b": np.array([110.0])}
    assert disagreement(one, other) == pytest.approx(10 / 110)


@pytest.mark.parametrize(
    "other",
    [
        {"y": np.array([1.0, -4.0])},
        {"y": np.array([[1.0, -4.0, 2.0]])},
        {"z": ONE["y"]},
        {**ONE, "z": ONE["y"]},
        {"y": np.array([1.0, math.nan, 2.0])},
        {"y": np.array([1.0, -math.inf, 2.0])},
        {},
    ],
    ids=["shorter", "other shape", "other name", "one more", "nan", "inf", "nothing"],
)
def test_what_cannot_be_compared_disagrees_infinitely(other: dict[str, np.ndarray]) -> None:
    assert disagreement(ONE, other) == math.inf
    assert disagreement(other, ONE) == math.inf


def test_the_same_nan_and_infinity_agree() -> None:
    odd = {"y": np.array([math.nan, math.inf, 1.0])}
    assert disagreement(odd, {"y": odd["y"].copy()}) == 0.0
    assert disagreement(odd, {"y": odd["y"] + [0, 0, 0.5]}) == pytest.approx(0.5 / 1.5)


def test_empty_arrays_agree_and_no_arrays_do_not() -> None:
    assert disagreement({"y": np.empty(0)}, {"y": np.empty(0)}) == 0.0
    assert disagreement({}, {}) == math.inf
