"""Convolution of nncore.reference."""

import itertools
from dataclasses import asdict, dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nncore import reference


@dataclass(frozen=True)
class Geometry:
    """How a window walks; int or (height, width)."""

    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0
    dilation: int | tuple[int, int] = 1
    groups: int = 1


# x's shape, number of outputs, window, geometry
CASES = {
    "plain": ((2, 3, 7, 6), 4, (3, 2), Geometry()),
    "1x1": ((2, 3, 5, 4), 2, (1, 1), Geometry()),
    "whole image": ((2, 3, 4, 5), 2, (4, 5), Geometry()),
    "notes' first": ((3, 1, 12, 12), 12, (5, 5), Geometry()),
    "padding": ((2, 2, 5, 7), 3, (3, 3), Geometry(padding=1)),
    "padding wider than the window": ((1, 2, 3, 4), 2, (2, 2), Geometry(padding=(3, 5))),
    "stride over window": ((2, 2, 9, 11), 3, (2, 2), Geometry(stride=(3, 4))),
    "dilation": ((2, 2, 9, 8), 3, (3, 2), Geometry(dilation=(2, 3))),
    "dilation over image": ((2, 2, 2, 3), 3, (2, 2), Geometry(padding=(3, 4), dilation=(5, 6))),
    "groups": ((2, 4, 6, 5), 6, (3, 2), Geometry(groups=2, padding=1)),
    "depthwise": ((2, 3, 6, 5), 3, (3, 3), Geometry(groups=3, padding=1)),
    "depthwise times 2": ((2, 3, 6, 5), 6, (2, 3), Geometry(groups=3, stride=2)),
    "all unequal": ((3, 4, 13, 17), 6, (3, 5), Geometry((2, 3), (1, 2), (3, 2), 2)),
}


def operands(rng, shape, outputs, kernel, geometry, dtype=np.float64):
    x = rng.standard_normal(shape).astype(dtype)
    weight = rng.standard_normal((outputs, shape[1] // geometry.groups, *kernel)).astype(dtype)
    bias = rng.standard_normal(outputs).astype(dtype)
    y = reference.conv2d(x, weight, bias, **asdict(geometry))
    return x, weight, bias, rng.standard_normal(y.shape).astype(dtype)


def by_hand(grad, x, weight, geometry):
    """Return y, dx, dweight, one product at a time, over the cells that exist."""
    stride, padding, dilation = (
        np.broadcast_to(v, 2) for v in (geometry.stride, geometry.padding, geometry.dilation)
    )
    out, (height, width) = len(weight) // geometry.groups, x.shape[2:]
    y, dx, dweight = np.zeros_like(grad), np.zeros_like(x), np.zeros_like(weight)
    for n, o, p, q in np.ndindex(grad.shape):
        for c, i, j in np.ndindex(weight.shape[1:]):
            h = p * stride[0] - padding[0] + i * dilation[0]
            w = q * stride[1] - padding[1] + j * dilation[1]
            if 0 <= h < height and 0 <= w < width:
                cell = n, o // out * weight.shape[1] + c, h, w
                y[n, o, p, q] += weight[o, c, i, j] * x[cell]
                dx[cell] += weight[o, c, i, j] * grad[n, o, p, q]
                dweight[o, c, i, j] += x[cell] * grad[n, o, p, q]
    return y, dx, dweight


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_pytorch(case, dtype, rng, close, torch, torch_gradients):
    geometry = case[-1]
    x, weight, bias, grad = operands(rng, *case, dtype)
    theirs = torch_gradients(
        lambda *a: torch.nn.functional.conv2d(*a, **asdict(geometry)), x, weight, bias, grad=grad
    )
    close(reference.conv2d(x, weight, bias, **asdict(geometry)), theirs.y)
    ours = reference.conv2d_backward(grad, x, weight, **asdict(geometry))
    for our, their in zip(ours, theirs.grads, strict=True):
        close(our, their)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_is_the_sum_by_hand(case, rng, close):
    geometry = case[-1]
    x, weight, bias, grad = operands(rng, *case)
    y, dx, dweight = by_hand(grad, x, weight, geometry)
    close(reference.conv2d(x, weight, None, **asdict(geometry)), y)
    close(reference.conv2d(x, weight, bias, **asdict(geometry)), y + bias[:, None, None])
    ours = reference.conv2d_backward(grad, x, weight, **asdict(geometry))
    for a, b in zip(ours, (dx, dweight, grad.sum((0, 2, 3))), strict=True):
        close(a, b)


@pytest.mark.parametrize("name", ["all unequal", "depthwise times 2", "dilation over image"])
def test_numerical_gradients(name, rng, close, numerical_gradient):
    shape, outputs, kernel, geometry = CASES[name]
    case = (1, shape[1], min(shape[2], 9), min(shape[3], 11)), outputs, kernel, geometry
    x, weight, bias, grad = operands(rng, *case)

    def conv2d(x, weight, bias):
        return reference.conv2d(x, weight, bias, **asdict(geometry))

    dx, dweight, dbias = reference.conv2d_backward(grad, x, weight, **asdict(geometry))
    close(dx, numerical_gradient(lambda a: conv2d(a, weight, bias), x, grad), 1e-7)
    close(dweight, numerical_gradient(lambda a: conv2d(x, a, bias), weight, grad), 1e-7)
    close(dbias, numerical_gradient(lambda a: conv2d(x, weight, a), bias, grad), 1e-7)


@st.composite
def cases(draw):
    small, pairs = st.integers(1, 4), st.tuples(st.integers(1, 3), st.integers(1, 3))
    groups, channels, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(small)
    kernel, dilation = draw(pairs), draw(pairs)
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    size = [
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), d * (k - 1) + 7))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    ]
    geometry = Geometry(draw(pairs), padding, dilation, groups)
    shape = (draw(st.integers(0, 2)), channels * groups, *size)
    return shape, outputs % 2 * groups + groups, kernel, geometry


