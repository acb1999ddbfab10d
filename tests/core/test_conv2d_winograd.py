"""Conv2d by Winograd's algorithm: its error, when it runs, the switch, threads, layouts, steps."""

import platform

import numpy as np
import pytest
from engine_functions import conv2d_backward, conv2d_forward
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS
from tolerance import assert_same_bits

import nncore
from nncore import nn, reference
from nncore._core import engine

NAMES = ("y", "dx", "dweight", "dbias")

# x's shape, outputs, padding: quads that end beyond the image, channels that end within a vector
CASES = {
    "notes' second": ((3, 12, 12, 12), 24, (0, 0)),
    "32 to 32": ((2, 32, 32, 32), 32, (1, 1)),
    "64 to 64": ((2, 64, 16, 16), 64, (1, 1)),
    "one image": ((1, 16, 14, 14), 16, (1, 1)),
    "odd sizes": ((2, 13, 15, 11), 17, (1, 1)),
    "no padding, odd": ((5, 33, 11, 13), 18, (0, 0)),
    "wide padding": ((3, 16, 9, 12), 50, (2, 2)),
    "one way": ((2, 12, 6, 31), 12, (0, 2)),
    "the other": ((2, 20, 31, 6), 41, (2, 1)),
    "a block and one quad": ((1, 12, 14, 14), 12, (1, 1)),
    "wide": ((1, 130, 12, 10), 70, (1, 1)),
    "a vector and a half, many": ((2, 27, 9, 12), 44, (1, 1)),
    "larger than the cache": ((19, 16, 30, 30), 12, (1, 1)),
}


# The weight's gradient by pairs of elements along the width: x's shape, outputs, kernel, padding
PAIRS = {
    "LeNet's first": ((9, 1, 28, 28), 6, (5, 5), (2, 2)),
    "LeNet's second": ((9, 6, 14, 14), 16, (5, 5), (0, 0)),
    "notes' first": ((3, 1, 28, 28), 12, (5, 5), (0, 0)),
    "colour images": ((3, 3, 32, 32), 32, (3, 3), (1, 1)),
    "colour images, 32 columns and 16": ((3, 3, 20, 14), 48, (3, 3), (1, 1)),
    "three rows of a kernel, 32 columns": ((5, 1, 12, 16), 32, (3, 3), (0, 1)),
    "panels of two vectors and of three": ((5, 1, 12, 16), 40, (3, 3), (0, 1)),
    "odd width, rows of two": ((5, 2, 13, 14), 7, (3, 4), (1, 0)),
    "seven taps": ((4, 1, 20, 31), 20, (1, 7), (0, 3)),
    "two taps": ((6, 9, 9, 20), 3, (4, 2), (0, 1)),
    "rows longer than a chunk": ((2, 2, 9, 530), 5, (3, 3), (1, 1)),
    "wide": ((3, 20, 12, 12), 43, (5, 5), (0, 1)),
    "a vector and a half": ((3, 9, 11, 18), 27, (3, 3), (1, 1)),
    "seven rows, a vector and a half": ((2, 7, 10, 15), 11, (3, 3), (0, 0)),
    "no padding, in bands": ((2, 1, 40, 40), 12, (5, 5), (0, 0)),
    "padding above and below": ((3, 2, 12, 18), 6, (3, 3), (1, 0)),
}

# y and dx by pairs: x's shape, outputs, kernel, padding; which of the two
NARROW = {
    "LeNet's second, many": ((33, 6, 14, 14), 16, (5, 5), (0, 0), "y dx"),
    "colour images": ((9, 3, 18, 14), 27, (3, 3), (1, 1), "y dx"),
    "columns left over": ((15, 5, 9, 12), 11, (5, 5), (0, 0), "y dx"),
    "three taps, two panels": ((16, 8, 10, 12), 27, (3, 3), (1, 1), "y dx"),
    "odd width": ((29, 4, 8, 13), 16, (3, 3), (0, 1), "y dx"),
    "rows longer than a chunk": ((3, 4, 6, 300), 16, (3, 5), (0, 2), "y"),
    "even taps": ((31, 3, 7, 12), 9, (4, 4), (1, 2), "dx"),
    "seven taps": ((16, 2, 6, 20), 9, (2, 7), (1, 6), "dx"),
    "three panels of columns": ((14, 14, 12, 12), 18, (5, 5), (1, 0), "dx"),
    "one channel": ((30, 1, 12, 12), 12, (5, 5), (0, 0), "dx"),
}


@pytest.fixture(autouse=True)
def switch():
    """Allowed at first, and left so."""
    assert nncore.get_winograd()
    yield
    nncore.set_winograd(True)


