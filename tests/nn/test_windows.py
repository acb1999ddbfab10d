"""Pooling along lines, adaptive, with indices; resizing; convolution's relatives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS
from tolerance import assert_products_close, assert_same_bits

from nncore import nn, reference
from nncore._core import engine

sizes = st.integers(1, 9)
seeds = st.integers(0, 2**32 - 1)


def near(actual, expected, terms=16):
    """Sums of up to `terms` numbers within [-1, 1]."""
    bound = terms * np.finfo(actual.dtype).eps
    np.testing.assert_allclose(actual, expected, rtol=bound, atol=bound)


def drawn(rng, shape, dtype):
    return rng.uniform(-1, 1, shape).astype(dtype)


def both(layer, x, rng):
    """y and dx of a layer, and the gradient that dx is from."""
    y = layer(x)
    y = y[0] if isinstance(y, tuple) else y
    grad = drawn(rng, y.shape, x.dtype)
    return y, grad, layer.backward(grad, input_grad=True)


# ---- adaptive


@settings(max_examples=30)
@given(n=st.integers(0, 2), c=st.integers(1, 19), h=sizes, w=sizes, oh=sizes, ow=sizes, seed=seeds)
def test_adaptive_pools_equal_the_reference(isa, dtype, n, c, h, w, oh, ow, seed):
    rng = np.random.default_rng(seed)
    x = drawn(rng, (n, c, h, w), dtype)
    wide = x.astype(np.float64)
    y, grad, dx = both(nn.AdaptiveAvgPool2d((oh, ow)), x, rng)
    near(y, reference.adaptive_avg_pool2d(wide, (oh, ow)), h * w)
    near(dx, reference.adaptive_avg_pool2d_backward(grad.astype(np.float64), x.shape), oh * ow)

    ties = np.round(x * 2)
    layer = nn.AdaptiveMaxPool2d((oh, ow), return_indices=True)
    y, index = layer(ties)
    expected, place = reference.adaptive_max_pool2d(ties, (oh, ow))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(index, place)
    dx = layer.backward(grad)
    wide = grad.astype(np.float64)
    near(dx, reference.adaptive_max_pool2d_backward(wide, place, x.shape), oh * ow)
    assert_same_bits(nn.AdaptiveMaxPool2d((oh, ow))(ties), y)


def test_where_windows_are_alike_adaptive_is_plain(isa, dtype, rng):
    """6 x 6 still gives 2 x 2: the lecture notes' square output for every input."""
    x = drawn(rng, (2, 5, 6, 9), dtype)
    for adaptive, plain in (
        (nn.AdaptiveAvgPool2d((2, 3)), nn.AvgPool2d(3)),
        (nn.AdaptiveMaxPool2d((2, 3)), nn.MaxPool2d(3)),
        (nn.AdaptiveAvgPool2d(1), nn.GlobalAvgPool2d()),
    ):
        y, grad, dx = both(adaptive, x, rng)
        assert_same_bits(plain(x), y)
        assert_same_bits(plain.backward(grad), dx)
    assert nn.AdaptiveMaxPool2d(2)(drawn(rng, (1, 1, 7, 7), dtype)).shape == (1, 1, 2, 2)


def test_adaptive_maximum_of_nan_and_of_nothing_but_minus_infinity(isa, dtype):
    x = np.full((1, 17, 7, 5), -np.inf, dtype)
    layer = nn.AdaptiveMaxPool2d((3, 2), return_indices=True)
    y, index = layer(x)
    assert (y == -np.inf).all()
    np.testing.assert_array_equal(index[0, 0], [[0, 2], [10, 12], [20, 22]])
    for channel in range(17):
        x[0, channel, channel % 7, channel % 5] = np.nan
    y, _ = layer(x)
    expected, _ = reference.adaptive_max_pool2d(x, (3, 2))
    np.testing.assert_array_equal(y, expected)


# ---- indices