@settings(max_examples=150, deadline=None)
@given(case=cases(), seed=st.integers(0, 2**32 - 1), infinite=st.booleans())
def test_any_geometry_with_and_without_infinities(close, case, seed, infinite):
    rng, geometry = np.random.default_rng(seed), case[-1]
    x, weight, _, grad = operands(rng, *case)
    if infinite:
        for array in (x, weight, grad):
            if array.size:
                array.flat[rng.integers(array.size)] = rng.choice([np.inf, -np.inf, np.nan])
    with np.errstate(invalid="ignore"):
        y, dx, dweight = by_hand(grad, x, weight, geometry)
    close(reference.conv2d(x, weight, None, **asdict(geometry)), y)
    ours = reference.conv2d_backward(grad, x, weight, **asdict(geometry))
    close(ours[0], dx)
    close(ours[1], dweight)


def test_padding_is_absent_not_multiplied(dtype):
    # The corner weights meet only padding in the corner windows: 0 * inf would give NaN there.
    x, weight = np.ones((1, 1, 3, 4), dtype), np.ones((1, 1, 3, 3), dtype)
    weight[..., 0, :] = np.inf
    with np.errstate(all="raise"):
        y = reference.conv2d(x, weight, padding=1)
        dx, dweight, _ = reference.conv2d_backward(y, x, weight, padding=1)
    np.testing.assert_array_equal(y[0, 0, 0], [4, 6, 6, 4])
    assert np.isposinf(y[0, 0, 1:]).all()
    assert np.isposinf(dx).all()
    assert np.isposinf(dweight).all()

    grad = np.zeros((1, 1, 3, 4), dtype)
    grad[0, 0, 0, 0] = np.inf
    _, dweight, dbias = reference.conv2d_backward(grad, x, np.ones_like(weight), padding=1)
    np.testing.assert_array_equal(
        dweight[0, 0], [[0, 0, 0], [0, np.inf, np.inf], [0, *[np.inf] * 2]]
    )
    np.testing.assert_array_equal(dbias, [np.inf])


@pytest.mark.parametrize("padding", [0, 1])
def test_zero_times_inf_is_nan(padding):
    x, weight = np.zeros((1, 1, 2, 2)), np.array([[[[np.inf, 1.0], [1.0, 1.0]]]])
    y = reference.conv2d(x, weight, padding=padding)
    assert np.isnan(y[0, 0, padding, padding])
    y = reference.conv2d(np.full((1, 1, 2, 2), np.inf), np.zeros((1, 1, 2, 2)), padding=padding)
    assert np.isnan(y).all()


