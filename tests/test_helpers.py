"""The tests' own helpers do what they say."""

import numpy as np
import pytest
from layouts import LAYOUTS
from tolerance import assert_products_close, assert_same_bits

from nncore._core import engine

SHAPES = [(), (1,), (5,), (0,), (3, 4), (2, 0), (2, 3, 4), (2, 3, 4, 5), (1, 1, 1, 1), (0, 3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_keeps_values(layout, shape, dtype, rng):
    values = rng.standard_normal(shape).astype(dtype)
    made = LAYOUTS[layout](values)
    assert_same_bits(made, values)
    assert not np.shares_memory(made, values)


def test_layouts_are_what_they_say(dtype):
    made = {name: layout(np.ones((2, 3, 4, 5), dtype)) for name, layout in LAYOUTS.items()}
    size = np.dtype(dtype).itemsize
    assert made["contiguous"].flags.c_contiguous
    assert made["fortran"].flags.f_contiguous
    assert made["strided"].strides[-1] == 2 * size
    assert not made["sliced"].flags.c_contiguous
    assert made["sliced"].strides[-1] == size
    assert all(stride < 0 for stride in made["negative"].strides)
    assert not made["read_only"].flags.writeable
    assert not made["misaligned"].flags.aligned
    assert made["channels_last"].transpose(0, 2, 3, 1).flags.c_contiguous


def test_isa_switches(isa):
    assert engine.isa_active() == isa


def test_threads_switch(threads):
    assert threads in (1, 2)


def test_products_close_takes_rounding_and_no_more(dtype):
    expected = np.array([1.0, np.nan, np.inf, 0.0])
    actual = expected.astype(dtype)
    assert_products_close(actual, expected, 1.0, 1)
    actual[0] += 4 * np.finfo(dtype).eps
    assert_products_close(actual, expected, 1.0, 1)
    for index, wrong in ((0, 1.001), (0, np.nan), (1, 0), (2, -np.inf), (3, 1e-3)):
        faulty = expected.astype(dtype)
        faulty[index] = wrong
        with pytest.raises(AssertionError):
            assert_products_close(faulty, expected, 1.0, 1)


def test_same_bits_sees_the_sign_of_zero(dtype):
    nan = np.array([np.nan], dtype)
    assert_same_bits(nan, nan.copy())
    with pytest.raises(AssertionError):
        assert_same_bits(np.zeros(1, dtype), -np.zeros(1, dtype))