@settings(max_examples=30)
@given(data=st.data(), seed=seeds)
def test_indices_equal_pytorchs(torch, data, seed):
    kernel = [data.draw(st.integers(1, 3)) for _ in range(2)]
    dilation = [data.draw(st.integers(1, 2)) for _ in range(2)]
    spans = zip(kernel, dilation, strict=True)
    padding = [data.draw(st.integers(0, ((k - 1) * d + 1) // 2)) for k, d in spans]
    stride = [data.draw(st.integers(1, 4)) for _ in range(2)]
    arguments = kernel, stride, padding, dilation
    ceil_mode = data.draw(st.booleans())
    shape = (*data.draw(st.sampled_from([(2, 3), (3,)])), data.draw(sizes), data.draw(sizes))
    x = np.random.default_rng(seed).standard_normal(shape)
    try:
        y, index = nn.MaxPool2d(*arguments, True, ceil_mode)(x)
    except ValueError:
        return  # the geometry is tests/core's
    theirs = torch.nn.MaxPool2d(*arguments, True, ceil_mode)(torch.from_numpy(x))
    np.testing.assert_array_equal(y, theirs[0].numpy())
    np.testing.assert_array_equal(index, theirs[1].numpy())
    assert index.dtype == np.int64


def test_indices_of_large_windows_and_of_lines(dtype, torch, rng):
    x = drawn(rng, (2, 3, 40, 33), dtype)
    leaf = torch.from_numpy(x)
    for ours, theirs in (
        (nn.MaxPool2d(17, 5, 3, 1, True), torch.nn.MaxPool2d(17, 5, 3, 1, True)),
        (
            nn.MaxPool2d((40, 33), return_indices=True),
            torch.nn.MaxPool2d((40, 33), None, 0, 1, True),
        ),
        (nn.AdaptiveMaxPool2d((2, 1), True), torch.nn.AdaptiveMaxPool2d((2, 1), True)),
    ):
        np.testing.assert_array_equal(ours(x)[1], theirs(leaf)[1].numpy())
    ours, theirs = nn.MaxPool1d(300, 7, 9, 1, True), torch.nn.MaxPool1d(300, 7, 9, 1, True)
    x = drawn(rng, (2, 3, 500), dtype)
    np.testing.assert_array_equal(ours(x)[1], theirs(torch.from_numpy(x))[1].numpy())


def test_a_layer_with_indices_is_recorded_as_any_other(rng):
    layer, plain = nn.MaxPool2d(2, return_indices=True), nn.MaxPool2d(2)
    x = rng.standard_normal((2, 3, 6, 4))
    y, _ = layer(x)
    assert_same_bits(plain(x), y)
    grad = rng.standard_normal(y.shape)
    assert_same_bits(layer.backward(grad), plain.backward(grad))
    with pytest.raises(RuntimeError, match="no recorded forward"):
        layer.backward(grad)
    layer.eval()(x)
    with pytest.raises(RuntimeError, match="no recorded forward"):
        layer.backward(grad)


@pytest.mark.parametrize(
    "layer", [nn.MaxPool2d(2, None, 0, 1, True), nn.AdaptiveMaxPool2d(2, True)]
)
def test_indices_have_no_place_in_a_container(layer):
    x = np.ones((2, 3, 4, 4), np.float32)
    with pytest.raises(ValueError, match=r"return_indices=True gives two arrays.*by itself"):
        nn.Sequential(layer)(x)
    with pytest.raises(ValueError, match=r"return_indices=True gives two arrays"):
        nn.Sequential(layer).eval()(x)


# ---- resizing

MODES = {
    "nearest": ("nearest", None),
    "bilinear": ("bilinear", False),
    "aligned": ("bilinear", True),
}


def steps(mode, before, after):
    if mode != "aligned":
        return tuple(b / a for b, a in zip(before, after, strict=True))
    pairs = zip(before, after, strict=True)
    return tuple((b - 1) / (a - 1) if a > 1 else 0.0 for b, a in pairs)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=15)
@given(n=st.integers(0, 2), c=st.integers(1, 19), h=sizes, w=sizes, oh=sizes, ow=sizes, seed=seeds)
def test_resize_equals_the_reference(isa, dtype, mode, n, c, h, w, oh, ow, seed):
    rng = np.random.default_rng(seed)
    x = drawn(rng, (n, c, h, w), dtype)
    name, aligned = MODES[mode]
    y, grad, dx = both(nn.Resize2d((oh, ow), None, name, aligned), x, rng)
    step = steps(mode, (h, w), (oh, ow))
    near(y, reference.resize2d(x.astype(np.float64), (oh, ow), step, mode))
    wide = grad.astype(np.float64)
    near(dx, reference.resize2d_backward(wide, x.shape, step, mode), 4 * oh * ow)


@pytest.mark.parametrize(
    "arguments",
    [(5,), ((3, 9),), (None, 2), (None, 0.5), (None, (1.7, 0.4)), (None, 1.05), (1,)],
    ids=str,
)
@pytest.mark.parametrize("mode", MODES)
def test_resize_equals_pytorch(torch, dtype, rng, close, mode, arguments):
    name, aligned = MODES[mode]
    for recompute in (None, True) if arguments[0] is None else (None,):
        for shape in ((2, 3, 7, 10), (5, 4, 6), (1, 1, 3, 3)):
            options = {"mode": name, "align_corners": aligned, "recompute_scale_factor": recompute}
            ours, theirs = (
                nn.Resize2d(*arguments, **options),
                torch.nn.Upsample(*arguments, **options),
            )
            x = drawn(rng, shape, dtype)
            # PyTorch takes batches only.
            leaf = torch.from_numpy(x.reshape(-1, *shape[-3:])).requires_grad_()
            expected = theirs(leaf)
            y, grad, dx = both(ours, x, rng)
            close(y.reshape(expected.shape), expected.detach().numpy())
            expected.backward(torch.from_numpy(grad.reshape(expected.shape)))
            close(dx.reshape(leaf.shape), leaf.grad.numpy())


def test_nearest_takes_pytorchs_cells(torch):
    """In float32, whose quotients are not always right; in float64, channels-last, too."""
    for before in (1, 3, 7, 10, 49, 100):
        x = np.broadcast_to(np.arange(before, dtype=np.float32), (1, 1, 1, before)).copy()
        for after in (1, 2, 5, 9, 14, 20, 47, 98, 123):
            ours = nn.Resize2d((1, after))(x)
            theirs = torch.nn.functional.interpolate(torch.from_numpy(x), (1, after))
            np.testing.assert_array_equal(ours, theirs.numpy())
            np.testing.assert_array_equal(nn.Resize2d((1, after))(x.astype(np.float64)), ours)


@pytest.mark.parametrize("mode", ["bilinear", "aligned"])
def test_resize_numerical_gradient(numerical_gradient, rng, mode):
    layer = nn.Resize2d((5, 3), None, *MODES[mode])
    x = rng.standard_normal((2, 3, 4, 6))
    _, grad, dx = both(layer, x, rng)
    layer.eval()
    expected = numerical_gradient(lambda: layer(x), x, grad)
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-7)


# ---- convolutions


@st.composite
def transposed(draw):
    groups = draw(st.integers(1, 3))
    channels = [groups * draw(st.integers(1, 7)) for _ in range(2)]
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = (draw(pair) for _ in range(3))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    steps = zip(stride, dilation, strict=True)
    more = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in steps)
    shape = (draw(st.integers(0, 3)), channels[0], draw(sizes), draw(sizes))
    return shape, (*channels, kernel, stride, padding, more, groups, draw(st.booleans()), dilation)


