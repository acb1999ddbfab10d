"""ReLU, sigmoid, tanh: forward from x, backward from y, against the reference and PyTorch.

How near sigmoid and tanh are to the truth over the whole float range: csrc/tests/test_vmath.c.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import LAYOUTS
from tolerance import assert_same_bits

from nncore import reference
from nncore._core import engine

INF, NAN = math.inf, math.nan


class Activation:
    """The engine's functions of that name, the reference's, and the bound in ULP on the values."""

    def __init__(self, name, ulps):
        self.name, self.ulps = name, ulps
        self.forward = getattr(engine, f"{name}_forward")
        self.backward = getattr(engine, f"{name}_backward")
        self.true = getattr(reference, name)
        self.true_backward = getattr(reference, f"{name}_backward")


@pytest.fixture(params=[("relu", 0), ("sigmoid", 3), ("tanh", 3.5)], ids=lambda param: param[0])
def activation(request):
    """Half an ULP more than promised: NumPy's float64 oracle rounds too."""
    return Activation(*request.param)


def assert_within_ulps(actual, expected, ulps):
    """`expected` is float64; for float64 results it is itself an ULP or so from the truth."""
    assert actual.shape == expected.shape
    unit = np.spacing(np.abs(expected).astype(actual.dtype)).astype(np.float64)
    distance = np.abs(actual.astype(np.float64) - expected)
    assert np.all(distance <= ulps * unit)


SHAPES = [(), (1,), (7,), (8, 9), (3, 5, 7), (2, 3, 5, 7), (4096,), (4097,), (20001,)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_and_backward_equal_the_reference(shape, activation, isa, dtype, rng):
    x = np.array(6 * rng.standard_normal(shape), dtype)
    grad = np.array(rng.standard_normal(shape), dtype)
    y = activation.forward(x)
    assert y.dtype == dtype
    assert_within_ulps(y, activation.true(x.astype(np.float64)), activation.ulps)
    dx = activation.backward(grad, y)
    assert dx.dtype == dtype
    expected = activation.true_backward(grad.astype(np.float64), y.astype(np.float64))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(dx, expected, rtol=4 * eps, atol=2 * eps * abs(grad).max())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_and_backward_equal_pytorch(shape, activation, isa, dtype, rng):
    torch = pytest.importorskip("torch")
    x = np.array(4 * rng.standard_normal(shape), dtype)
    grad = np.array(rng.standard_normal(shape), dtype)
    leaf = torch.tensor(x, requires_grad=True)
    theirs = getattr(torch, activation.name)(leaf)
    theirs.backward(torch.tensor(grad))
    tolerance = 1e-6 if dtype is np.float32 else 1e-14
    y = activation.forward(x)
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=tolerance, atol=tolerance)
    dx = activation.backward(grad, y)
    np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=tolerance, atol=4 * tolerance)


@given(values=st.lists(st.floats(width=32, allow_subnormal=True), max_size=70))
def test_any_values(values, activation, isa, dtype):
    x = np.array(values, dtype)
    assert_same_or_near(activation.forward(x), activation.true(x.astype(np.float64)), activation)


def assert_same_or_near(y, expected, activation):
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(y[~finite], expected[~finite])
    assert_within_ulps(y[finite], expected[finite], activation.ulps)


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("relu", [-INF, -1, -0.0, 0, 2, INF, NAN], [0, 0, 0, 0, 2, INF, NAN]),
        ("sigmoid", [-INF, -1000, 0, 1000, INF, NAN], [0, 0, 0.5, 1, 1, NAN]),
        ("tanh", [-INF, -50, -0.0, 0, 50, INF, NAN], [-1, -1, -0.0, 0, 1, 1, NAN]),
        ("tanh", [1e-30, -1e-30, 1e-44, -1e-44], [1e-30, -1e-30, 1e-44, -1e-44]),
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
    assert_within_ulps(y, np.exp(x.astype(np.float64)), 1)


def test_backward_of_saturated_and_nan(activation, isa, dtype):
    x = np.array([-INF, -1e4, 1e4, INF, NAN, 1], dtype)
    y = activation.forward(x)
    dx = activation.backward(np.ones(6, dtype), y)
    expected = activation.true_backward(np.ones(6), y.astype(np.float64))
    np.testing.assert_allclose(dx, expected, rtol=1e-6)
    # a NaN in the incoming gradient reaches dx wherever the unit is not switched off
    dx = activation.backward(np.full(6, NAN, dtype), y)
    off = y <= 0 if activation.name == "relu" else np.zeros(6, bool)
    np.testing.assert_array_equal(np.isnan(dx), ~off)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(9, 5), (3, 4, 5, 7), (3, 5, 7), (6001,)], ids=str)
def test_every_layout_gives_the_same_bits(layout, shape, activation, isa, dtype, rng):
    x, grad = rng.standard_normal((2, *shape)).astype(dtype)
    y, laid = activation.forward(x), LAYOUTS[layout]
    dx = activation.backward(grad, y)
    given_x, given_grad = laid(x), laid(grad)
    laid_y = activation.forward(given_x)
    assert_same_bits(laid_y, y)
    assert_same_bits(activation.backward(given_grad, laid_y), dx)
    assert_same_bits(activation.backward(given_grad, laid(y)), dx)
    assert_same_bits(given_x, x)
    assert_same_bits(given_grad, grad)


def test_memory_order_is_kept(activation, dtype, rng):
    x = LAYOUTS["channels_last"](rng.standard_normal((2, 3, 4, 5)).astype(dtype))
    y = activation.forward(x)
    assert y.strides == x.strides
    assert activation.backward(x, y).strides == x.strides


def test_threads_do_not_matter(activation, isa, dtype, rng, threads):
    x, grad = rng.standard_normal((2, 70001)).astype(dtype)
    y = activation.forward(x)
    dx = activation.backward(grad, y)
    engine.threads_set(1)
    assert_same_bits(y, activation.forward(x))
    assert_same_bits(dx, activation.backward(grad, y))


def test_an_element_does_not_depend_on_its_place(activation, isa, dtype, rng):
    x = (3 * rng.standard_normal(67)).astype(dtype)
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
