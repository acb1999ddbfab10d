"""A layer that describes its operation: eager and compiled follow from the description."""

import numpy as np
import pytest

import nncore as nc
from nncore import nn, optim
from nncore._core import engine
from nncore.nn.operation import Layer, Operation


class Conv(Layer):
    """nn.Conv2d once more, without a binding of its own."""

    def __init__(self, like: nn.Conv2d) -> None:
        self.weight, self.bias = nn.Parameter(like.weight.data), nn.Parameter(like.bias.data)

    def _operation(self, shape):
        if len(shape) != 4:
            raise ValueError(f"Conv: x has shape {shape}")
        out, _, kh, kw = self.weight.shape
        y_shape = (shape[0], out, shape[2] - kh + 1, shape[3] - kw + 1)
        operation = Operation("Conv", "conv2d", shape, y_shape, channels=out, kernel_size=(kh, kw))
        return operation.hold(self.weight.shape, self.weight, self.bias)


class Leaky(Layer):
    def _operation(self, shape):
        return Operation("Leaky", "leaky_relu", shape, shape, parameter=(0.25, 0.0))


def images(shape=(3, 2, 7, 5), dtype=np.float32):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def test_eager_equals_the_layer_with_a_binding(threads):
    like = nn.Conv2d(2, 4, (3, 2), seed=1)
    conv, x = Conv(like), images()
    y = conv(x)
    np.testing.assert_array_equal(y, like(x))
    grad = images(y.shape)
    np.testing.assert_array_equal(
        conv.backward(grad, input_grad=True), like.backward(grad, input_grad=True)
    )
    np.testing.assert_array_equal(conv.weight.grad, like.weight.grad)
    np.testing.assert_array_equal(conv.bias.grad, like.bias.grad)
    conv(x)
    conv.backward(grad, input_grad=False)
    np.testing.assert_allclose(conv.weight.grad, 2 * like.weight.grad, rtol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 4), (2, 3, 4, 5), (0, 3)])
def test_any_rank_and_order(shape, dtype):
    x = images(shape, dtype)
    layer = Leaky()
    y = layer(np.asfortranarray(x))
    np.testing.assert_array_equal(y, np.where(x > 0, x, x * dtype(0.25)))
    grad = images(shape, dtype)
    expected = np.where(x > 0, grad, grad * dtype(0.25))
    np.testing.assert_array_equal(layer.backward(grad, input_grad=True), expected)


def test_compiled_equals_eager():
    def model():
        conv = Conv(nn.Conv2d(2, 4, 3, seed=1))
        return nn.Sequential(conv, Leaky(), nn.Flatten(), nn.Linear(60, 3, seed=2))

    x, labels = images(), np.array([0, 2, 1])
    by_hand, compiled = model(), model()
    loss_fn, hand = nn.CrossEntropyLoss(), optim.Adam(by_hand.parameters())
    step = nc.compile(compiled, nn.CrossEntropyLoss(), optim.Adam(compiled.parameters()))
    for _ in range(3):
        loss = loss_fn(by_hand(x), labels)
        by_hand.backward(loss_fn.backward())
        hand.step()
        hand.zero_grad()
        assert step(x, labels) == loss
    for ours, theirs in zip(by_hand.parameters(), compiled.parameters(), strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)


def test_frozen_weights_get_no_gradient_and_are_looked_at_anew():
    conv, x = Conv(nn.Conv2d(2, 4, 3, seed=1)), images()
    conv(x)
    conv.freeze()
    y = conv(x)
    conv.backward(np.ones_like(y), input_grad=False)
    assert not conv.weight.grad.any()


def test_what_does_not_fit_is_refused_before_a_pointer_is_taken():
    good, x = Leaky()._operation((2, 3)), np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"Leaky: x has shape \(2, 4\), expected \(2, 3\)"):
        engine.operation_forward(good, np.zeros((2, 4), np.float32))
    with pytest.raises(TypeError, match="Leaky: 2 inputs, expected 1"):
        engine.operation_forward(good, x, x)
    with pytest.raises(TypeError, match="Leaky: x has dtype int64, expected float32 or float64"):
        engine.operation_forward(good, x.astype(np.int64))
    _, kept = engine.operation_forward(good, x)
    with pytest.raises(ValueError, match="Leaky: grad has shape"):
        engine.operation_backward(good, kept, np.zeros((3, 2), np.float32))
    with pytest.raises(TypeError, match="Leaky: grad has dtype float64, expected float32"):
        engine.operation_backward(good, kept, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="no operation 'leeky'"):
        engine.operation_forward(Operation("Leaky", "leeky", (2, 3), (2, 3)), x)
    wrong = Conv(nn.Conv2d(2, 4, 3))._operation((1, 2, 5, 5))
    wrong.weight = wrong.weight[:, :1].copy()
    with pytest.raises(ValueError, match="Conv: weight has 36 elements, expected 72"):
        engine.operation_forward(wrong, np.zeros((1, 2, 5, 5), np.float32))
    with pytest.raises(TypeError, match=r"Conv: weight has dtype float32, x has float64"):
        engine.operation_forward(wrong, np.zeros((1, 2, 5, 5)))
