"""The binding of AvgPool2d: every window, instruction set, dtype, layout, number of threads."""

from typing import NamedTuple

import numpy as np
import pytest
from engine_functions import avg_pool2d_backward, avg_pool2d_forward
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS
from tolerance import assert_same_bits

from nncore import nn, reference
from nncore._core import engine


class Window(NamedTuple):
    """The arguments of both directions, in the binding's order."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor: int | None = None


TWO = Window((2, 2), (2, 2))
THREE = Window((3, 3), (2, 2), (1, 1))
# One of each form, and of each of its special cases.
WINDOWS = {
    "2x2": TWO,
    "2x2 padded, ceil": Window((2, 2), (2, 2), (1, 1), ceil_mode=True),
    "3x3 stride 2": THREE,
    "3x3 stride 2, without padding": Window((3, 3), (2, 2), (1, 1), count_include_pad=False),
    "3x3 stride 2, ceil": Window((3, 3), (2, 2), ceil_mode=True),
    "3x3 stride 1": Window((3, 3), (1, 1), (1, 1)),
    "2x2 stride 1": Window((2, 2), (1, 1)),
    "stride over window": Window((2, 1), (3, 4), (1, 0)),
    "one row": Window((1, 4), (1, 2), (0, 2), count_include_pad=False),
    "large, overlapping": Window((5, 6), (1, 1), (2, 3), count_include_pad=False),
    "divisor": Window((3, 2), (2, 1), (1, 1), ceil_mode=True, divisor=5),
    "whole": Window((16, 17), (16, 17)),
}
# 1 to twice the widest vector and one more, and around what is done four vectors at a time.
CHANNELS = [*range(1, 34), 63, 64, 65, 129]


def forward(x, window, **options):
    return avg_pool2d_forward(x, *window, **options)


def backward(dy, shape, window):
    return avg_pool2d_backward(dy, shape, *window)


def is_channels_last(array):
    return array.transpose(0, 2, 3, 1).flags.c_contiguous


def close(actual, expected, terms):
    """Sums of up to `terms` positive numbers and their division, in `actual`'s dtype."""
    np.testing.assert_allclose(actual, expected, rtol=(terms + 2) * np.finfo(actual.dtype).eps)


def check(x, window, rng):
    """Both directions against the reference in float64; x holds no negative number."""
    terms = window.kernel[0] * window.kernel[1]
    wide = x.astype(np.float64)
    y = forward(x, window)
    assert y.dtype == x.dtype
    close(y, reference.avg_pool2d(wide, *window), terms)
    grad = rng.uniform(0, 1, y.shape).astype(x.dtype)
    dx = backward(grad, x.shape, window)
    assert dx.dtype == x.dtype
    close(dx, reference.avg_pool2d_backward(grad.astype(np.float64), x.shape, *window), terms)
    assert is_channels_last(y)
    assert is_channels_last(dx)


@pytest.mark.parametrize("name", WINDOWS)
def test_against_the_reference(isa, dtype, threads, rng, name):
    for channels in (1, 3, 8, 12, 33, 64):
        for height, width in ((16, 17), (23, 9)):
            if name == "whole" and width < 10:
                continue
            check(rng.uniform(0, 1, (2, channels, height, width)).astype(dtype), WINDOWS[name], rng)


@pytest.mark.parametrize("window", [TWO, THREE, WINDOWS["3x3 stride 1"]], ids=str)
def test_every_number_of_channels(isa, dtype, rng, window):
    for channels in CHANNELS:
        check(rng.uniform(0, 1, (2, channels, 7, 6)).astype(dtype), window, rng)


