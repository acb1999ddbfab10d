"""The binding of Conv2d: every geometry, instruction set, dtype, layout and number of threads."""

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from engine_functions import conv2d_backward, conv2d_forward
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS
from tolerance import assert_products_close, assert_same_bits

import nncore
from nncore import reference
from nncore._core import engine


class Geometry(NamedTuple):
    """How a window walks, (height, width) each, and the groups of channels."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


# x's shape, outputs, window, geometry
CASES = {
    "plain": ((2, 3, 7, 6), 4, (3, 2), Geometry()),
    "1x1": ((2, 3, 5, 4), 2, (1, 1), Geometry()),
    "1x1 with stride": ((2, 5, 7, 8), 9, (1, 1), Geometry(stride=(2, 3))),
    "whole image": ((2, 3, 4, 5), 2, (4, 5), Geometry()),
    "one of everything": ((1, 1, 1, 1), 1, (1, 1), Geometry()),
    "LeNet's first": ((3, 1, 28, 28), 6, (5, 5), Geometry(padding=(2, 2))),
    "LeNet's second": ((9, 6, 14, 14), 16, (5, 5), Geometry()),
    "notes' first": ((3, 1, 28, 28), 12, (5, 5), Geometry()),
    "notes' second": ((3, 12, 12, 12), 24, (3, 3), Geometry()),
    "colour images": ((2, 3, 32, 32), 32, (3, 3), Geometry(padding=(1, 1))),
    "wide": ((2, 32, 16, 16), 40, (3, 3), Geometry(padding=(1, 1))),
    "an image of many pieces": ((1, 16, 70, 90), 16, (3, 3), Geometry(padding=(1, 1))),
    "a row of many pieces": ((1, 2, 3, 700), 3, (3, 3), Geometry(padding=(1, 1))),
    "padding wider than the window": ((1, 2, 3, 4), 2, (2, 2), Geometry(padding=(3, 5))),
    "stride over window": ((2, 2, 9, 11), 3, (2, 2), Geometry(stride=(3, 4))),
    "stride over image": ((2, 2, 3, 4), 3, (2, 2), Geometry(stride=(30, 40))),
    "dilation": ((2, 2, 9, 8), 3, (3, 2), Geometry(dilation=(2, 3))),
    "dilation over image": ((2, 2, 2, 3), 3, (2, 2), Geometry(padding=(3, 4), dilation=(5, 6))),
    "stride and dilation, common divisor": (
        (2, 2, 15, 17),
        3,
        (3, 4),
        Geometry((4, 6), (2, 3), (6, 4)),
    ),
    "groups": ((2, 4, 6, 5), 6, (3, 2), Geometry(groups=2, padding=(1, 1))),
    "groups of many": ((2, 40, 6, 5), 60, (3, 2), Geometry(groups=2, padding=(1, 1))),
    "depthwise": ((2, 3, 6, 5), 3, (3, 3), Geometry(groups=3, padding=(1, 1))),
    "depthwise, wide": ((2, 37, 9, 8), 37, (3, 3), Geometry((2, 1), (1, 2), (1, 2), 37)),
    "depthwise times 2": ((2, 3, 6, 5), 6, (2, 3), Geometry(groups=3, stride=(2, 2))),
    "all unequal": ((3, 4, 13, 17), 6, (3, 5), Geometry((2, 3), (1, 2), (3, 2), 2)),
}


class Operands(NamedTuple):
    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    grad: np.ndarray


def operands(rng, shape, outputs, kernel, geometry, dtype):
    x = rng.standard_normal(shape).astype(dtype)
    weight = rng.standard_normal((outputs, shape[1] // geometry.groups, *kernel)).astype(dtype)
    bias = rng.standard_normal(outputs).astype(dtype)
    image = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip(shape[2:], kernel, *geometry[:3], strict=True)
    ]
    grad = rng.standard_normal((shape[0], outputs, *image)).astype(dtype)
    return Operands(x, weight, bias, grad)


def backward(o, geometry, **options):
    """dx, dweight, dbias, from zero gradients."""
    dweight, dbias = np.zeros(o.weight.shape, o.weight.dtype), np.zeros_like(o.bias)
    dx = conv2d_backward(o.grad, o.x, o.weight, dweight, dbias, *geometry, **options)
    return dx, dweight, dbias


def check_against_reference(o, geometry):
    wide = Operands(*(a.astype(np.float64) for a in o))
    size = Operands(*(np.abs(a) for a in wide))
    taps = o.weight[0].size
    places = o.grad.size // len(o.weight)

    y = conv2d_forward(o.x, o.weight, o.bias, *geometry)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert_products_close(
        y,
        reference.conv2d(wide.x, wide.weight, wide.bias, *geometry),
        reference.conv2d(size.x, size.weight, size.bias, *geometry),
        taps + 1,
    )
    y = conv2d_forward(o.x, o.weight, None, *geometry)
    assert_products_close(
        y,
        reference.conv2d(wide.x, wide.weight, None, *geometry),
        reference.conv2d(size.x, size.weight, None, *geometry),
        taps,
    )
    dx, dweight, dbias = backward(o, geometry)
    assert dx.transpose(0, 2, 3, 1).flags.c_contiguous
    expected = reference.conv2d_backward(wide.grad, wide.x, wide.weight, *geometry)
    magnitude = reference.conv2d_backward(size.grad, size.x, size.weight, *geometry)
    terms = (taps // o.weight.shape[1] * len(o.weight), places, places)
    for ours, theirs, scale, n in zip(
        (dx, dweight, dbias), expected, magnitude, terms, strict=True
    ):
        assert_products_close(ours, theirs, scale, n + 1)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_reference(case, isa, dtype, rng):
    check_against_reference(operands(rng, *case, dtype), case[-1])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_pytorch(case, rng):
    torch = pytest.importorskip("torch")
    geometry = case[-1]
    o = operands(rng, *case, np.float64)
    x, weight, bias = (torch.tensor(a, requires_grad=True) for a in o[:3])
    y = torch.nn.functional.conv2d(x, weight, bias, *geometry)
    y.backward(torch.tensor(o.grad))
    ours = conv2d_forward(*o[:3], *geometry)
    np.testing.assert_allclose(ours, y.detach().numpy(), rtol=1e-9, atol=1e-9)
    for our, leaf in zip(backward(o, geometry), (x, weight, bias), strict=True):
        np.testing.assert_allclose(our, leaf.grad.numpy(), rtol=1e-9, atol=1e-9)


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def any_case(draw):
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride, dilation = draw(pairs), draw(pairs)
    padding = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    least = [
        max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True)
    ]
    image = [size + draw(st.integers(0, 9)) for size in least]
    groups = draw(st.integers(1, 4))
    channels, outputs = (groups * draw(st.integers(1, 20)) for _ in range(2))
    if draw(st.booleans()):
        outputs = groups = channels
    batch = draw(st.integers(0, 9))
    return (
        (batch, channels, *image),
        outputs,
        kernel,
        Geometry(stride, padding, dilation, groups),
    )


@settings(max_examples=60)
@given(case=any_case(), seed=st.integers(0, 2**32 - 1))
def test_any_geometry_equals_reference(case, seed, isa, dtype):
    check_against_reference(operands(np.random.default_rng(seed), *case, dtype), case[-1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "name", ["colour images", "groups", "depthwise, wide", "one of everything"]
)
def test_layout_does_not_show(layout, name, isa, dtype, rng):
    geometry = CASES[name][-1]
    o = operands(rng, *CASES[name], dtype)
    laid = Operands(*(engine.floating(LAYOUTS[layout](a), np.dtype(dtype), "Conv2d") for a in o))
    before = [np.array(a) for a in laid]
    bias = np.array(laid.bias)
    y = conv2d_forward(laid.x, laid.weight, bias, *geometry)
    assert_same_bits(y, conv2d_forward(*o[:3], *geometry))
    for ours, plain in zip(backward(laid, geometry), backward(o, geometry), strict=True):
        assert_same_bits(ours, plain)
    for now, then in zip(laid, before, strict=True):
        assert_same_bits(now, then)


@pytest.mark.parametrize("name", ["LeNet's second", "an image of many pieces", "depthwise, wide"])
def test_threads_do_not_show(name, threads, dtype, rng):
    geometry = CASES[name][-1]
    shape, *rest = CASES[name]
    o = operands(rng, (19, *shape[1:]), *rest, dtype)
    y, gradients = conv2d_forward(*o[:3], *geometry), backward(o, geometry)
    engine.threads_set(1)
    assert_same_bits(y, conv2d_forward(*o[:3], *geometry))
    for ours, serial in zip(gradients, backward(o, geometry), strict=True):
        assert_same_bits(ours, serial)


def test_two_workers_run_pieces(rng):
    o = operands(rng, (64, 6, 14, 14), 16, (5, 5), Geometry(), np.float32)
    before = engine.threads_get(), engine.threads_threshold_get()
    engine.threads_set(2)
    engine.threads_threshold_set(0)
    try:
        if engine.threads_get() < 2:
            return  # an engine without threads
        for run in (
            lambda: conv2d_forward(*o[:3]),
            lambda: conv2d_backward(o.grad, o.x, o.weight),
            lambda: backward(o, Geometry(), input_grad=False),
        ):
            pieces = engine.threads_pieces_by_workers()
            for _ in range(100):
                run()
            assert engine.threads_pieces_by_workers() > pieces
    finally:
        engine.threads_set(before[0])
        engine.threads_threshold_set(before[1])


@pytest.fixture
def direct():
    """Direct sums only: Winograd's algorithm spreads infinities."""
    nncore.set_winograd(False)
    yield
    nncore.set_winograd(True)


