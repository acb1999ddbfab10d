"""`step.forward`, `step.backward` and `step.update`: training by gradients of one's own."""

import copy

import numpy as np
import pytest
from step_networks import NETWORKS, OPTIMIZERS, mlp, notes_cnn
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim


def test_compile_needs_neither_loss_nor_optimizer(rng):
    model = mlp()
    x = rng.standard_normal((4, 20)).astype(np.float32)
    alone = nc.compile(model)
    assert_same_bits(alone.predict(x), copy.deepcopy(model).eval()(x))
    with pytest.raises(RuntimeError, match=r"without an optimizer: use step.backward\(grad\)"):
        alone.update()
    assert alone.backward(np.ones_like(alone.forward(x))) is None
    assert model[0].weight.grad.any()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("loss", [None, nn.CrossEntropyLoss], ids=["open", "with loss"])
def test_same_bits_as_by_hand(network, optimizer, loss, isa, dtype, threads, rng):
    build, shape, _ = NETWORKS[network]
    model = build(dtype)
    twin = copy.deepcopy(model)
    own, hand = OPTIMIZERS[optimizer](model.parameters()), OPTIMIZERS[optimizer](twin.parameters())
    step = nc.compile(model, loss and loss(), own)
    for n in (5, 9, 2):
        for accumulated in range(2):
            x = rng.standard_normal((n, *shape)).astype(dtype)
            y = step.forward(x)
            assert_same_bits(y, twin(x))
            grad = rng.standard_normal(y.shape).astype(dtype)
            dx = step.backward(grad, input_grad=bool(accumulated))
            expected = twin.backward(grad, input_grad=bool(accumulated))
            if accumulated:
                assert_same_bits(dx, expected)
                assert dx.shape == x.shape
            else:
                assert dx is None
                assert expected is None
        for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
            assert_same_bits(mine.grad, other.grad)
        step.update()
        hand.step()
        hand.zero_grad()
        for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
            assert_same_bits(mine.data, other.data)
            assert (mine.grad == 0).all()


def test_x_may_change_before_backward(rng):
    model = mlp()
    step = nc.compile(model)
    x = rng.standard_normal((3, 20)).astype(np.float32)
    grad = np.ones((3, 5), np.float32)
    step.forward(x)
    step.backward(grad)
    expected = model[0].weight.grad.copy()
    assert expected.any()
    model.zero_grad()
    step.forward(x)
    x[...] = 0
    step.backward(grad)
    assert_same_bits(model[0].weight.grad, expected)


def test_dx_alone(rng):
    """As an actor asks its critic: no gradients there, but dQ/dx."""
    model = notes_cnn()
    x = rng.standard_normal((3, 1, 28, 28)).astype(np.float32)
    step = nc.compile(model)
    grad = np.ones((3, 10), np.float32)
    step.forward(x)
    expected = step.backward(grad, input_grad=True)
    model.zero_grad()
    step.forward(x)
    assert_same_bits(step.backward(grad, input_grad=True, parameter_grad=False), expected)
    assert not any(parameter.grad.any() for parameter in model.parameters())
    step.forward(x)
    assert step.backward(grad, parameter_grad=False) is None
    model.freeze()
    step.forward(x)
    assert_same_bits(step.backward(grad, input_grad=True), expected)
    assert not any(parameter.grad.any() for parameter in model.parameters())
    step.forward(x)
    assert step.backward(grad) is None


def test_frozen_below_a_trained_layer(rng):
    model = mlp()
    model[0].freeze()
    twin = copy.deepcopy(model)
    step = nc.compile(model)
    x, grad = rng.standard_normal((3, 20)).astype(np.float32), np.ones((3, 5), np.float32)
    step.forward(x)
    twin(x)
    assert_same_bits(step.backward(grad, True), twin.backward(grad, True))
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(mine.grad, other.grad)


@pytest.mark.parametrize("layout", ["first", "last", "float64", "strided"])
def test_gradients_of_images_in_any_layout(layout, rng):
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Tanh())
    step = nc.compile(model)
    x = rng.standard_normal((4, 2, 5, 6)).astype(np.float32)
    grad = rng.standard_normal((4, 3, 5, 6)).astype(np.float32)
    step.forward(x)
    expected = step.backward(grad, True)
    if layout == "last":
        grad = np.ascontiguousarray(grad.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    elif layout == "float64":
        grad = grad.astype(np.float64)
    elif layout == "strided":
        grad = np.repeat(grad, 2, axis=3)[..., ::2]
    step.forward(np.asfortranarray(x))
    assert_same_bits(step.backward(grad, True), expected)


def test_parameters_of_no_layer(rng):
    """The log standard deviation of a policy, say."""
    model = nn.Sequential(nn.Linear(3, 2))
    log_std = nn.Parameter(np.zeros(2, np.float32))
    optimizer = optim.SGD([*model.parameters(), log_std], lr=0.5)
    step = nc.compile(model, None, optimizer)
    step.forward(rng.standard_normal((4, 3)))
    log_std.grad[...] = [1, -1]
    step.backward(np.zeros((4, 2)))
    step.update()
    assert log_std.data.tolist() == [-0.5, 0.5]
    assert (log_std.grad == 0).all()


def test_wrong_order_of_calls(rng):
    model = mlp()
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    x, y = rng.standard_normal((4, 20)).astype(np.float32), np.zeros(4, int)
    grad = np.ones((4, 5), np.float32)

    def refused():
        before = [parameter.grad.copy() for parameter in model.parameters()]
        with pytest.raises(RuntimeError, match="backward has no recorded forward"):
            step.backward(grad)
        for parameter, old in zip(model.parameters(), before, strict=True):
            assert_same_bits(parameter.grad, old)

    refused()
    step.predict(x)
    refused()
    step.forward(x)
    step.backward(grad)
    refused()
    for between in (
        lambda: step(x, y),
        lambda: step.gradients(x, y),
        lambda: step.evaluate(x, y),
        lambda: step.predict(x[:2]),
        lambda: step.epoch(x, y),
        lambda: step.update(),
    ):
        step.forward(x)
        between()
        refused()
    step.forward(x)
    assert step.output.shape == (4, 5)  # to look is no run
    step.backward(grad)


def test_a_wrong_gradient_leaves_the_record(rng):
    model = mlp()
    step = nc.compile(model)
    x = rng.standard_normal((4, 20)).astype(np.float32)
    step.forward(x)
    for grad, kind, message in (
        (np.ones((3, 5), np.float32), ValueError, r"grad has shape \(3, 5\), expected \(4, 5\)"),
        (np.ones((4, 5), int), TypeError, "grad has dtype int64"),
        (None, TypeError, "grad is None"),
        (1.0, ValueError, r"grad has shape \(\)"),
    ):
        with pytest.raises(kind, match=message):
            step.backward(grad)
    assert not model[0].weight.grad.any()
    step.backward(np.ones((4, 5)))
    assert model[0].weight.grad.any()


def test_an_empty_batch(rng):
    model = mlp()
    step = nc.compile(model)
    assert step.forward(np.zeros((0, 20), np.float32)).shape == (0, 5)
    assert step.backward(np.zeros((0, 5)), input_grad=True).shape == (0, 20)
    assert not any(parameter.grad.any() for parameter in model.parameters())
