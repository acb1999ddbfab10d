"""Activations: forward from x, backward from y or x, against the reference and PyTorch.

How near they are to the truth: csrc/tests/test_vmath.c, over the whole float range, and
test_activation_accuracy.py.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import LAYOUTS
from tolerance import assert_same_bits

from nncore import reference
from nncore._core import engine

INF, NAN = math.inf, math.nan


@dataclass
class Activation:
    """The engine's functions of that name, the reference's, and the bound in ULP on the values."""

    name: str
    ulps: float
    wide_ulps: float = 0  # of float64, where NumPy's own roundings count more; 0: as float32
    kept: str = "y"  # what the engine's backward reads
    true_kept: str = "y"  # and the reference's
    arguments: dict = field(default_factory=dict)  # exact in float32
    torch: str = ""  # PyTorch's name in nn.functional

    def forward(self, x):
        return getattr(engine, f"{self.name}_forward")(x, **self.arguments)

    def backward(self, grad, kept, *layer):
        keywords = {"layer": layer[0]} if layer else {}
        return getattr(engine, f"{self.name}_backward")(grad, kept, **self.arguments, **keywords)

    def true(self, x):
        return getattr(reference, self.name)(x, **self.arguments)

    def true_backward(self, grad, x, y):
        kept = x if self.true_kept == "x" else y
        return getattr(reference, f"{self.name}_backward")(grad, kept, **self.arguments)

    def keeps(self, x, y):
        return x if self.kept == "x" else y

    def drawn(self, values):
        """`values` from where the function has any."""
        return np.abs(values) if self.name == "log" else values


# Half an ULP more than promised: NumPy's float64 oracle rounds too.
ACTIVATIONS = {
    "relu": Activation("relu", 0),
    "sigmoid": Activation("sigmoid", 3),
    "tanh": Activation("tanh", 3.5),
    "leaky_relu": Activation("leaky_relu", 0.5, arguments={"negative_slope": 0.25}),
    "leaky_relu, negative": Activation(
        "leaky_relu", 0.5, kept="x", true_kept="x", arguments={"negative_slope": -0.5}
    ),
    "elu": Activation("elu", 3.5, true_kept="x", arguments={"alpha": 0.75}),
    "elu, negative": Activation("elu", 3.5, kept="x", true_kept="x", arguments={"alpha": -1.5}),
    "gelu": Activation("gelu", 6.5, 3000, kept="x", true_kept="x"),
    "gelu, tanh": Activation(
        "gelu", 250, 6000, kept="x", true_kept="x", arguments={"approximate": "tanh"}
    ),
    "silu": Activation("silu", 4, 6, kept="x", true_kept="x"),
    "softplus": Activation("softplus", 4.5, 6, kept="x", true_kept="x"),
    "softplus, sharp": Activation(
        "softplus", 4.5, 6, kept="x", true_kept="x", arguments={"beta": 2.0, "threshold": 5.0}
    ),
    "exp": Activation("exp", 2),
    "log": Activation("log", 2, kept="x", true_kept="x"),
}


@pytest.fixture(params=ACTIVATIONS.values(), ids=ACTIVATIONS)
def activation(request):
    return request.param


def assert_within_ulps(actual, expected, activation):
    """`expected` is float64; for float64 results it is itself an ULP or so from the truth."""
    assert actual.shape == expected.shape
    ulps = activation.ulps
    if actual.dtype == np.float64:
        ulps = activation.wide_ulps or ulps
    largest = np.finfo(actual.dtype).max
    right = np.minimum(np.abs(expected), np.nextafter(largest, 0, dtype=actual.dtype))
    unit = np.spacing(right.astype(actual.dtype)).astype(np.float64)
    distance = np.abs(actual.astype(np.float64) - expected)
    assert np.all(distance <= ulps * unit)


SHAPES = [(), (1,), (7,), (8, 9), (3, 5, 7), (2, 3, 5, 7), (4096,), (4097,), (20001,)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_and_backward_equal_the_reference(shape, activation, isa, dtype, rng):
    x = np.array(activation.drawn(6 * rng.standard_normal(shape)), dtype)
    grad = np.array(rng.standard_normal(shape), dtype)
    y = activation.forward(x)
    assert y.dtype == dtype
    assert_within_ulps(y, activation.true(x.astype(np.float64)), activation)
    dx = activation.backward(grad, activation.keeps(x, y))
    assert dx.dtype == dtype
    expected = activation.true_backward(
        grad.astype(np.float64), x.astype(np.float64), y.astype(np.float64)
    )
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(dx, expected, rtol=8 * eps, atol=8 * eps * abs(grad).max())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_and_backward_equal_pytorch(shape, activation, isa, dtype, rng):
    torch = pytest.importorskip("torch")
    x = np.array(activation.drawn(4 * rng.standard_normal(shape)), dtype)
    grad = np.array(rng.standard_normal(shape), dtype)
    leaf = torch.tensor(x, requires_grad=True)
    own = getattr(torch.nn.functional, activation.name, None) or getattr(torch, activation.name)
    theirs = own(leaf, **activation.arguments)
    theirs.backward(torch.tensor(grad))
    tolerance = 1e-6 if dtype is np.float32 else 1e-14
    y = activation.forward(x)
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=tolerance, atol=tolerance)
    dx = activation.backward(grad, activation.keeps(x, y))
    np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=2 * tolerance, atol=4 * tolerance)


@given(values=st.lists(st.floats(width=32, allow_subnormal=True), max_size=70))
def test_any_values(values, activation, isa, dtype):
    x = np.array(values, dtype)
    assert_same_or_near(activation.forward(x), activation.true(x.astype(np.float64)), activation)


def assert_same_or_near(y, expected, activation):
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(y[~finite], expected[~finite])
    # What is finite in float64 may be beyond float32.
    finite &= np.abs(expected) <= np.finfo(y.dtype).max
    np.testing.assert_array_equal(np.abs(y[np.isfinite(expected) & ~finite]), INF)
    assert_within_ulps(y[finite], expected[finite], activation)


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("relu", [-INF, -1, -0.0, 0, 2, INF, NAN], [0, 0, 0, 0, 2, INF, NAN]),
        ("sigmoid", [-INF, -1000, 0, 1000, INF, NAN], [0, 0, 0.5, 1, 1, NAN]),
        ("tanh", [-INF, -50, -0.0, 0, 50, INF, NAN], [-1, -1, -0.0, 0, 1, 1, NAN]),
        ("tanh", [1e-30, -1e-30, 1e-44, -1e-44], [1e-30, -1e-30, 1e-44, -1e-44]),
        ("leaky_relu", [-INF, -100, -0.0, 0, 2, INF, NAN], [-INF, -1, -0.0, 0, 2, INF, NAN]),
        ("elu", [-INF, -1000, 0, 2, INF, NAN], [-1, -1, 0, 2, INF, NAN]),
        ("elu", [1e-30, -1e-30, 1e-44, -1e-44], [1e-30, -1e-30, 1e-44, -1e-44]),
        (
            "gelu",
            [-INF, -1e30, -50, -0.0, 0, 50, INF, NAN],
            [-0.0, -0.0, -0.0, -0.0, 0, 50, INF, NAN],
        ),
        ("silu", [-INF, -1e4, -0.0, 0, 1000, INF, NAN], [-0.0, -0.0, -0.0, 0, 1000, INF, NAN]),
        ("softplus", [-INF, -1e4, 1000, INF, NAN], [0, 0, 1000, INF, NAN]),
        ("exp", [-INF, -1e4, -0.0, 0, 1e4, INF, NAN], [0, 0, 1, 1, INF, INF, NAN]),
        ("log", [-INF, -1, -0.0, 0, 1, INF, NAN], [NAN, NAN, -INF, -INF, 0, INF, NAN]),
    ],
)
def test_exact_values(name, x, y, isa, dtype):
    """In the body of vectors and in the tail alike; nothing is warned of."""
    forward = getattr(engine, f"{name}_forward")
    for repeat in (1, 8):
        actual = forward(np.tile(np.array(x, dtype), repeat))
        expected = np.tile(np.array(y, dtype), repeat)
        np.testing.assert_array_equal(actual, expected)
        known = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(actual[known]), np.signbit(expected[known]))


def test_small_results_are_not_flushed(isa):
    """sigmoid(-100) is a subnormal float: right to the last of its few digits."""
    x = np.array([-88, -95, -100, -103], np.float32)
    y = engine.sigmoid_forward(x)
    assert 0 < y[3] < y[2] < y[1] < np.finfo(np.float32).tiny
    assert_within_ulps(y, np.exp(x.astype(np.float64)), Activation("exp", 1))
    for name, bound in (("gelu", 6), ("silu", 3.5), ("softplus", 4)):
        x = np.array([-13, -13.5, -13.8] if name == "gelu" else [-88, -95, -100, -103], np.float32)
        y = getattr(engine, f"{name}_forward")(x)
        assert (y > 0 if name == "softplus" else y < 0).all()
        assert (np.abs(y[1:]) < np.finfo(np.float32).tiny).all()
        right = getattr(reference, name)(x.astype(np.float64))
        assert_within_ulps(y, right, Activation(name, bound))


def test_backward_of_saturated_and_nan(activation, isa, dtype):
    x = np.array([-INF, -1e4, 1e4, INF, NAN, 1], dtype)
    y = activation.forward(x)
    kept = activation.keeps(x, y)
    dx = activation.backward(np.ones(6, dtype), kept)
    expected = activation.true_backward(np.ones(6), x.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(dx, expected, rtol=1e-6)
    # a NaN in the incoming gradient reaches dx wherever the unit is not switched off
    dx = activation.backward(np.full(6, NAN, dtype), kept)
    off = y <= 0 if activation.name == "relu" else np.zeros(6, bool)
    np.testing.assert_array_equal(np.isnan(dx), ~off)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(9, 5), (3, 4, 5, 7), (3, 5, 7), (6001,)], ids=str)
def test_every_layout_gives_the_same_bits(layout, shape, activation, isa, dtype, rng):
    x, grad = activation.drawn(rng.standard_normal((2, *shape))).astype(dtype)
    y, laid = activation.forward(x), LAYOUTS[layout]
    kept = activation.keeps(x, y)
    dx = activation.backward(grad, kept)
    given_x, given_grad = laid(x), laid(grad)
    laid_y = activation.forward(given_x)
    assert_same_bits(laid_y, y)
    assert_same_bits(activation.backward(given_grad, activation.keeps(given_x, laid_y)), dx)
    assert_same_bits(activation.backward(given_grad, laid(kept)), dx)
    assert_same_bits(given_x, x)
    assert_same_bits(given_grad, grad)


def test_memory_order_is_kept(activation, dtype, rng):
    x = LAYOUTS["channels_last"](rng.standard_normal((2, 3, 4, 5)).astype(dtype))
    y = activation.forward(x)
    assert y.strides == x.strides
    assert activation.backward(x, y).strides == x.strides


def test_threads_do_not_matter(activation, isa, dtype, rng, threads):
    x, grad = activation.drawn(rng.standard_normal((2, 70001))).astype(dtype)
    y = activation.forward(x)
    kept = activation.keeps(x, y)
    dx = activation.backward(grad, kept)
    engine.threads_set(1)
    assert_same_bits(y, activation.forward(x))
    assert_same_bits(dx, activation.backward(grad, kept))


def test_an_element_does_not_depend_on_its_place(activation, isa, dtype, rng):
    x = activation.drawn(3 * rng.standard_normal(67)).astype(dtype)
    y = activation.forward(x)
    for start in range(40):
        assert_same_bits(activation.forward(x[start:]), y[start:])


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0, 2, 2)], ids=str)
def test_nothing(shape, activation, dtype):
    x = np.empty(shape, dtype)
    y = activation.forward(x)
    assert y.shape == shape
    assert activation.backward(x, y).shape == shape


def test_grad_of_another_shape(activation, dtype):
    with pytest.raises(ValueError, match=r"Layer: grad has shape \(3,\), expected \(2,\)"):
        activation.backward(np.ones(3, dtype), np.ones(2, dtype), "Layer")


def test_into_an_output(activation, isa, dtype, rng):
    x = activation.drawn(rng.standard_normal((5, 7))).astype(dtype)
    forward = getattr(engine, f"{activation.name}_forward")
    y, out = activation.forward(x), np.empty_like(x)
    assert forward(x, **activation.arguments, out=out) is out
    assert_same_bits(out, y)
    assert forward(x, **activation.arguments, out=x) is x
    assert_same_bits(x, y)


def test_an_output_that_does_not_fit():
    x = np.ones(8, np.float32)
    line = np.ones(12, np.float32)
    for out, error, message in (
        (np.empty(7, np.float32), ValueError, r"out has shape \(7,\)"),
        (np.empty(16, np.float32)[::2], ValueError, r".* strides \(8,\), expected those of x"),
        (np.empty(8), TypeError, "out must be an aligned array of float32, got dtype"),
        ([0.0] * 8, TypeError, "out must be an aligned array"),
    ):
        with pytest.raises(error, match=f"^ReLU: {message}"):
            engine.relu_forward(x, out=out)
    with pytest.raises(ValueError, match="out overlaps x"):
        engine.relu_forward(line[:8], out=line[4:])
    line.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        engine.relu_forward(x, out=line[:8])


def test_wider_vectors_have_the_same_bits(activation, default_and_avx2, dtype, rng):
    values = rng.standard_normal(4099) * 10
    values[:9] = 0.0, -0.0, INF, -INF, NAN, 1e-40, -88.5, 88.5, 3e38
    x = activation.drawn(values).astype(dtype)
    grad = np.roll(x, 7)

    def compute():
        y = activation.forward(x)
        return y, activation.backward(grad, activation.keeps(x, y))

    for default, narrow in zip(*default_and_avx2(compute), strict=True):
        assert_same_bits(default, narrow)