@pytest.mark.parametrize("name", ["LeNet's first", "dilation over image", "groups", "depthwise"])
def test_padding_is_absent(name, isa, dtype, rng, direct):
    """0 * inf is NaN: an infinite factor shows whether padding was multiplied."""
    geometry = CASES[name][-1]
    o = operands(rng, *CASES[name], dtype)
    o.weight[...] = np.inf
    o.x[...] = np.abs(o.x) + 1
    ours = conv2d_forward(o.x, o.weight, None, *geometry)
    expected = reference.conv2d(o.x, o.weight, None, *geometry)
    assert not np.isnan(expected).any()
    np.testing.assert_array_equal(ours, expected)

    o = operands(rng, *CASES[name], dtype)
    o.weight[...] = np.inf
    o.grad[...] = np.inf
    dx, dweight, _ = backward(Operands(np.ones_like(o.x), *o[1:]), geometry)
    expected = reference.conv2d_backward(o.grad, np.ones_like(o.x), o.weight, *geometry)
    for ours, theirs in zip((dx, dweight), expected, strict=False):
        assert not np.isnan(theirs).any()
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["plain", "depthwise", "depthwise, wide"])
def test_zero_times_infinity_is_nan(name, isa, dtype, rng):
    geometry = CASES[name][-1]
    o = operands(rng, *CASES[name], dtype)
    o.x[...] = 0
    o.weight[0, 0, 1, 1] = np.inf
    ours = conv2d_forward(o.x, o.weight, None, *geometry)
    expected = reference.conv2d(o.x, o.weight, None, *geometry)
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("geometry", [Geometry(), Geometry(groups=4)], ids=["dense", "depthwise"])
def test_empty_batch(geometry, isa, dtype, rng):
    o = operands(rng, (0, 4, 6, 5), 4, (3, 2), geometry, dtype)
    y = conv2d_forward(*o[:3], *geometry)
    assert y.shape == (0, 4, 4, 4)
    assert y.dtype == dtype
    dweight, dbias = np.full_like(o.weight, 7), np.full_like(o.bias, 7)
    dx = conv2d_backward(o.grad, o.x, o.weight, dweight, dbias, *geometry)
    assert dx.shape == o.x.shape
    assert (dweight == 7).all()
    assert (dbias == 7).all()