@st.composite
def windows(draw):
    size = [draw(st.integers(1, 9)) for _ in range(2)]
    kernel = [draw(st.integers(1, 4)) for _ in range(2)]
    padding = [draw(st.integers(0, k // 2)) for k in kernel]
    stride = [draw(st.integers(1, 5)) for _ in range(2)]
    divisor = draw(st.none() | st.integers(1, 9))
    flags = draw(st.booleans()), draw(st.booleans())
    window = Window(tuple(kernel), tuple(stride), tuple(padding), *flags, divisor)
    return (draw(st.integers(0, 3)), draw(st.integers(1, 19)), *size), window


@settings(max_examples=200)
@given(case=windows(), seed=st.integers(0, 2**32 - 1))
def test_any_window(isa, dtype, case, seed):
    shape, window = case
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, shape).astype(dtype)
    try:
        reference.avg_pool2d(x, *window)
    except ValueError:
        with pytest.raises(ValueError, match=r"^AvgPool2d: "):
            forward(x, window)
        return
    check(x, window, rng)


@settings(max_examples=100)
@given(case=windows(), seed=st.integers(0, 2**32 - 1))
def test_against_pytorch(case, seed):
    torch = pytest.importorskip("torch")
    shape, window = case
    shape = (max(1, shape[0]), *shape[1:])
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.uniform(0, 1, shape)).requires_grad_()
    try:
        y = forward(x.detach().numpy(), window)
    except ValueError:
        with pytest.raises(RuntimeError):
            torch.nn.functional.avg_pool2d(x, *window)
        return
    expected = torch.nn.functional.avg_pool2d(x, *window)
    close(y, expected.detach().numpy(), 32)
    grad = rng.uniform(0, 1, y.shape)
    expected.backward(torch.from_numpy(grad))
    close(backward(grad, shape, window), x.grad.numpy(), 32)


@pytest.mark.parametrize("name", WINDOWS)
def test_nan_and_infinity_reach_their_windows_only(isa, dtype, rng, name):
    window = WINDOWS[name]
    for channels in (1, 5, 9, 33):
        x = rng.uniform(0, 1, (2, channels, 16, 17)).astype(dtype)
        x[0, channels // 2, 5, 3], x[1, 0, 15, 16] = np.nan, np.inf
        y, expected = forward(x, window), reference.avg_pool2d(x, *window)
        np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
        np.testing.assert_array_equal(np.isinf(y), np.isinf(expected))


def test_examples():
    x = np.arange(1.0, 17).reshape(1, 1, 4, 4)
    y = forward(x, Window((3, 3), (2, 2), ceil_mode=True))
    np.testing.assert_array_equal(y[0, 0], [[6, 7.5], [12, 13.5]])
    y = forward(np.ones((1, 1, 2, 2)), Window((3, 3), (1, 1), (1, 1)))
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), 4 / 9))


def test_the_mean_of_many_stays_exact(isa):
    """Row by row: a sum of a quarter of a million equal numbers loses next to nothing."""
    x = np.full((1, 3, 512, 512), 0.1, np.float32)
    y = forward(x, Window((512, 512), (512, 512)))
    np.testing.assert_allclose(y, np.float32(0.1), rtol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["2x2", "3x3 stride 2", "3x3 stride 1", "large, overlapping"])
def test_layouts_give_the_same_bits(isa, dtype, threads, rng, layout, name):
    window = WINDOWS[name]
    values = rng.standard_normal((3, 13, 22, 19)).astype(dtype)
    y = forward(values, window)
    grad = rng.standard_normal(y.shape).astype(dtype)
    dx = backward(grad, values.shape, window)
    x = engine.floating(LAYOUTS[layout](values), dtype, "AvgPool2d")
    assert_same_bits(forward(x, window), y)
    other_grad = engine.floating(LAYOUTS[layout](grad), dtype, "AvgPool2d")
    assert_same_bits(backward(other_grad, values.shape, window), dx)
    np.testing.assert_array_equal(x, values)


@pytest.mark.parametrize("name", WINDOWS)
def test_threads_give_the_same_bits(isa, dtype, rng, name, threads):
    window = WINDOWS[name]
    x = rng.standard_normal((5, 24, 40, 41)).astype(dtype)
    before = engine.threads_pieces_by_workers()
    y = forward(x, window)
    grad = rng.standard_normal(y.shape).astype(dtype)
    dx = backward(grad, x.shape, window)
    used = engine.threads_get()
    assert (engine.threads_pieces_by_workers() > before) == (used > 1)
    engine.threads_set(1)
    assert_same_bits(forward(x, window), y)
    assert_same_bits(backward(grad, x.shape, window), dx)
    engine.threads_set(used)


@pytest.mark.parametrize("argument", range(3))
@pytest.mark.parametrize("huge", [2**31, 2**62, 2**63, 2**200])
@pytest.mark.parametrize("axis", [0, 1])
def test_huge_geometry(argument, huge, axis):
    arguments = [[3, 3], [2, 2], [1, 1]]
    arguments[argument][axis] = huge
    name = ("kernel_size", "stride", "padding")[argument]
    with pytest.raises(ValueError, match=rf"AvgPool2d: {name}.*{huge}"):
        nn.AvgPool2d(*map(tuple, arguments))(np.ones((1, 1, 9, 9), np.float32))


def test_wrong_arguments():
    x = np.ones((2, 3, 4, 4), np.float32)
    with pytest.raises(ValueError, match=r"AvgPool2d: grad has shape \(2, 3, 1, 2\)"):
        backward(forward(x, TWO)[:, :, :1], x.shape, TWO)
    with pytest.raises(ValueError, match=r"padding\[1\] is 2, expected at most 1"):
        forward(x, Window((2, 2), (2, 2), (0, 2)))
