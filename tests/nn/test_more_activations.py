"""Activations that describe their operation, by hand and compiled: the reference and PyTorch.

How near they are to the truth: csrc/tests/test_vmath.c and tests/core/test_activation_accuracy.py.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import LAYOUTS
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim, reference
from nncore._core import engine

INF, NAN = math.inf, math.nan


# layer, PyTorch's, the reference's name and keywords, ULP against it
LAYERS = {
    "SELU": (nn.SELU, (), "selu", {}, 5),
    "CELU": (nn.CELU, (0.5,), "celu", {"alpha": 0.5}, 4),
    "Mish": (nn.Mish, (), "mish", {}, 12),
    "Softsign": (nn.Softsign, (), "softsign", {}, 2),
    "LogSigmoid": (nn.LogSigmoid, (), "logsigmoid", {}, 6),
    "Hardtanh": (nn.Hardtanh, (-0.5, 2.0), "hardtanh", {"min_val": -0.5, "max_val": 2.0}, 0),
    "ReLU6": (nn.ReLU6, (), "hardtanh", {"min_val": 0.0, "max_val": 6.0}, 0),
    "Hardsigmoid": (nn.Hardsigmoid, (), "hardsigmoid", {}, 2),
    "Hardswish": (nn.Hardswish, (), "hardswish", {}, 3),
}
SHAPES = [(), (1,), (7,), (3, 5, 7), (2, 3, 5, 7), (20001,), (0, 3)]


@pytest.fixture(params=LAYERS)
def name(request):
    return request.param


def draw(shape, dtype, seed=0):
    return np.asarray(4 * np.random.default_rng(seed).standard_normal(shape), dtype)


def both(layer, x, grad):
    y = layer(x)
    return y, layer.backward(grad, input_grad=True)


def test_equals_the_reference(name, isa, dtype):
    kind, arguments, function, keywords, ulps = LAYERS[name]
    layer = kind(*arguments)
    for shape in SHAPES:
        x, grad = draw(shape, dtype), draw(shape, dtype, 1)
        wide = x.astype(np.float64)
        y, dx = both(layer, x, grad)
        assert y.dtype == dx.dtype == dtype
        expected = getattr(reference, function)(wide, **keywords)
        unit = np.spacing(np.abs(expected).astype(dtype)).astype(np.float64)
        # x + 3 is rounded, as in PyTorch: near -3 that counts.
        rounded = 2 * np.finfo(dtype).eps if name in ("Hardsigmoid", "Hardswish") else 0
        assert (np.abs(y - expected) <= ulps * unit + rounded).all()
        expected = getattr(reference, f"{function}_backward")(
            grad.astype(np.float64), x.astype(np.float64), **keywords
        )
        eps = np.finfo(dtype).eps
        bound = 16 * eps * np.abs(grad).max(initial=0)
        np.testing.assert_allclose(dx, expected, rtol=16 * eps, atol=bound)


def test_equals_pytorch(name, dtype, torch):
    kind, arguments, *_ = LAYERS[name]
    ours, theirs = kind(*arguments), getattr(torch.nn, name)(*arguments)
    kinks = [-INF, -1e30, -1000, -3, -0.5, -0.0, 0, 0.5, 2, 3, 6, 1000, 1e30, INF, NAN]
    for x in (draw((70, 4), dtype), np.array(kinks * 3, dtype)):
        leaf = torch.tensor(x, requires_grad=True)
        expected = theirs(leaf)
        expected.backward(torch.ones_like(leaf))
        y, dx = both(ours, x, np.ones_like(x))
        value, slope = expected.detach().numpy(), leaf.grad.numpy()
        if name == "Mish":  # the limits, where PyTorch has NaN
            value, slope = np.where(x == -INF, -0.0, value), np.where(np.isinf(x), x > 0, slope)
        if name == "Softsign":
            slope = np.where(np.isinf(x), 0, slope)
        # PyTorch's own 1/6 and 1/alpha are float32's.
        bound = 1e-6 if dtype is np.float32 or name in ("CELU", "Hardsigmoid") else 1e-13
        np.testing.assert_allclose(y, value, rtol=bound, atol=bound)
        known = ~np.isnan(x)  # of NaN PyTorch has this or that, by its place in the array
        np.testing.assert_allclose(dx[known], slope[known], rtol=bound, atol=bound)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_and_any_number_of_threads(layout, name, dtype, threads):
    kind, arguments, *_ = LAYERS[name]
    layer = kind(*arguments)
    x, grad = draw((3, 4, 25, 70), dtype), draw((3, 4, 25, 70), dtype, 1)
    y, dx = both(layer, LAYOUTS[layout](x), LAYOUTS[layout](grad))
    engine.threads_set(1)
    expected = both(layer, x, grad)
    assert_same_bits(y, expected[0])
    assert_same_bits(dx, expected[1])


@given(values=st.lists(st.floats(width=32, allow_subnormal=True), max_size=40))
def test_any_values(values, name, dtype):
    kind, arguments, function, keywords, _ = LAYERS[name]
    x = np.array(values, dtype)
    y = kind(*arguments)(x)
    expected = getattr(reference, function)(x.astype(np.float64), **keywords)
    tiny = np.finfo(dtype).tiny
    if dtype is np.float32:
        expected = np.clip(expected, -np.finfo(dtype).max, np.finfo(dtype).max)
        y = np.clip(y, -np.finfo(dtype).max, np.finfo(dtype).max)
    # Near a zero of x + 3 the reference in float64 knows more digits of it.
    atol = 8 * np.finfo(dtype).eps if name.startswith("Hards") else tiny
    np.testing.assert_allclose(y, expected, rtol=16 * np.finfo(dtype).eps, atol=atol)


# ---- PReLU


@pytest.mark.parametrize(
    "shape", [(5, 3), (2, 3, 4, 5), (900, 3), (2, 3, 4), (0, 3), (7,)], ids=str
)
@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
def test_prelu_equals_pytorch(several, shape, isa, dtype, torch):
    if several and len(shape) == 1:
        return
    slopes = np.array([0.25, -0.5, 2.0] if several else [0.3], dtype)
    ours, theirs = nn.PReLU(len(slopes), dtype=dtype), torch.nn.PReLU(len(slopes))
    ours.weight.data[...] = slopes
    theirs.weight.data = torch.tensor(slopes)
    x, grad = draw(shape, dtype), draw(shape, dtype, 1)
    leaf = torch.tensor(x, requires_grad=True)
    expected = theirs(leaf)
    expected.backward(torch.tensor(grad))
    y, dx = both(ours, x, grad)
    np.testing.assert_array_equal(y, expected.detach().numpy())
    np.testing.assert_array_equal(dx, leaf.grad.numpy())
    bound = 1e-4 if dtype is np.float32 else 1e-12
    right = theirs.weight.grad.numpy()
    np.testing.assert_allclose(ours.weight.grad, right, rtol=bound, atol=bound)
    expected = reference.prelu_backward(
        grad.astype(np.float64), x.astype(np.float64), slopes.astype(np.float64)
    )
    np.testing.assert_allclose(ours.weight.grad, expected[1], rtol=bound, atol=bound)
    ours(x)
    ours.backward(grad, input_grad=False)  # the weight's gradient alone, added
    np.testing.assert_allclose(ours.weight.grad, 2 * expected[1], rtol=bound, atol=2 * bound)


def test_prelu_is_a_parameter(dtype):
    layer = nn.PReLU(3, 0.1, dtype=dtype)
    assert layer.state_dict()["weight"].tolist() == [dtype(0.1)] * 3
    layer.weight.data[...] = 7
    layer.reset_parameters(1)
    assert layer.weight.data.tolist() == [dtype(0.1)] * 3
    layer.freeze()
    layer(np.ones((2, 3), dtype))
    layer.backward(np.ones((2, 3), dtype))
    assert not layer.weight.grad.any()
    with pytest.raises(ValueError, match=r"PReLU: x has shape \(2, 4\), expected 3 channels"):
        layer(np.ones((2, 4), dtype))
    with pytest.raises(ValueError, match="PReLU: num_parameters must be positive, got 0"):
        nn.PReLU(0)
    assert repr(layer) == "PReLU(num_parameters=3)"


def test_wider_vectors_have_the_same_bits(name, default_and_avx2, dtype):
    kind, arguments, *_ = LAYERS[name]
    x, grad = draw((4099,), dtype), draw((4099,), dtype, 1)
    x[:8] = 0.0, -0.0, INF, -INF, NAN, 1e-40, -88.5, 3e38
    results = default_and_avx2(lambda: both(kind(*arguments), x, grad))
    for default, narrow in zip(*results, strict=True):
        assert_same_bits(default, narrow)


# ---- softmax


@pytest.mark.parametrize("shape", [(6, 5), (70, 33), (2, 3, 7), (3, 4, 5, 6), (4,)], ids=str)
@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_softmax_equals_pytorch(kind, shape, isa, dtype, torch):
    x, grad = 3 * draw(shape, dtype), draw(shape, dtype, 1)
    for dim in range(-len(shape), len(shape)):
        ours, theirs = getattr(nn, kind)(dim), getattr(torch.nn, kind)(dim)
        leaf = torch.tensor(x, requires_grad=True)
        expected = theirs(leaf)
        expected.backward(torch.tensor(grad))
        y, dx = both(ours, x, grad)
        bound = 1e-5 if dtype is np.float32 else 1e-13
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=bound, atol=bound)
        np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=bound, atol=10 * bound)
        function = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}[kind]
        right = getattr(reference, function)(x.astype(np.float64), dim)
        np.testing.assert_allclose(y, right, rtol=10 * bound, atol=bound)
        right = getattr(reference, f"{function}_backward")(grad.astype(np.float64), right, dim)
        np.testing.assert_allclose(dx, right, rtol=10 * bound, atol=10 * bound)
        assert_same_bits(ours.eval()(x), y)


def test_softmax_never_overflows(dtype):
    x = np.array([[0, 1000], [-INF, 3], [-1e4, -1e4]], dtype)
    np.testing.assert_array_equal(nn.Softmax(1)(x), [[0, 1], [0, 1], [0.5, 0.5]])
    y = nn.LogSoftmax(-1)(x)
    np.testing.assert_allclose(y, [[-1000, 0], [-INF, 0], [-math.log(2)] * 2], rtol=1e-6)
    assert np.isnan(nn.Softmax(1)(np.array([[NAN, 1, 2]], dtype))).all()
    assert nn.Softmax(1)(np.empty((0, 3), dtype)).shape == (0, 3)
    with pytest.raises(ValueError, match=r"Softmax: dim is 2, x has shape \(3, 2\)"):
        nn.Softmax(2)(x)
    with pytest.raises(TypeError, match="LogSoftmax: dim must be an integer, got None"):
        nn.LogSoftmax(None)


# ---- compiled


def test_compiled_is_the_same_bits(dtype, threads):
    def network():
        model = nn.Sequential(
            nn.Conv2d(2, 4, 3, dtype=dtype), nn.PReLU(4, dtype=dtype), nn.LogSoftmax(1),
            nn.Hardtanh(-3.0, 2.0), nn.Flatten(), nn.Linear(80, 9, dtype=dtype), nn.SELU(),
            nn.CELU(2.0), nn.PReLU(dtype=dtype), nn.Linear(9, 9, dtype=dtype), nn.Mish(),
            nn.Softsign(), nn.Hardswish(), nn.Linear(9, 6, dtype=dtype), nn.ReLU6(),
            nn.Hardsigmoid(), nn.Linear(6, 5, dtype=dtype), nn.LogSigmoid(), nn.Softmax(-1),
            nn.Linear(5, 4, dtype=dtype),
        )  # fmt: skip
        model.reset_parameters(3)
        return model

    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((12, 2, 6, 7)).astype(dtype), rng.integers(0, 4, 12)
    by_hand, compiled = network(), network()
    loss_fn, optimizer = nn.CrossEntropyLoss(), optim.SGD(by_hand.parameters(), lr=0.1)
    step = nc.compile(compiled, nn.CrossEntropyLoss(), optim.SGD(compiled.parameters(), lr=0.1))
    for n in (12, 12, 5):
        optimizer.zero_grad()
        loss = loss_fn(by_hand(x[:n]), y[:n])
        by_hand.backward(loss_fn.backward())
        optimizer.step()
        assert step(x[:n], y[:n]) == loss
    for ours, theirs in zip(by_hand.parameters(), compiled.parameters(), strict=True):
        assert_same_bits(ours.data, theirs.data)


def test_what_does_not_compile():
    with pytest.raises(ValueError, match=r"compile: Softmax\(dim=-1\) runs along axis 3"):
        nc.compile(nn.Sequential(nn.Softmax(-1)), input_shape=(2, 3, 4))
    with pytest.raises(ValueError, match=r"compile: LogSoftmax\(dim=2\) runs along axis 2"):
        nc.compile(nn.Sequential(nn.LogSoftmax(2)), input_shape=(2, 3, 4))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.CELU(0.0), ValueError, "CELU: alpha must be positive, got 0.0"),
        (lambda: nn.CELU("1"), TypeError, "CELU: alpha must be a number"),
        (lambda: nn.Hardtanh(1.0, 1.0), ValueError, "Hardtanh: min_val must be below max_val"),
        (lambda: nn.Hardtanh(NAN), ValueError, "Hardtanh: min_val must be finite"),
    ],
)
def test_wrong_options(make, error, message):
    with pytest.raises(error, match=message):
        make()