@pytest.mark.parametrize("name", ["notes' first", "depthwise, wide", "stride over window"])
def test_gradients_are_added(name, isa, dtype, rng):
    geometry = CASES[name][-1]
    o = operands(rng, *CASES[name], dtype)
    dx, dweight, dbias = backward(o, geometry)
    twice_weight, twice_bias = dweight.copy(), dbias.copy()
    again = conv2d_backward(o.grad, o.x, o.weight, twice_weight, twice_bias, *geometry)
    assert_same_bits(again, dx)
    assert_same_bits(twice_weight, 2 * dweight)
    assert_same_bits(twice_bias, 2 * dbias)


@pytest.mark.parametrize("name", ["notes' second", "depthwise, wide"])
def test_each_gradient_is_optional(name, isa, dtype, rng):
    geometry = CASES[name][-1]
    o = operands(rng, *CASES[name], dtype)
    all_three = backward(o, geometry)
    for wanted in itertools.product([False, True], repeat=3):
        dweight = np.zeros_like(o.weight) if wanted[1] else None
        dbias = np.zeros_like(o.bias) if wanted[2] else None
        dx = conv2d_backward(o.grad, o.x, o.weight, dweight, dbias, *geometry, input_grad=wanted[0])
        for ours, full, want in zip((dx, dweight, dbias), all_three, wanted, strict=True):
            if want:
                assert_same_bits(ours, full)
            else:
                assert ours is None