def operands(rng, shape, outputs, padding, dtype=np.float32):
    n, channels, *image = shape
    out = [size + 2 * p - 2 for size, p in zip(image, padding, strict=True)]
    scale = (9 * channels) ** -0.5
    return (
        rng.standard_normal(shape).astype(dtype),
        (scale * rng.standard_normal((outputs, channels, 3, 3))).astype(dtype),
        rng.standard_normal(outputs).astype(dtype),
        rng.standard_normal((n, outputs, *out)).astype(dtype),
    )


def compute(x, weight, bias, grad, padding, on=True):
    """y, dx, dweight, dbias; the gradients from zero."""
    nncore.set_winograd(on)
    dweight, dbias = np.zeros(weight.shape, weight.dtype), np.zeros(bias.shape, bias.dtype)
    y = conv2d_forward(x, weight, bias, (1, 1), padding)
    dx = conv2d_backward(grad, x, weight, dweight, dbias, (1, 1), padding)
    return y, dx, dweight, dbias


def exact(x, weight, bias, grad, padding):
    x, weight, bias, grad = (a.astype(np.float64) for a in (x, weight, bias, grad))
    y = reference.conv2d(x, weight, bias, padding=padding)
    return y, *reference.conv2d_backward(grad, x, weight, padding=padding)


def error(ours, theirs):
    """The largest distance, relative to the largest magnitude."""
    return np.abs(ours.astype(np.float64) - theirs).max() / np.abs(theirs).max()


def same(ours, theirs):
    return ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_error_is_within_the_promise(case, isa, rng):
    o = operands(rng, *case)
    results = exact(*o, case[-1])
    direct = compute(*o, case[-1], on=False)
    for name, ours, plain, theirs in zip(
        NAMES, compute(*o, case[-1]), direct, results, strict=True
    ):
        assert error(ours, theirs) <= 1e-6, name
        assert error(plain, theirs) <= 2e-6, name
        assert not same(ours, plain), f"{name}: the direct sum has computed it"


def paired(case, rng, dtype=np.float32):
    shape, outputs, kernel, padding = case
    x = rng.standard_normal(shape).astype(dtype)
    weight = rng.standard_normal((outputs, shape[1], *kernel)).astype(dtype)
    out = [size + 2 * p - k + 1 for size, p, k in zip(shape[2:], padding, kernel, strict=True)]
    grad = rng.standard_normal((shape[0], outputs, *out)).astype(dtype)
    return x, weight, np.zeros(outputs, dtype), grad, padding


@pytest.mark.parametrize("case", PAIRS.values(), ids=PAIRS)
def test_pairs_are_within_the_promise(case, isa, rng):
    o = paired(case, rng)
    theirs = exact(*o)[2:]
    winograd, direct = compute(*o)[2:], compute(*o, on=False)[2:]
    assert not same(winograd[0], direct[0]), "the direct sum has computed it"
    for ours, plain, result in zip(winograd, direct, theirs, strict=True):
        assert error(ours, result) <= 1e-6
        assert error(plain, result) <= 2e-6
    *_, alone = compute(*o)
    grad, x, weight = o[3], o[0], o[1]
    dbias = np.zeros_like(alone)
    conv2d_backward(grad, x, weight, None, dbias, (1, 1), o[-1], input_grad=False)
    assert_same_bits(dbias, alone)


def direct_only():
    """Without FMA there are no pairs for y and dx."""
    return engine.isa_active() == "baseline" and platform.machine() not in ("aarch64", "arm64")


@pytest.mark.parametrize("case", NARROW.values(), ids=NARROW)
def test_narrow_layers_are_within_the_promise(case, isa, rng):
    *case, passes = case
    if direct_only():
        passes = ""
    x, weight, _, grad, padding = paired(case, rng)
    bias = rng.standard_normal(len(weight)).astype(np.float32)
    o = x, weight, bias, grad
    results = exact(*o, padding)
    direct = compute(*o, padding, on=False)
    for name, ours, plain, theirs in zip(
        NAMES[:2], compute(*o, padding), direct, results, strict=False
    ):
        assert error(plain, theirs) <= 2e-6, name
        if name in passes.split():
            assert error(ours, theirs) <= 1e-6, name
            assert not same(ours, plain), f"{name}: the direct sum has computed it"
        else:
            assert_same_bits(ours, plain)


