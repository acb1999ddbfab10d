"""Max pooling of nncore.reference."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nncore import reference

NAN, INF = np.nan, np.inf


def windows_by_hand(size, kernel, stride, padding, dilation, ceil_mode):
    """The cells (tap, position) of every window along one axis, found by walking.

    None where there is no output size: padding over half the window, no window, or one of padding
    alone.
    """
    extent = dilation * (kernel - 1) + 1
    if padding > extent / 2:
        return None
    windows, start, right = [], -padding, size + padding
    while start + extent <= right or (
        ceil_mode and start < size and start + extent < right + stride
    ):
        taps = [(t, start + t * dilation) for t in range(kernel)]
        windows.append([(t, cell) for t, cell in taps if 0 <= cell < size])
        start += stride
    return windows if windows and all(windows) else None


def by_hand(x, grad, kernel, stride, padding, dilation, ceil_mode):
    """Return y, index and dx of planes x (N, H, W), one window at a time, or None as above."""
    rows, columns = (
        windows_by_hand(x.shape[1 + a], kernel[a], stride[a], padding[a], dilation[a], ceil_mode)
        for a in (0, 1)
    )
    if rows is None or columns is None:
        return None
    y, dx = np.empty((len(x), len(rows), len(columns)), x.dtype), np.zeros_like(x)
    index = np.empty(y.shape, np.int64)
    for n, p, q in np.ndindex(y.shape):
        best = None
        for i, h in rows[p]:
            for j, w in columns[q]:
                value = x[n, h, w]
                if best is None or (not math.isnan(best) and (value > best or math.isnan(value))):
                    best, cell, index[n, p, q] = value, (n, h, w), i * kernel[1] + j
        y[n, p, q] = best
        dx[cell] += grad(n, p, q)
    return y, index, dx


def pair_of(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def geometries(draw):
    kernel, dilation = draw(pair_of(1, 4)), draw(pair_of(1, 4))
    padding = tuple(
        draw(st.integers(0, (d * (k - 1) + 2) // 2)) for k, d in zip(kernel, dilation, strict=True)
    )
    return kernel, draw(pair_of(1, 5)), padding, dilation, draw(st.booleans())


@settings(max_examples=400, deadline=None)
@given(geometry=geometries(), size=pair_of(1, 11), seed=st.integers(0, 2**32 - 1))
@example(geometry=((2, 2), (1, 1), (1, 1), (2, 2), False), size=(1, 1), seed=0)
@example(geometry=((3, 3), (1, 1), (3, 1), (3, 1), True), size=(2, 5), seed=0)
def test_any_geometry_with_ties_nan_and_infinities(geometry, size, seed):
    rng = np.random.default_rng(seed)
    values = np.array([0, 1, 2, -INF, -INF, INF, NAN], np.float32)
    x = values[rng.integers(0, rng.integers(1, len(values) + 1), (2, *size))]
    expected = by_hand(x, lambda n, p, q: 1 + n + 3 * p + 5 * q, *geometry)
    if expected is None:
        with pytest.raises(ValueError, match=r"padding|larger"):
            reference.max_pool2d(x, *geometry)
        return
    y, index = reference.max_pool2d(x, *geometry)
    np.testing.assert_array_equal(y, expected[0], strict=True)
    np.testing.assert_array_equal(index, expected[1])
    assert index.dtype == np.uint8
    n, p, q = np.indices(y.shape)
    grad = (1 + n + 3 * p + 5 * q).astype(np.float32)
    dx = reference.max_pool2d_backward(grad, index, x.shape, *geometry)
    np.testing.assert_array_equal(dx, expected[2], strict=True)


@settings(max_examples=200, deadline=None)
@given(geometry=geometries(), size=pair_of(1, 11), seed=st.integers(0, 2**32 - 1))
def test_any_geometry_equals_pytorch(torch, geometry, size, seed):
    kernel, _, padding, _, _ = geometry
    # PyTorch refuses padding over half the kernel even if dilation makes the window wide enough.
    padding = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=True))
    geometry = (*geometry[:2], padding, *geometry[3:])
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (2, 3, *size)).astype(np.float64)
    try:
        y, index = reference.max_pool2d(x, *geometry)
    except ValueError as error:
        if "padding only" not in str(error):  # There PyTorch would read outside its input.
            with pytest.raises(RuntimeError):
                torch.nn.functional.max_pool2d(torch.tensor(x), *geometry)
        return
    leaf = torch.tensor(x, requires_grad=True)
    theirs = torch.nn.functional.max_pool2d(leaf, *geometry)
    np.testing.assert_array_equal(y, theirs.detach().numpy(), strict=True)
    grad = rng.integers(-9, 10, y.shape).astype(np.float64)
    theirs.backward(torch.tensor(grad))
    dx = reference.max_pool2d_backward(grad, index, x.shape, *geometry)
    np.testing.assert_array_equal(dx, leaf.grad.numpy(), strict=True)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0)},
        {"kernel_size": 3, "stride": 1, "padding": 1},
        {"kernel_size": 3, "stride": 2, "ceil_mode": True},
        {"kernel_size": 2, "stride": (1, 4), "dilation": (3, 2)},
    ],
    ids=str,
)
def test_equals_pytorch(options, dtype, rng, close, torch, torch_gradients):
    x = rng.standard_normal((4, 3, 13, 10)).astype(dtype)
    y, index = reference.max_pool2d(x, **options)
    grad = rng.standard_normal(y.shape).astype(dtype)
    theirs = torch_gradients(lambda a: torch.nn.functional.max_pool2d(a, **options), x, grad=grad)
    np.testing.assert_array_equal(y, theirs.y, strict=True)
    close(reference.max_pool2d_backward(grad, index, x.shape, **options), theirs.grads[0])


def test_numerical_gradient(rng, close, numerical_gradient):
    options = {"kernel_size": (3, 2), "stride": (1, 2), "padding": 1}
    x = rng.permutation(2 * 7 * 6).reshape(2, 1, 7, 6).astype(np.float64)  # No ties.
    y, index = reference.max_pool2d(x, **options)
    grad = rng.standard_normal(y.shape)
    dx = reference.max_pool2d_backward(grad, index, x.shape, **options)
    close(dx, numerical_gradient(lambda a: reference.max_pool2d(a, **options)[0], x, grad), 1e-7)


def test_ceil_mode_example():
    x = np.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    y, index = reference.max_pool2d(x, 3, 2, ceil_mode=True)
    np.testing.assert_array_equal(y, [[[[11, 12], [15, 16]]]])
    np.testing.assert_array_equal(index, [[[[8, 7], [5, 4]]]])
    assert reference.max_pool2d(x, 3, 2)[0].shape == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((4, 3, 2, 0, 1, True), 2),
        ((4, 3, 2, 0, 1, False), 1),
        ((5, 2, 3, 0, 1, True), 2),
        ((4, 1, 3, 0, 1, True), 2),
        ((3, 2, 3, 1, 1, True), 2),  # A third window would start in the right padding.
        ((3, 1, 5, 0, 1, True), 1),  # A second one would start beyond the input.
        ((2, 3, 2, 0, 1, True), 1),
        ((28, 2, 2, 0, 1, False), 14),
        ((9, 3, 1, 2, 3, False), 7),
        ((1, 3, 1, 1, 1, False), 1),
        ((2**62, 2**61, 2**61, 0, 1, False), 2),
    ],
)
def test_output_size(arguments, expected):
    assert reference.pool_output_size(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 2, 1, 1, 2, False), "padding only in an input of 1 with padding 1"),
        ((2, 3, 1, 3, 3, False), None),
        ((2, 2, 1, 2, 4, False), "padding only in an input of 2 with padding 2"),
        ((4, 3, 1, 2, 1, False), "at most half the window, got 2"),
        ((4, 3, 1, 3, 2, False), "at most half the window, got 3"),
        ((4, 3, 1, 2, 2, False), None),
        ((4, 1, 1, 1, 1, False), "at most half the window, got 1"),
        ((2, 3, 1, 0, 1, False), "window of 3 with dilation 1 is larger than the input of 2"),
        ((1, 3, 1, 0, 1, True), "window of 3 with dilation 1 is larger than the input of 1"),
        ((4, 2**62, 1, 0, 2**62, False), "larger"),
        ((4, 0, 1, 0, 1, False), "kernel_size must be at least 1, got 0"),
        ((4, 2, 0, 0, 1, False), "stride must be at least 1, got 0"),
        ((4, 2, 1, -1, 1, False), "padding must be at least 0, got -1"),
        ((4, 2, 1, 0, -1, False), "dilation must be at least 1, got -1"),
        ((0, 2, 1, 1, 1, False), "input size must be at least 1, got 0"),
    ],
)
def test_geometry_is_checked(arguments, message):
    if message is None:
        assert reference.pool_output_size(*arguments) >= 1
    else:
        with pytest.raises(ValueError, match=message):
            reference.pool_output_size(*arguments)


@pytest.mark.parametrize("position", range(9))
def test_the_first_nan_wins(position, dtype):
    x = np.arange(9, dtype=dtype).reshape(1, 3, 3)
    x.flat[position:] = [NAN if i % 2 == 0 else INF for i in range(9 - position)]
    with np.errstate(all="raise"):
        y, index = reference.max_pool2d(x, 3)
    assert np.isnan(y).all()
    assert index.item() == position


def test_a_nan_stays_within_its_windows():
    x = np.arange(16.0).reshape(1, 4, 4)
    x[0, 1, 1] = NAN
    y, index = reference.max_pool2d(x, 2)
    np.testing.assert_array_equal(y, [[[NAN, 7], [13, 15]]])
    np.testing.assert_array_equal(index, 3)


def test_ties_go_to_the_first_in_row_major_order():
    y, index = reference.max_pool2d(np.array([[[0.0, 2, 2, 1], [2, 2, 1, 2]]]), 2)
    np.testing.assert_array_equal(y, [[[2, 2]]])
    np.testing.assert_array_equal(index, [[[1, 0]]])


def test_all_minus_infinity_goes_to_the_first_cell_that_exists():
    x = np.full((1, 1, 2, 3), -INF)
    y, index = reference.max_pool2d(x, 3, 1, 1)
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 3), -INF))
    np.testing.assert_array_equal(index[0, 0], [[4, 3, 3], [1, 0, 0]])
    dx = reference.max_pool2d_backward(np.ones((1, 1, 2, 3)), index, x.shape, 3, 1, 1)
    np.testing.assert_array_equal(dx, [[[[4, 2, 0], [0, 0, 0]]]])


def test_overlapping_windows_accumulate_and_carry_infinities_only_to_the_winner():
    x = np.array([[[0.0, 9, 0, 0]]])
    y, index = reference.max_pool2d(x, (1, 2), 1)
    np.testing.assert_array_equal(y, [[[9, 9, 0]]])
    dx = reference.max_pool2d_backward(np.array([[[1.5, 2, INF]]]), index, x.shape, (1, 2), 1)
    np.testing.assert_array_equal(dx, [[[0, 3.5, INF, 0]]])


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [((15, 17), np.uint8), ((16, 16), np.uint16), ((255, 257), np.uint16), ((256, 256), np.int64)],
)
def test_index_is_as_wide_as_the_window_needs(kernel, expected):
    x = np.zeros((1, *kernel), np.float32)
    x[0, -1, -1] = 1
    y, index = reference.max_pool2d(x, kernel)
    assert (index.dtype, index.item()) == (expected, x.size - 1)
    dx = reference.max_pool2d_backward(y, index, x.shape, kernel)
    np.testing.assert_array_equal(dx, x, strict=True)


def test_empty_batch(dtype):
    y, index = reference.max_pool2d(np.ones((0, 3, 6, 5), dtype), 2)
    assert (y.shape, y.dtype, index.shape) == ((0, 3, 3, 2), dtype, (0, 3, 3, 2))
    dx = reference.max_pool2d_backward(y, index, (0, 3, 6, 5), 2)
    assert (dx.shape, dx.dtype) == ((0, 3, 6, 5), dtype)


def test_one_image_without_a_batch_and_any_layout(rng):
    x = rng.standard_normal((3, 7, 6))
    y, index = reference.max_pool2d(x[None], 3, 2, 1)
    dx = reference.max_pool2d_backward(y, index, x[None].shape, 3, 2, 1)
    for layout in (np.asarray, np.asfortranarray, lambda a: a[:, ::-1].copy()[:, ::-1]):
        y3, index3 = reference.max_pool2d(layout(x), 3, 2, 1)
        np.testing.assert_array_equal(y3, y[0], strict=True)
        np.testing.assert_array_equal(index3, index[0], strict=True)
        dx3 = reference.max_pool2d_backward(layout(y3), layout(index3), x.shape, 3, 2, 1)
        np.testing.assert_array_equal(dx3, dx[0], strict=True)


@pytest.mark.parametrize("shape", [(1, 0, 4, 4), (1, 1, 0, 4), (1, 1, 4, 0)])
def test_no_channels_or_no_cells(shape):
    with pytest.raises(ValueError, match="must be positive"):
        reference.max_pool2d(np.ones(shape), 2)
    with pytest.raises(ValueError, match="must be positive"):
        reference.max_pool2d_backward(np.ones(1), np.ones(1, np.uint8), shape, 2)


def test_backward_checks_the_shapes():
    grad, index = np.ones((1, 1, 2, 3)), np.zeros((1, 1, 3, 2), np.uint8)
    with pytest.raises(ValueError, match=r"expected \(1, 1, 2, 3\)"):
        reference.max_pool2d_backward(grad, index, (1, 1, 4, 6), 2)
    with pytest.raises(ValueError, match=r"expected \(1, 1, 3, 2\)"):
        reference.max_pool2d_backward(grad, index, (1, 1, 6, 4), 2)
