"""Flatten, and the transpose between memory orders that it and every image layer rest on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import LAYOUTS
from tolerance import assert_same_bits

from nncore import reference
from nncore._core import engine

# Around the vector widths (2 to 16), around the transpose's block (64), and above it.
SIZES = [1, 2, 3, 5, 8, 15, 16, 17, 33, 63, 64, 65, 130]


def is_channels_last(array):
    return array.transpose(0, 2, 3, 1).flags.c_contiguous


def numbered(shape, dtype):
    """Every element its own number, so that one element astray shows."""
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


@pytest.mark.parametrize("channels", SIZES)
def test_transposes_every_size(isa, dtype, channels):
    for pixels in SIZES:
        for batch in (0, 1, 3):
            x = numbered((batch, channels, 1, pixels), dtype)
            last = engine.as_channels_last(x)
            assert is_channels_last(last)
            assert_same_bits(last, x)
            first = engine.as_channels_first(last)
            assert first.flags.c_contiguous
            assert_same_bits(first, x)


def test_threads_write_the_same(isa, dtype, threads):
    x = numbered((2, 100, 13, 17), dtype)
    last = engine.as_channels_last(x)
    assert_same_bits(last, x)
    assert_same_bits(engine.as_channels_first(last), x)


def test_an_array_in_order_is_returned_itself():
    x = numbered((2, 3, 4, 5), np.float32)
    last = engine.as_channels_last(x)
    assert engine.as_channels_first(x) is x
    assert engine.as_channels_last(last) is last
    one_channel = numbered((2, 1, 4, 5), np.float32)
    assert engine.as_channels_last(one_channel) is one_channel


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(isa, dtype, layout):
    values = numbered((3, 5, 6, 7), dtype)
    x = engine.floating(LAYOUTS[layout](values), dtype, "Flatten")
    assert_same_bits(engine.as_channels_last(x), values)
    assert_same_bits(engine.as_channels_first(x), values)
    y = engine.flatten_forward(x)
    assert_same_bits(y, reference.flatten(values))
    grad = engine.floating(LAYOUTS[layout](y), dtype, "Flatten")
    dx = engine.flatten_backward(grad, x.shape)
    assert is_channels_last(dx)
    assert_same_bits(dx, reference.flatten_backward(y, values.shape))


def test_a_crop_of_channels_last_memory():
    whole = engine.as_channels_last(numbered((3, 5, 6, 7), np.float32))
    crop = whole[:, :, 1:5, 2:6]
    assert is_channels_last(engine.as_channels_last(crop))
    assert_same_bits(engine.as_channels_last(crop), np.ascontiguousarray(crop))
    assert_same_bits(engine.flatten_forward(crop), np.ascontiguousarray(crop).reshape(3, -1))


@given(shape=st.lists(st.integers(0, 6), min_size=1, max_size=6).map(tuple), last=st.booleans())
def test_any_rank(shape, last):
    x = numbered(shape, np.float64)
    expected = x.reshape(shape[0], int(np.prod(shape[1:])))
    source = engine.as_channels_last(x) if last and len(shape) == 4 else x
    y = engine.flatten_forward(source)
    assert y.flags.c_contiguous
    assert_same_bits(y, expected)
    dx = engine.flatten_backward(y, shape)
    assert_same_bits(dx, x)
    if len(shape) == 4 and x.size:
        assert is_channels_last(dx)


def test_signs_and_nans_travel():
    x = np.array([-0.0, 0.0, np.nan, -np.inf, np.inf, 5e-324], np.float64).reshape(1, 2, 1, 3)
    assert_same_bits(engine.flatten_forward(engine.as_channels_last(x)), x.reshape(1, 6))


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"Flatten: x has shape \(\), expected at least one axis"):
        engine.flatten_forward(np.array(1.0))
    with pytest.raises(ValueError, match=r"body.3: grad has shape \(2, 7\), expected \(2, 12\)"):
        engine.flatten_backward(np.ones((2, 7)), (2, 3, 2, 2), layer="body.3")
    with pytest.raises(ValueError, match="expected at least one axis"):
        engine.flatten_backward(np.ones((2, 7)), ())
    with pytest.raises(ValueError, match=r"x has 2 axes, expected 4"):
        engine.as_channels_last(np.ones((2, 7)))