def test_a_transposed_convolution_of_pairs(isa, rng):
    """Its output is another layer's dx, with a bias."""
    layer = nn.ConvTranspose2d(16, 6, 5, seed=1)
    x = rng.standard_normal((33, 16, 10, 11)).astype(np.float32)
    paired = layer(x)
    nncore.set_winograd(False)
    direct = layer(x)
    assert error(paired, np.asarray(direct, np.float64)) <= 2e-6
    assert same(paired, direct) == direct_only()


def test_infinity_stays_with_its_image(rng):
    """Images lie side by side in dx's vectors: what one of them holds is not seen by the others."""
    x, weight, bias, grad, padding = paired(NARROW["LeNet's second, many"][:-1], rng)
    plain = compute(x, weight, bias, grad, padding)[1]
    grad[7, 2, 4, 6] = np.inf
    ours, direct = (compute(x, weight, bias, grad, padding, on)[1] for on in (True, False))
    assert not np.isfinite(ours[~np.isfinite(direct)]).any()
    # The pair is 6 and 7: it reaches columns 6 to 11.
    reach = np.zeros(ours.shape, bool)
    reach[7, :, 4:9, 6:12] = True
    assert_same_bits(ours[~reach], plain[~reach])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_float64_is_direct(case, isa, rng):
    o = operands(rng, *case, np.float64)
    for ours, plain in zip(compute(*o, case[-1]), compute(*o, case[-1], on=False), strict=True):
        assert_same_bits(ours, plain)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_pytorch(case, rng):
    torch = pytest.importorskip("torch")
    o = operands(rng, *case)
    x, weight, bias = (torch.tensor(a, requires_grad=True) for a in o[:3])
    y = torch.nn.functional.conv2d(x, weight, bias, padding=case[-1])
    y.backward(torch.tensor(o[3]))
    theirs = [y.detach(), x.grad, weight.grad, bias.grad]
    for ours, tensor in zip(compute(*o, case[-1]), theirs, strict=True):
        size = float(tensor.abs().max())
        np.testing.assert_allclose(ours, tensor.numpy(), rtol=1e-4, atol=1e-5 * size)