def test_a_window_over_padding_alone_gives_the_bias():
    x, weight = np.ones((1, 1, 1, 1)), np.full((2, 1, 1, 1), np.inf)
    y = reference.conv2d(x, weight, np.array([5.0, -2.0]), padding=1)
    expected = np.array([5.0, -2.0])[:, None, None] + np.zeros((3, 3))
    expected[:, 1, 1] = np.inf
    np.testing.assert_array_equal(y[0], expected)


def test_empty_batch(dtype):
    x, weight, bias = np.ones((0, 4, 6, 5), dtype), np.ones((6, 2, 3, 2), dtype), np.ones(6, dtype)
    y = reference.conv2d(x, weight, bias, 2, 1, 1, 2)
    assert (y.shape, y.dtype) == ((0, 6, 3, 3), dtype)
    dx, dweight, dbias = reference.conv2d_backward(y, x, weight, 2, 1, 1, 2)
    assert (dx.shape, dx.dtype) == (x.shape, dtype)
    np.testing.assert_array_equal(dweight, np.zeros_like(weight), strict=True)
    np.testing.assert_array_equal(dbias, np.zeros_like(bias), strict=True)


def test_memory_layout_does_not_matter(rng):
    geometry = Geometry(2, 1, 1, 2)
    x, weight, bias, grad = operands(rng, (2, 4, 7, 6), 4, (3, 2), geometry)
    expected = reference.conv2d(x, weight, bias, **asdict(geometry))
    gradients = reference.conv2d_backward(grad, x, weight, **asdict(geometry))
    layouts = [np.asfortranarray, lambda a: a[..., ::-1].copy()[..., ::-1]]
    for fx, fw, fg in itertools.product(layouts, repeat=3):
        y = reference.conv2d(fx(x), fw(weight), bias, **asdict(geometry))
        np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-13)
        ours = reference.conv2d_backward(fg(grad), fx(x), fw(weight), **asdict(geometry))
        for a, b in zip(ours, gradients, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("x", "weight", "options", "message"),
    [
        ((1, 3, 5, 5), (2, 4, 3, 3), {}, "x has 3 channels, weight expects 4"),
        ((1, 4, 5, 5), (2, 4, 3, 3), {"groups": 2}, "x has 4 channels, weight expects 8"),
        ((1, 3, 5, 5), (2, 3, 3, 3), {"groups": 2}, "divide 3 channels and 2 outputs, got 2"),
        ((1, 4, 5, 5), (3, 2, 3, 3), {"groups": 2}, "divide 4 channels and 3 outputs, got 2"),
        ((1, 4, 5, 5), (3, 4, 3, 3), {"groups": 0}, "got 0"),
        ((1, 0, 5, 5), (3, 0, 3, 3), {}, "0 channels"),
        (
            (1, 1, 2, 9),
            (1, 1, 3, 3),
            {},
            "window of 3 with dilation 1 is larger than the input of 2",
        ),
        ((1, 1, 4, 9), (1, 1, 3, 3), {"dilation": 2}, "dilation 2 is larger than the input of 4"),
        ((1, 1, 0, 9), (1, 1, 3, 3), {"padding": 2}, "input size must be at least 1, got 0"),
        ((1, 1, 5, 9), (1, 1, 3, 3), {"stride": (1, 0)}, "stride must be at least 1, got 0"),
        ((1, 1, 5, 9), (1, 1, 3, 3), {"dilation": 0}, "dilation must be at least 1, got 0"),
        ((1, 1, 5, 9), (1, 1, 3, 3), {"padding": -1}, "padding must be at least 0, got -1"),
        ((1, 5, 9), (1, 1, 3, 3), {}, "4 dimensions"),
    ],
)
def test_shapes_that_do_not_fit(x, weight, options, message):
    with pytest.raises(ValueError, match=message):
        reference.conv2d(np.ones(x), np.ones(weight), **options)


def test_backward_checks_the_gradients_shape():
    with pytest.raises(ValueError, match=r"grad has shape \(1, 1, 3, 4\), expected \(1, 1, 4, 3\)"):
        reference.conv2d_backward(
            np.ones((1, 1, 3, 4)), np.ones((1, 1, 5, 4)), np.ones((1, 1, 2, 2))
        )