@settings(max_examples=30)
@given(case=transposed(), seed=seeds)
def test_transposed_convolution_equals_the_reference(isa, dtype, case, seed):
    shape, arguments = case
    rng = np.random.default_rng(seed)
    layer = nn.ConvTranspose2d(*arguments, dtype=dtype, seed=0)
    x = drawn(rng, shape, dtype)
    geometry = arguments[3:7] + arguments[8:]
    wide = [x.astype(np.float64), layer.weight.data.astype(np.float64)]
    size = [abs(array) for array in wide]
    try:
        y = reference.conv_transpose2d(*wide, None, *geometry)
    except ValueError:
        with pytest.raises(ValueError, match=r"^ConvTranspose2d: padding"):
            layer(x)
        return
    if layer.bias is not None:
        layer.bias.data[...] = 0
    actual, grad, dx = both(layer, x, rng)
    terms = arguments[2][0] * arguments[2][1] * max(arguments[:2]) + 2
    assert_products_close(actual, y, reference.conv_transpose2d(*size, None, *geometry), terms)
    grad = grad.astype(np.float64)
    expected = reference.conv_transpose2d_backward(grad, *wide, *geometry)
    bounds = reference.conv_transpose2d_backward(abs(grad), *size, *geometry)
    assert_products_close(dx, expected[0], bounds[0], terms)
    many = grad.size + 1
    assert_products_close(layer.weight.grad, expected[1], bounds[1], many)
    if layer.bias is not None:
        assert_products_close(layer.bias.grad, expected[2], bounds[2], many)