@settings(max_examples=40)
@given(
    batch=st.integers(1, 5),
    channels=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    image=st.tuples(st.integers(1, 25), st.integers(1, 25)),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape(batch, channels, image, padding, seed, isa):
    """Chosen or not: wherever the choice falls, results are right."""
    image = [max(size, 3 - 2 * p) for size, p in zip(image, padding, strict=True)]
    case = (batch, channels[0], *image), channels[1], padding
    o = operands(np.random.default_rng(seed), *case)
    *rest, dbias = zip(NAMES, compute(*o, padding), exact(*o, padding), strict=True)
    for name, ours, theirs in rest:
        assert error(ours, theirs) <= 2e-6, name
    # Of one or two channels, whose sums may be nearly nothing: measured by what is summed.
    _, ours, theirs = dbias
    summed = np.abs(o[-1]).sum((0, 2, 3))
    assert (np.abs(ours - theirs) <= 2e-6 * summed).all()


@pytest.mark.parametrize("on", [True, False], ids=["winograd", "direct"])
@pytest.mark.parametrize("name", ["odd sizes", "no padding, odd", "64 to 64", *PAIRS, *NARROW])
def test_threads_do_not_show(name, on, rng):
    case = CASES.get(name)
    if name in NARROW:
        case = NARROW[name][:-1]
        o = paired(((33, *case[0][1:]), *case[1:]), rng)[:4]
    elif case:
        o = operands(rng, (17, *case[0][1:]), *case[1:])
    else:
        case = PAIRS[name]
        o = paired(((17, *case[0][1:]), *case[1:]), rng)[:4]
    before = engine.threads_get(), engine.threads_threshold_get()
    engine.threads_threshold_set(0)
    try:
        engine.threads_set(1)
        serial = compute(*o, case[-1], on)
        for threads in (2, 4):
            engine.threads_set(threads)
            pieces = engine.threads_pieces_by_workers()
            for ours, one in zip(compute(*o, case[-1], on), serial, strict=True):
                assert_same_bits(ours, one)
            assert engine.threads_get() == 1 or engine.threads_pieces_by_workers() > pieces
    finally:
        engine.threads_set(before[0])
        engine.threads_threshold_set(before[1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["odd sizes", "odd width"])
def test_layout_does_not_show(name, layout, isa, rng):
    if name in CASES:
        case = CASES[name]
        o = operands(rng, *case)
    else:
        case = NARROW[name][:-1]
        o = paired(case, rng)[:4]
    laid = [
        engine.floating(LAYOUTS[layout](a), np.dtype(np.float32), "Conv2d") for a in (o[0], o[3])
    ]
    ours = compute(laid[0], o[1], o[2], laid[1], case[-1])
    for one, plain in zip(ours, compute(*o, case[-1]), strict=True):
        assert_same_bits(one, plain)


@pytest.mark.parametrize("name", ["odd sizes", "no padding, odd", "notes' second"])
def test_gradients_are_added_and_each_is_optional(name, isa, rng):
    case = CASES[name]
    x, weight, bias, grad = operands(rng, *case)
    padding = case[-1]
    _, dx, dweight, dbias = compute(x, weight, bias, grad, padding)
    again = dweight.copy(), dbias.copy()
    assert conv2d_backward(grad, x, weight, *again, (1, 1), padding, input_grad=False) is None
    assert_same_bits(again[0], 2 * dweight)
    assert_same_bits(again[1], 2 * dbias)
    for wanted in (0, 1):
        alone = [np.zeros_like(dweight), np.zeros_like(dbias)]
        given_arrays = [a if i == wanted else None for i, a in enumerate(alone)]
        ours = conv2d_backward(grad, x, weight, *given_arrays, (1, 1), padding)
        assert_same_bits(ours, dx)
        assert_same_bits(alone[wanted], (dweight, dbias)[wanted])


def test_infinity_spreads_to_its_neighbours_only(isa, rng):
    """An element of y depends on the 4x4 cells under its quad, no others."""
    case = (1, 16, 16, 20), 16, (1, 1)
    x, weight, bias, grad = operands(rng, *case)
    plain = compute(x, weight, bias, grad, (1, 1))[0]
    x[0, 3, 7, 9] = np.inf
    ours = compute(x, weight, bias, grad, (1, 1))[0]
    direct = compute(x, weight, bias, grad, (1, 1), on=False)[0]
    assert not np.isfinite(ours[~np.isfinite(direct)]).any()
    # Quads begin at even rows and columns; cell 7 is under those that begin at 6 and 8, 9 likewise.
    reach = np.zeros(ours.shape, bool)
    reach[:, :, 6:10, 8:12] = True
    assert_same_bits(ours[~reach], plain[~reach])


@pytest.mark.parametrize("name", ["no padding, odd", "notes' second"])
def test_joint_gradients_do_not_mix_images(name, isa, rng):
    """Quads of many images are multiplied together: dx of each is its own, infinities included."""
    (_, *shape), outputs, padding = CASES[name]
    x, weight, bias, grad = operands(rng, (21, *shape), outputs, padding)
    together = compute(x, weight, bias, grad, padding)[1]
    for begin, end in ((0, 2), (2, 7), (7, 21)):
        part = slice(begin, end)
        alone = compute(x[part], weight, bias, grad[part], padding)[1]
        assert_same_bits(together[part], alone)
    grad[4, 5, 2, 5] = np.inf
    ours = compute(x, weight, bias, grad, padding)[1]
    # The quad is rows 2 and 3, columns 4 and 5.
    reach = np.zeros(ours.shape, bool)
    reach[4, :, 2:6, 4:8] = True
    assert not np.isfinite(ours[4, :, 2:5, 5:8]).any()
    assert_same_bits(ours[~reach], together[~reach])


def model():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, seed=1), nn.ReLU(), nn.Conv2d(16, 16, 3, seed=2),
        nn.Flatten(), nn.Linear(16 * 12 * 12, 4, seed=3),
    )  # fmt: skip


def test_a_step_keeps_its_choice(rng):
    x = rng.standard_normal((9, 3, 14, 14)).astype(np.float32)
    by_hand = {}
    for on in (True, False):
        nncore.set_winograd(on)
        by_hand[on] = [np.array(model().eval()(x[:n])) for n in (9, 4, 1)]
    assert not same(by_hand[True][0], by_hand[False][0])
    for compiled in (True, False):
        nncore.set_winograd(compiled)
        step = nncore.compile(model(), nn.CrossEntropyLoss())
        step.predict(x)
        for now in (True, False):
            nncore.set_winograd(now)
            for n, expected in zip((9, 4, 1), by_hand[compiled], strict=True):
                assert_same_bits(np.array(step.predict(x[:n])), expected)


def test_the_switch():
    nncore.set_winograd(False)
    assert nncore.get_winograd() is False
    assert nncore.show_config("dict")["winograd"] is False
    nncore.set_winograd(np.True_)
    assert nncore.get_winograd() is True
    for bad in (1, None, "no"):
        with pytest.raises(TypeError, match="set_winograd: on must be True or False, got"):
            nncore.set_winograd(bad)
    assert nncore.get_winograd()
