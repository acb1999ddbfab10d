"""Samples of any number of axes: compiled as by hand; weights of a wrong shape are refused."""

import numpy as np
import pytest

import nncore as nc
from nncore import nn


@pytest.mark.parametrize("sample", [(30,), (5, 6), (2, 3, 5), (2, 3, 1, 5), (2, 1, 3, 1, 5)])
def test_flatten_of_any_samples(sample, dtype, rng):
    model = nn.Sequential(nn.Flatten(), nn.Linear(30, 3, dtype=dtype))
    x = rng.standard_normal((4, *sample)).astype(dtype)
    grad = rng.standard_normal((4, 3)).astype(dtype)
    step = nc.compile(model)
    expected = model(x)
    assert step.predict(x).tobytes() == expected.tobytes()
    assert step.forward(x).tobytes() == expected.tobytes()
    dx = step.backward(grad, input_grad=True)
    model(x)
    assert dx.shape == x.shape
    np.testing.assert_array_equal(dx, model.backward(grad, input_grad=True))


@pytest.mark.parametrize("sample", [(), (5,), (3, 5), (2, 3, 5), (2, 3, 2, 2)])
def test_elementwise_of_any_samples(sample, rng):
    model = nn.Sequential(nn.Tanh(), nn.ReLU())
    x = rng.standard_normal((4, *sample)).astype(np.float32)
    target = rng.standard_normal((4, *sample)).astype(np.float32)
    y = nc.compile(model).predict(x)
    assert y.shape == x.shape
    np.testing.assert_array_equal(y, model(x))
    loss_fn = nn.MSELoss()
    assert nc.compile(model, loss_fn).evaluate(x, target) == loss_fn(model(x), target)


def test_weights_of_another_shape_are_refused():
    x = np.ones((2, 4), np.float32)
    layer = nn.Linear(4, 300)
    layer.bias = nn.Parameter(np.zeros(2, np.float32))
    with pytest.raises(ValueError, match=r"bias has shape \(2,\), expected \(300,\)"):
        layer(x)
    with pytest.raises(ValueError, match=r"bias has shape \(2,\), expected \(300,\)"):
        nc.compile(layer).predict(x)
    layer = nn.Linear(4, 3)
    layer.weight = nn.Parameter(np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match=r"weight has shape \(2, 4\), expected \(3, 4\)"):
        nc.compile(layer).predict(x)
    conv = nn.Conv2d(4, 6, 3, groups=2)
    conv.weight = nn.Parameter(np.zeros((1, 1, 1, 1), np.float32))
    with pytest.raises(
        ValueError, match=r"weight has shape \(1, 1, 1, 1\), expected \(6, 2, 3, 3\)"
    ):
        nc.compile(conv).predict(np.ones((1, 4, 5, 5), np.float32))
