"""The binding of MaxPool2d: every window, instruction set, dtype, layout, number of threads."""

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS
from tolerance import assert_same_bits

from nncore import reference
from nncore._core import engine


class Window(NamedTuple):
    """The arguments of both directions, in the binding's order."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    ceil_mode: bool = False


TWO = Window((2, 2), (2, 2))
THREE = Window((3, 3), (2, 2), (1, 1))
# One of each form of backward, and of each of its special cases.
WINDOWS = {
    "2x2": TWO,
    "2x2 padded, ceil": Window((2, 2), (2, 2), (1, 1), ceil_mode=True),
    "3x3 stride 2": THREE,
    "3x3 stride 2, ceil": Window((3, 3), (2, 2), ceil_mode=True),
    "3x3 stride 1": Window((3, 3), (1, 1), (1, 1)),
    "2x2 stride 1": Window((2, 2), (1, 1)),
    "stride over window": Window((2, 1), (3, 4), (1, 0)),
    "one row": Window((1, 4), (1, 2), (0, 2)),
    "dilated": Window((2, 3), (2, 1), (1, 1), (3, 2)),
    "large, overlapping": Window((5, 6), (1, 1), (2, 3)),
    "uint16": Window((16, 16), (5, 7), (8, 3)),
    "uint16, disjoint": Window((16, 17), (16, 17), (0, 5)),
}
# 1 to twice the widest vector and one more, and around what is done four vectors at a time.
CHANNELS = [*range(1, 34), 63, 64, 65, 129]


def forward(x, window, **options):
    return engine.max_pool2d_forward(x, *window, **options)


def backward(dy, index, shape, window):
    return engine.max_pool2d_backward(dy, index, shape, *window)


def is_channels_last(array):
    return array.transpose(0, 2, 3, 1).flags.c_contiguous


def gradient_of(y, rng):
    """Small whole numbers: sums are exact in any order."""
    return rng.integers(-9, 10, y.shape).astype(y.dtype)


def check(x, window, rng):
    """Forward with and without index, and backward, against the reference."""
    expected, position = reference.max_pool2d(x, *window)
    y, index = forward(x, window)
    # By value: of +0 and -0 in one window, NumPy's maximum may be either.
    np.testing.assert_array_equal(y, expected)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(index, position)
    area = window.kernel[0] * window.kernel[1]
    assert index.dtype == (np.uint8 if area <= 255 else np.uint16 if area <= 65535 else np.int32)
    plain, nothing = forward(x, window, with_index=False)
    assert nothing is None
    assert_same_bits(plain, y)
    grad = gradient_of(y, rng)
    dx = backward(grad, index, x.shape, window)
    np.testing.assert_array_equal(
        dx, reference.max_pool2d_backward(grad, position, x.shape, *window)
    )
    assert dx.dtype == x.dtype
    assert all(is_channels_last(array) for array in (y, index, dx))


@pytest.mark.parametrize("name", WINDOWS)
def test_against_the_reference(isa, dtype, threads, rng, name):
    for channels in (1, 3, 8, 12, 33, 64):
        for height, width in ((16, 17), (23, 9)):
            if name.startswith("uint16") and width < 10:
                continue
            x = rng.standard_normal((2, channels, height, width)).astype(dtype)
            check(x, WINDOWS[name], rng)


@pytest.mark.parametrize("window", [TWO, THREE, WINDOWS["3x3 stride 1"]], ids=str)
def test_every_number_of_channels(isa, dtype, rng, window):
    for channels in CHANNELS:
        check(rng.standard_normal((2, channels, 7, 6)).astype(dtype), window, rng)


@st.composite
def windows(draw):
    size = [draw(st.integers(1, 9)) for _ in range(2)]
    kernel = [draw(st.integers(1, 4)) for _ in range(2)]
    dilation = [draw(st.integers(1, 3)) for _ in range(2)]
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = [draw(st.integers(0, e // 2)) for e in extent]
    stride = [draw(st.integers(1, 5)) for _ in range(2)]
    ceil_mode = draw(st.booleans())
    window = Window(tuple(kernel), tuple(stride), tuple(padding), tuple(dilation), ceil_mode)
    return (draw(st.integers(0, 3)), draw(st.integers(1, 19)), *size), window


@settings(max_examples=200)
@given(
    case=windows(), seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["normal", "ties", "wild"])
)
def test_any_window(isa, dtype, case, seed, kind):
    shape, window = case
    rng = np.random.default_rng(seed)
    if kind == "normal":
        x = rng.standard_normal(shape)
    else:
        some = [0.0, 1.0, 2.0] if kind == "ties" else [np.nan, -np.inf, np.inf, 0.0, -0.0]
        x = rng.choice(some, shape)
    x = x.astype(dtype)
    try:
        reference.max_pool2d(x, *window)
    except ValueError:
        with pytest.raises(ValueError, match=r"^MaxPool2d: "):
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
    x = torch.from_numpy(rng.integers(-3, 4, shape).astype(np.float64)).requires_grad_()
    try:
        y, index = forward(x.detach().numpy(), window)
    except ValueError as error:
        if "dilation" in str(error):
            return  # PyTorch writes out of bounds: see below
        with pytest.raises(RuntimeError):
            torch.nn.functional.max_pool2d(x, *window)
        return
    if any(2 * p > k for p, k in zip(window.padding, window.kernel, strict=True)):
        return  # PyTorch measures the padding by the kernel without its dilation
    expected = torch.nn.functional.max_pool2d(x, *window)
    assert_same_bits(y, expected.detach().numpy())
    grad = gradient_of(y, rng)
    expected.backward(torch.from_numpy(np.ascontiguousarray(grad)))
    np.testing.assert_array_equal(backward(grad, index, shape, window), x.grad.numpy())


@pytest.mark.parametrize("window", [TWO, THREE, WINDOWS["3x3 stride 1"]], ids=str)
def test_nan_wins_everywhere(isa, dtype, window):
    """At every position of a window, in every channel: alone, and two of them (the first wins)."""
    size = window.kernel[0]
    for channels in (1, 2, 3, 5, 8, 16, 17, 33):
        for first, channel in itertools.product(range(size * size), range(channels)):
            x = np.zeros((1, channels, size, size), dtype)
            x[0, channel].flat[first] = np.nan
            x[0, channel].flat[-1] = np.nan if first % 2 else np.inf
            if first == size * size - 1:
                x[0, channel].flat[-1] = np.nan
            whole = Window(window.kernel, window.stride)
            y, index = forward(x, whole)
            plain, _ = forward(x, whole, with_index=False)
            wins = np.arange(channels) == channel
            np.testing.assert_array_equal(np.isnan(y[0, :, 0, 0]), wins)
            np.testing.assert_array_equal(np.isnan(plain[0, :, 0, 0]), wins)
            np.testing.assert_array_equal(index[0, :, 0, 0], np.where(wins, first, 0))


def test_a_nan_reaches_its_windows_only(isa, dtype, rng):
    """In images of many rows: NaN in one row does not change how the others are pooled."""
    for window in WINDOWS.values():
        x = rng.standard_normal((2, 9, 33, 34)).astype(dtype)
        x[0, 3, 17, 5] = x[1, 8, 0, 0] = x[1, 0, 32, 33] = np.nan
        check(x, window, rng)


def test_the_first_of_equals_wins(isa, dtype):
    for channels in (1, 7, 8, 33):
        x = np.full((1, channels, 4, 4), 2.0, dtype)
        x[:, :, 0, 0] = 1
        np.testing.assert_array_equal(forward(x, TWO)[1][0, 0], [[1, 0], [0, 0]])
        # -0 equals 0: the first stays.
        x = np.array([-0.0, 0.0, 0.0, -0.0], dtype).reshape(1, 1, 2, 2) * np.ones((channels, 1, 1))
        y, index = forward(x.astype(dtype), TWO)
        assert np.signbit(y).all()
        assert not index.any()


@pytest.mark.parametrize("name", WINDOWS)
def test_all_lowest(isa, dtype, name):
    """All -inf gives -inf, and the gradient goes to the first element that is not padding."""
    window = WINDOWS[name]
    x = np.full((1, 9, 17, 18), -np.inf, dtype)
    y, index = forward(x, window)
    assert (y == -np.inf).all()
    position = reference.max_pool2d(x, *window)[1]
    np.testing.assert_array_equal(index, position)
    first = [-(-p // d) for p, d in zip(window.padding, window.dilation, strict=True)]
    assert (index[0, :, 0, 0] == first[0] * window.kernel[1] + first[1]).all()


def test_ceil_mode_examples():
    x = np.arange(1.0, 17).reshape(1, 1, 4, 4)
    y, index = forward(x, Window((3, 3), (2, 2), ceil_mode=True))
    np.testing.assert_array_equal(y[0, 0], [[11, 12], [15, 16]])
    np.testing.assert_array_equal(index[0, 0], [[8, 7], [5, 4]])
    # The last window starts in the right padding: dropped. A window larger than the input: kept.
    assert forward(x, Window((2, 2), (3, 3), (1, 1), ceil_mode=True))[0].shape == (1, 1, 2, 2)
    assert forward(x, Window((5, 5), (2, 2), ceil_mode=True))[0].shape == (1, 1, 1, 1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["2x2", "3x3 stride 2", "3x3 stride 1", "large, overlapping"])
def test_layouts_give_the_same_bits(isa, dtype, threads, rng, layout, name):
    window = WINDOWS[name]
    values = rng.standard_normal((3, 13, 22, 19)).astype(dtype)
    y, index = forward(values, window)
    grad = rng.standard_normal(y.shape).astype(dtype)
    dx = backward(grad, index, values.shape, window)
    x = engine.floating(LAYOUTS[layout](values), dtype, "MaxPool2d")
    other_y, other_index = forward(x, window)
    assert_same_bits(other_y, y)
    assert_same_bits(other_index, index)
    other_grad = engine.floating(LAYOUTS[layout](grad), dtype, "MaxPool2d")
    assert_same_bits(backward(other_grad, LAYOUTS[layout](index), values.shape, window), dx)
    np.testing.assert_array_equal(x, values)


@pytest.mark.parametrize("name", WINDOWS)
def test_threads_give_the_same_bits(isa, dtype, rng, name):
    window = WINDOWS[name]
    x = rng.standard_normal((5, 24, 40, 41)).astype(dtype)
    before = engine.threads_get(), engine.threads_threshold_get()
    results = []
    try:
        engine.threads_threshold_set(0)
        for threads in (1, 2, 4):
            engine.threads_set(threads)
            y, index = forward(x, window)
            grad = np.sin(np.arange(y.size, dtype=dtype)).reshape(y.shape)
            results.append((y, index, backward(grad, index, x.shape, window)))
    finally:
        engine.threads_set(before[0])
        engine.threads_threshold_set(before[1])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_same_bits(a, b)


def test_empty_batch(isa, dtype):
    for window in WINDOWS.values():
        y, index = forward(np.empty((0, 3, 17, 18), dtype), window)
        assert y.shape[:2] == index.shape[:2] == (0, 3)
        dx = backward(y, index, (0, 3, 17, 18), window)
        assert dx.shape == (0, 3, 17, 18)
        assert dx.dtype == dtype


@pytest.mark.parametrize(
    ("shape", "named"),
    [((2, 0, 4, 4), "channels"), ((2, 3, 0, 4), "height"), ((2, 3, 4, 0), "width")],
)
def test_nothing_to_pool(shape, named):
    with pytest.raises(ValueError, match=f"MaxPool2d: {named} is 0, expected at least 1"):
        forward(np.empty(shape), TWO)


def test_window_of_padding_only():
    """PyTorch writes outside of its buffer here."""
    with pytest.raises(ValueError, match=r"MaxPool2d: dilation\[0\] is 2, expected at most 1"):
        forward(np.ones((1, 1, 1, 1)), Window((2, 2), (1, 1), (1, 1), (2, 2)))


@pytest.mark.parametrize("argument", range(4))
@pytest.mark.parametrize("huge", [2**31, 2**40, 2**62, 2**63 - 1, 2**63, 2**200])
@pytest.mark.parametrize("axis", [0, 1])
def test_huge_geometry(argument, huge, axis):
    arguments = [[3, 3], [2, 2], [1, 1], [1, 1]]
    arguments[argument][axis] = huge
    window = Window(*map(tuple, arguments))
    name = ("kernel_size", "stride", "padding", "dilation")[argument]
    with pytest.raises(
        ValueError, match=rf"MaxPool2d: {name}\[{axis}\] is {huge}, expected at most"
    ):
        forward(np.ones((1, 1, 9, 9)), window)


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (Window((0, 1), (1, 1)), r"kernel_size\[0\] is 0, expected at least 1"),
        (Window((2, -2), (1, 1)), r"kernel_size\[1\] is -2, expected at least 1"),
        (Window((2, 2), (1, 0)), r"stride\[1\] is 0, expected at least 1"),
        (Window((2, 2), (2, 2), (-1, 0)), r"padding\[0\] is -1, expected at least 0"),
        (Window((2, 2), (2, 2), (0, 2)), r"padding\[1\] is 2, expected at most 1"),
        (Window((2, 2), (2, 2), (0, 0), (0, 1)), r"dilation\[0\] is 0, expected at least 1"),
        (Window((6, 2), (2, 2)), r"kernel_size\[0\] is 6, expected at most 5"),
    ],
)
def test_impossible_windows(window, message):
    with pytest.raises(ValueError, match="MaxPool2d: " + message):
        forward(np.ones((1, 1, 5, 5)), window)


@pytest.mark.parametrize("pair", [2, (2,), (2, 2, 2), (2.0, 2), (True, 2), None, "22"])
def test_pairs_of_integers(pair):
    for argument in range(4):
        arguments = [(2, 2), (2, 2), (0, 0), (1, 1)]
        arguments[argument] = pair
        with pytest.raises(TypeError, match="must be two integers"):
            forward(np.ones((1, 1, 5, 5)), Window(*arguments))


def test_wrong_arrays():
    x = np.ones((2, 3, 4, 4), np.float32)
    y, index = forward(x, TWO)
    with pytest.raises(ValueError, match=r"pool: x has shape \(3, 4, 4\)"):
        forward(x[0], TWO, layer="pool")
    with pytest.raises(ValueError, match=r"MaxPool2d: grad has shape \(2, 3, 1, 2\)"):
        backward(y[:, :, :1], index, x.shape, TWO)
    with pytest.raises(ValueError, match=r"MaxPool2d: index has shape \(2, 3, 2, 1\)"):
        backward(y, index[..., :1], x.shape, TWO)
    with pytest.raises(TypeError, match="MaxPool2d: index has dtype int64, expected uint8"):
        backward(y, index.astype(np.int64), x.shape, TWO)


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("byte", [0, 127, 255])
def test_an_index_of_nonsense_stays_inside(isa, dtype, name, byte):
    window = WINDOWS[name]
    x = np.ones((2, 5, 17, 18), dtype)
    y, index = forward(x, window)
    raw = index.transpose(0, 2, 3, 1).view(np.uint8)
    raw[...] = byte
    dx = backward(np.ones_like(y), index, x.shape, window)
    assert np.isfinite(dx).all()
    assert 0 <= dx.sum() <= y.size