def test_errors_have_the_numbers(rng):
    o = operands(rng, (2, 4, 6, 5), 6, (3, 2), Geometry(groups=2), np.float32)

    def forward(x=o.x, weight=o.weight, bias=o.bias, groups=2, **options):
        return conv2d_forward(x, weight, bias, groups=groups, layer="Conv2d 'c1'", **options)

    for options, message in (
        ({"groups": 1}, "weight has 72 elements, expected 144"),
        ({"weight": o.weight[:5]}, "out_channels is 5, expected a multiple of groups = 2"),
        ({"groups": 0}, "groups is 0, expected at least 1"),
        ({"groups": -2}, "groups is -2, expected at least 1"),
        ({"bias": o.bias[:5]}, "bias has 5 elements, expected 6"),
        ({"x": o.x[:, :, :2]}, r"kernel_size\[0\] is 3, expected at most 2"),
        ({"dilation": (1, 5)}, r"kernel_size\[1\] is 6, expected at most 5"),
        ({"stride": (0, 1)}, r"stride\[0\] is 0, expected at least 1"),
        ({"padding": (0, -1)}, r"padding\[1\] is -1, expected at least 0"),
        ({"dilation": (0, 1)}, r"dilation\[0\] is 0, expected at least 1"),
        ({"stride": (2**40, 1)}, r"stride\[0\] is 1099511627776, expected at most"),
        ({"padding": (2**62, 1)}, r"padding\[0\] is 4611686018427387904, expected at most"),
        ({"x": o.x[:, :, :, :0]}, "width is 0, expected at least 1"),
        ({"x": o.x[:, :0], "weight": o.weight[:, :0]}, "in_channels is 0, expected at least 1"),
        ({"weight": o.weight[:0]}, "out_channels is 0, expected at least 1"),
        ({"weight": o.weight[:, :, :0]}, r"kernel_size\[0\] is 0, expected at least 1"),
    ):
        with pytest.raises(ValueError, match=f"Conv2d 'c1': {message}"):
            forward(**options)
    for options, message in (
        ({"weight": o.weight.astype(np.float64)}, "weight has dtype float64, x has float32"),
        ({"bias": o.bias.astype(np.float64)}, "bias has dtype float64, x has float32"),
    ):
        with pytest.raises(TypeError, match=f"Conv2d 'c1': {message}"):
            forward(**options)
    with pytest.raises(MemoryError, match="Conv2d 'c1': x"):
        forward(padding=(2**30, 2**30))


def test_backward_checks_before_it_writes(rng):
    o = operands(rng, (2, 4, 6, 5), 6, (3, 2), Geometry(), np.float32)
    dweight, dbias = np.zeros(o.weight.shape, o.weight.dtype), np.zeros_like(o.bias)
    for grad, dw, db, message in (
        (
            o.grad[:, :, 1:],
            dweight,
            dbias,
            r"grad has shape \(2, 6, 3, 4\), expected \(2, 6, 4",
        ),
        (o.grad[:1], dweight, dbias, r"grad has shape \(1, 6, 4, 4\)"),
        (
            o.grad,
            dweight[:, :2].copy(),
            dbias,
            "weight.grad has 72 elements, expected 144",
        ),
        (o.grad, dweight, dbias[:3], "bias has 3 elements, expected 6"),
    ):
        with pytest.raises(ValueError, match=f"Conv2d: {message}"):
            conv2d_backward(grad, o.x, o.weight, dw, db)
    with pytest.raises(TypeError, match="Conv2d: grad has dtype float64, expected float32"):
        conv2d_backward(o.grad.astype(np.float64), o.x, o.weight, dweight, dbias)
    assert not dweight.any()
    assert not dbias.any()
