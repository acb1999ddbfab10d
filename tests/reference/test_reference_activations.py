"""Activations and flatten of nncore.reference."""

import math

import numpy as np
import pytest

from nncore import reference

NAMES = ["relu", "sigmoid", "tanh"]
EXTREME = [0.0, -0.0, 1e-40, 1.0, -1.0, 20.0, -20.0, 90.0, -90.0, 1000.0, -1000.0, 3e38, -3e38]


@pytest.mark.parametrize("name", NAMES)
def test_equals_pytorch(name, dtype, rng, close, torch, torch_gradients):
    x = np.concatenate([EXTREME, 4 * rng.standard_normal(1000)]).astype(dtype).reshape(-1, 1)
    grad = rng.standard_normal(x.shape).astype(dtype)
    theirs = torch_gradients(getattr(torch, name), x, grad=grad)
    y = getattr(reference, name)(x)
    close(y, theirs.y)
    close(getattr(reference, f"{name}_backward")(grad, y), theirs.grads[0])


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("relu", lambda v: max(v, 0.0)),
        ("sigmoid", lambda v: 1 / (1 + math.exp(-v)) if v > -700 else 0.0),
        ("tanh", math.tanh),
    ],
)
def test_equals_the_formula(name, formula, close):
    close(getattr(reference, name)(np.array(EXTREME)), np.array([formula(v) for v in EXTREME]))


@pytest.mark.parametrize("name", NAMES)
def test_numerical_gradient(name, rng, close, numerical_gradient):
    x, grad = rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    x[np.abs(x) < 0.01] = 1.0  # Away from ReLU's kink.
    activation, backward = getattr(reference, name), getattr(reference, f"{name}_backward")
    close(backward(grad, activation(x)), numerical_gradient(activation, x, grad), 1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_extremes_are_silent_and_nan_stays(name, dtype):
    limits = {"relu": [np.inf, 0], "sigmoid": [1, 0], "tanh": [1, -1]}[name]
    x = np.array([np.inf, -np.inf, np.nan, *EXTREME], dtype)
    with np.errstate(all="raise"):
        y = getattr(reference, name)(x)
        dx = getattr(reference, f"{name}_backward")(np.full_like(y, np.inf), y)
    np.testing.assert_array_equal(y[:3], [*limits, np.nan])
    assert (y.dtype, dx.dtype) == (dtype, dtype)
    assert np.isfinite(y[3:]).all()


def test_relu_has_no_gradient_at_zero(dtype):
    y = np.array([0, -0.0, 1e-30, 5, np.inf, np.nan], dtype)
    dx = reference.relu_backward(np.array([3, np.inf, 3, np.nan, 3, 3], dtype), y)
    np.testing.assert_array_equal(dx, np.array([0, 0, 3, np.nan, 3, 3], dtype), strict=True)


def test_sigmoid_keeps_its_small_values(dtype):
    x = np.array([-10, -20, -40, -80], dtype)
    np.testing.assert_allclose(reference.sigmoid(x), np.exp(x.astype(float)), rtol=5e-5)
    assert reference.sigmoid(np.array([-1000.0], dtype))[0] == 0


# name, what PyTorch calls it, arguments, limits at infinity to the right and to the left
OTHERS = [
    ("leaky_relu", "leaky_relu", {"negative_slope": 0.2}, np.inf, -np.inf),
    ("leaky_relu", "leaky_relu", {"negative_slope": -0.2}, np.inf, np.inf),
    ("elu", "elu", {"alpha": 0.7}, np.inf, -0.7),
    ("elu", "elu", {"alpha": -2.0}, np.inf, 2.0),
    ("gelu", "gelu", {}, np.inf, 0.0),
    ("gelu", "gelu", {"approximate": "tanh"}, np.inf, 0.0),
    ("silu", "silu", {}, np.inf, 0.0),
    ("softplus", "softplus", {}, np.inf, 0.0),
    ("softplus", "softplus", {"beta": 3.0, "threshold": 2.0}, np.inf, 0.0),
    ("exp", "exp", {}, np.inf, 0.0),
    ("log", "log", {}, np.inf, np.nan),
]
OTHER_IDS = [f"{name}{list(arguments.values())}" for name, _, arguments, _, _ in OTHERS]


@pytest.mark.parametrize("other", OTHERS, ids=OTHER_IDS)
def test_others_equal_pytorch(other, dtype, rng, close, torch, torch_gradients):
    name, theirs, arguments, _, _ = other
    x = 4 * rng.standard_normal((100, 10))
    x = (np.abs(x) if name == "log" else x).astype(dtype)
    grad = rng.standard_normal(x.shape).astype(dtype)
    function = getattr(torch.nn.functional, theirs, None) or getattr(torch, theirs)
    expected = torch_gradients(lambda leaf: function(leaf, **arguments), x, grad=grad)
    y = getattr(reference, name)(x, **arguments)
    close(y, expected.y)
    kept = y if name == "exp" else x
    close(getattr(reference, f"{name}_backward")(grad, kept, **arguments), expected.grads[0])


@pytest.mark.parametrize("other", OTHERS, ids=OTHER_IDS)
def test_others_numerical_gradient(other, rng, close, numerical_gradient):
    name, _, arguments, _, _ = other
    x, grad = rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    x[np.abs(x) < 0.01] = 1.0
    x = np.abs(x) if name == "log" else x

    def activation(values):
        return getattr(reference, name)(values, **arguments)

    kept = activation(x) if name == "exp" else x
    dx = getattr(reference, f"{name}_backward")(grad, kept, **arguments)
    close(dx, numerical_gradient(activation, x, grad), 1e-7)


@pytest.mark.parametrize("other", OTHERS, ids=OTHER_IDS)
def test_others_at_extremes(other, dtype):
    name, _, arguments, right, left = other
    x = np.array([np.inf, -np.inf, np.nan, *EXTREME], dtype)
    with np.errstate(all="raise"):
        y = getattr(reference, name)(x, **arguments)
        dx = getattr(reference, f"{name}_backward")(np.ones_like(x), x, **arguments)
    np.testing.assert_array_equal(y[:3], np.array([right, left, np.nan], dtype))
    assert (y.dtype, dx.dtype) == (dtype, dtype)
    empty = getattr(reference, name)(np.ones((0, 3), dtype), **arguments)
    assert (empty.shape, empty.dtype) == ((0, 3), dtype)


def test_gelu_keeps_its_small_values():
    y = reference.gelu(np.array([-5.0, -10.0, -30.0]))
    right = [-1.4332578593e-06, -7.6198530242e-23, -1.4720141781e-196]
    np.testing.assert_allclose(y, right, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_empty(name, dtype):
    x = np.ones((0, 3), dtype)
    y = getattr(reference, name)(x)
    dx = getattr(reference, f"{name}_backward")(x, y)
    assert (y.shape, y.dtype, dx.shape, dx.dtype) == ((0, 3), dtype, (0, 3), dtype)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (0, 3, 4, 5), (4, 3), (4,)])
def test_flatten_is_in_logical_order(shape):
    x = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    y = reference.flatten(np.asfortranarray(x))
    assert y.shape == (shape[0], math.prod(shape[1:]))
    np.testing.assert_array_equal(y.ravel(), np.arange(x.size))
    np.testing.assert_array_equal(reference.flatten_backward(y, shape), x, strict=True)
