"""Whole networks beside PyTorch: outputs, all gradients, ten steps of training."""

import numpy as np
import pytest

from nncore import nn, optim

# The notes' network, LeNet-5 as it is built today, and a plain perceptron.
NOTES = [
    ("Conv2d", 1, 12, 5),
    ("ReLU",),
    ("MaxPool2d", 2),
    ("Conv2d", 12, 24, 3),
    ("ReLU",),
    ("MaxPool2d", 2),
    ("Flatten",),
    ("Linear", 600, 10),
]
LENET5 = [
    ("Conv2d", 1, 6, 5, {"padding": 2}),
    ("Tanh",),
    ("MaxPool2d", 2),
    ("Conv2d", 6, 16, 5),
    ("Tanh",),
    ("MaxPool2d", 2),
    ("Flatten",),
    ("Linear", 400, 120),
    ("Tanh",),
    ("Linear", 120, 84),
    ("Sigmoid",),
    ("Linear", 84, 10),
]
PERCEPTRON = [("Flatten",), ("Linear", 784, 32), ("ReLU",), ("Linear", 32, 10)]
NETWORKS = {"notes": NOTES, "lenet5": LENET5, "perceptron": PERCEPTRON}


@pytest.fixture(params=NETWORKS)
def pair(request, dtype, twins):
    return twins(NETWORKS[request.param], dtype)


def batches(rng, dtype, count, size=8):
    for _ in range(count):
        yield rng.standard_normal((size, 1, 28, 28)).astype(dtype), rng.integers(0, 10, size)


def test_outputs_and_gradients(pair, dtype, torch, rng, close):
    ((x, labels),) = batches(rng, dtype, 1)
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    expected = pair.theirs(leaf)
    expected_loss = torch.nn.functional.cross_entropy(expected, torch.from_numpy(labels))
    expected_loss.backward()
    loss_fn = nn.CrossEntropyLoss()
    y = pair.ours(x)
    close(y, expected.detach().numpy())
    loss = loss_fn(y, labels)
    assert loss == pytest.approx(expected_loss.item(), rel=1e-5)
    close(pair.ours.backward(loss_fn.backward(), input_grad=True), leaf.grad.numpy())
    for p, other in zip(pair.ours.parameters(), pair.theirs.parameters(), strict=True):
        close(p.grad, other.grad.numpy())


OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.05}),
    "momentum": ("SGD", {"lr": 0.02, "momentum": 0.9, "weight_decay": 1e-3}),
    "adam": ("Adam", {"lr": 2e-3}),
}


@pytest.mark.parametrize("rule", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_ten_steps(pair, rule, dtype, torch, rng, tolerance, close):
    name, numbers = rule
    ours, theirs = pair.ours, pair.theirs
    loss_fn = nn.CrossEntropyLoss()
    optimizer = getattr(optim, name)(ours.parameters(), **numbers)
    other = getattr(torch.optim, name)(theirs.parameters(), **numbers)
    bound = tolerance[np.dtype(dtype)]
    # Adam divides by the gradient's size: where it is nearly 0, rounding alone decides its sign.
    weights_bound = 20 * bound if name == "Adam" else bound
    for x, labels in batches(rng, dtype, 10):
        other.zero_grad()
        expected = torch.nn.functional.cross_entropy(
            theirs(torch.from_numpy(x)), torch.from_numpy(labels)
        )
        expected.backward()
        other.step()
        optimizer.zero_grad()
        loss = loss_fn(ours(x), labels)
        ours.backward(loss_fn.backward())
        optimizer.step()
        assert loss == pytest.approx(expected.item(), rel=bound)
    for p, weights in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.data, weights.detach().numpy(), weights_bound)


def test_the_same_bits_with_two_threads(pair, dtype, rng, using_threads):
    loss_fn = nn.CrossEntropyLoss()
    ((x, labels),) = batches(rng, dtype, 1, 40)

    def run():
        pair.ours.zero_grad()
        y = pair.ours(x)
        loss = loss_fn(y, labels)
        dx = pair.ours.backward(loss_fn.backward(), input_grad=True)
        return y, np.float64(loss), dx, *[p.grad.copy() for p in pair.ours.parameters()]

    with using_threads(1) as pieces:
        one = run()
        assert pieces() == 0
    with using_threads(2) as pieces:
        two = run()
        assert pieces() > 0
    for first, second in zip(one, two, strict=True):
        assert first.tobytes() == second.tobytes()


def test_an_empty_batch_trains_nothing(pair, dtype):
    loss_fn = nn.CrossEntropyLoss()
    y = pair.ours(np.zeros((0, 1, 28, 28), dtype))
    assert y.shape == (0, 10)
    loss_fn(y, np.zeros(0, int))
    pair.ours.backward(loss_fn.backward())
    assert not any(p.grad.any() for p in pair.ours.parameters())


def test_the_last_smaller_batch(pair, dtype, rng):
    ours = pair.ours
    (x, _), (small, _) = [*batches(rng, dtype, 1, 7), *batches(rng, dtype, 1, 3)]
    ours(x)
    ours.backward(np.ones((7, 10), dtype))
    assert ours(small).shape == (3, 10)
    ours.backward(np.ones((3, 10), dtype))