@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize("kernel", [1, 2, 4, 5])
def test_same_padding_keeps_the_size(isa, dtype, rng, kernel, length):
    for layer, shape in (
        (nn.Conv1d(3, 4, kernel, padding="same", dtype=dtype, seed=1), (2, 3, length)),
        (nn.Conv2d(3, 4, (kernel, 3), padding="same", dtype=dtype, seed=1), (2, 3, length, 5)),
    ):
        x = drawn(rng, shape, dtype)
        y = layer(x)
        assert y.shape[2:] == x.shape[2:]
        total = [k - 1 for k in layer.kernel_size]
        image = x.astype(np.float64).reshape(2, 3, -1, shape[-1])
        weight = layer.weight.data.astype(np.float64).reshape(4, 3, -1, layer.kernel_size[-1])
        total = (0, *total)[-2:]
        extra = tuple(t % 2 for t in total)
        bias = layer.bias.data.astype(np.float64)
        expected = reference.conv2d(
            image, weight, bias, 1, tuple(t // 2 for t in total), 1, 1, extra
        )
        near(y, expected.reshape(y.shape), 3 * 15 + 1)


def test_winograd_serves_uneven_padding_and_transposed_convolutions(rng):
    """16 channels, 3 x 3: both go by it, and agree with the direct sums."""
    x = drawn(rng, (2, 16, 13, 11), np.float32)
    for layer in (
        nn.ConvTranspose2d(16, 20, 3, padding=1, seed=0),
        nn.ConvTranspose2d(16, 20, 3, seed=0),
        nn.Conv2d(16, 20, 3, padding="same", seed=0),
    ):
        results = {}
        for way in (True, False):
            before = engine.winograd_get()
            engine.winograd_set(way)
            try:
                layer.zero_grad()
                y, _, dx = both(layer, x, np.random.default_rng(0))
                results[way] = [y, dx, layer.weight.grad.copy(), layer.bias.grad.copy()]
            finally:
                engine.winograd_set(before)
        assert results[True][0].tobytes() != results[False][0].tobytes()
        for fast, direct in zip(results[True], results[False], strict=True):
            scale = np.abs(direct).max()
            np.testing.assert_allclose(fast, direct, atol=4e-6 * scale, rtol=0)


# ---- bits

LAYERS = {
    "max line": (nn.MaxPool1d(3, 2, 1), (5, 13, 301)),
    "adaptive average": (nn.AdaptiveAvgPool2d((7, 5)), (4, 24, 40, 41)),
    "adaptive maximum": (nn.AdaptiveMaxPool2d((7, 5)), (4, 24, 40, 41)),
    "nearest": (nn.Resize2d((31, 50)), (4, 24, 40, 41)),
    "bilinear": (nn.Resize2d(None, 1.5, "bilinear"), (4, 24, 20, 21)),
    "line": (nn.Conv1d(9, 7, 4, 1, "same", seed=0), (6, 9, 301)),
    "transposed": (nn.ConvTranspose2d(9, 7, 4, 2, 1, seed=0), (6, 9, 20, 21)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_threads_and_layouts_give_the_same_bits(isa, rng, using_threads, name):
    layer, shape = LAYERS[name]
    x = drawn(rng, shape, np.float32)

    def run(x, grad=None):
        layer.zero_grad()
        y = layer(x)
        grad = drawn(np.random.default_rng(1), y.shape, np.float32) if grad is None else grad
        dx = layer.backward(grad, input_grad=True)
        return y, dx, *(p.grad.copy() for p in layer.parameters())

    with using_threads(1):
        first = run(x)
    with using_threads(2) as pieces:
        for one, two in zip(first, run(x), strict=True):
            assert_same_bits(two, one)
        assert pieces() > 0
    grad = drawn(np.random.default_rng(1), first[0].shape, np.float32)
    for layout in ("fortran", "negative", "channels_last"):
        other = engine.floating(LAYOUTS[layout](x), np.float32, "x")
        for one, two in zip(first, run(other, LAYOUTS[layout](grad)), strict=True):
            assert_same_bits(two, one)
