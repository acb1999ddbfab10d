"""ReLU beside a max-pooling is part of it in a step: the bits are those of the two by hand."""

import copy

import numpy as np
import pytest
from step_networks import assert_same_both_ways, assert_same_state, batches, by_hand, fused
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim

POOLS = {
    "apart": lambda: nn.MaxPool2d(2),
    "with gaps": lambda: nn.MaxPool2d((2, 1), 3),
    "padded": lambda: nn.MaxPool2d(2, padding=1),
    "overlapping": lambda: nn.MaxPool2d(3, 2, 1),
    "everywhere": lambda: nn.MaxPool2d(3, 1, 1),
    "dilated": lambda: nn.MaxPool2d(2, 2, dilation=2),
    "adaptive": lambda: nn.AdaptiveMaxPool2d((3, 2)),
    "large": lambda: nn.MaxPool2d(16, 1, 8),
}


def wild(rng, shape, dtype):
    """Mostly ties, zeros of both signs, whole windows below zero; some values not finite."""
    x = rng.integers(-3, 2, shape).astype(dtype)
    x[x == 0] *= rng.choice([-1.0, 1.0], (x == 0).sum())
    x[0, :, :4] = -np.abs(x[0, :, :4]) - (x[0, :, :4] == 0)
    where = rng.random(shape) < 0.03
    x[where] = rng.choice([np.nan, np.inf, -np.inf], where.sum())
    x[-1] = rng.standard_normal(shape[1:])
    return x


def assert_fused_as_by_hand(model, x, rng):
    """y and dx by hand and compiled, with a gradient of zeros of both signs and a NaN."""
    step = nc.compile(copy.deepcopy(model))
    y = model(x)
    assert_same_bits(step.forward(x), y)
    grad = rng.integers(-2, 3, y.shape).astype(x.dtype)
    grad[grad == 0] *= -1
    grad.flat[grad.size // 2] = np.nan
    assert_same_bits(step.backward(grad, input_grad=True), model.backward(grad, input_grad=True))
    assert_same_bits(step.predict(x), y)
    return step


@pytest.mark.parametrize("pool", POOLS)
def test_any_window(pool, isa, dtype, rng):
    for channels in (1, 5, 12, 33):
        x = wild(rng, (3, channels, 9, 8), dtype)
        for layers in ([nn.ReLU(), POOLS[pool]()], [POOLS[pool](), nn.ReLU()]):
            step = assert_fused_as_by_hand(nn.Sequential(*layers, nn.PReLU(dtype=dtype)), x, rng)
            first, second = (f"{type(layer).__name__} ({i})" for i, layer in enumerate(layers))
            assert fused(step) == {first: second, second: first}


def after(dtype):
    """Pooling first, and an activation between that goes another way."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, dtype=dtype),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(6, 12, 3, padding=1, dtype=dtype),
        nn.BatchNorm2d(12, dtype=dtype),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Flatten(),
        nn.Linear(108, 3, dtype=dtype),
    )


def lines(dtype):
    return nn.Sequential(
        nn.Conv1d(2, 8, 5, dtype=dtype),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(8, 4, 3, dtype=dtype),
        nn.MaxPool1d(3, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 3, dtype=dtype),
    )


@pytest.mark.parametrize("build", [after, lines], ids=lambda build: build.__name__)
def test_same_bits_over_many_steps(build, isa, dtype, threads, rng):
    model = build(dtype)
    model.reset_parameters(3)
    twin = copy.deepcopy(model)
    loss_fn = nn.CrossEntropyLoss()
    own, hand = (optim.Adam(each.parameters(), lr=0.01) for each in (model, twin))
    step = nc.compile(model, loss_fn, own)
    shape = (2, 20) if build is lines else (2, 12, 12)
    for x, y in batches(rng, shape, 3, dtype, [8, 8, 3, 8, 1, 9]):
        assert step(x, y) == by_hand(twin, loss_fn, hand, x, y)
    assert_same_state(model, own, twin, hand)
    assert len(fused(step)) == 4


class Shared(nn.Module):
    """ReLU's values are read, or given, beside the pooling: they must be there."""

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.conv, self.relu, self.pool = nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)

    def forward(self, x):
        z = self.conv(x)
        a = self.relu(z)
        if self.way == "two readers":
            return self.pool(a) + self.pool(a * a)
        if self.way == "an output":
            return self.pool(a), a
        if self.way == "not one after the other":
            b = z * 0.5
            return self.pool(a) + self.pool(b)
        return self.pool(a) + self.pool(z)  # "two readers before": fused, and the order kept


@pytest.mark.parametrize(
    ("way", "count"),
    [
        ("two readers", 0),
        ("an output", 0),
        ("not one after the other", 0),
        ("two readers before", 2),
    ],
)
def test_who_else_reads(way, count, rng):
    model = Shared(way)
    twin = copy.deepcopy(model)
    step = nc.compile(model)
    x = rng.standard_normal((3, 2, 8, 8)).astype(np.float32)
    assert_same_both_ways(step, model, twin, x, rng)
    assert sum("Pool" in label + other for label, other in fused(step).items()) == count


def test_memory_and_the_table(rng):
    """ReLU's values and their gradient are nowhere; without a loss, and frozen, it is the same."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    other = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten())
    x = rng.standard_normal((4, 1, 10, 10)).astype(np.float32)
    step, plain = nc.compile(model), nc.compile(other)
    step.predict(x), plain.predict(x)
    assert step.memory < plain.memory
    row = str(step).splitlines()[2].split()
    assert row == ["relu", "ReLU", "(1)", "4x8x8x8", "0", "0", "yes", "MaxPool2d", "(2)"]
    for parameter in model.parameters():
        parameter.requires_grad = False
    step.predict(x)
    assert [line.split()[6] for line in str(step).splitlines()[2:4]] == ["-", "-"]


def test_epochs_and_hooks(rng):
    """An epoch runs the same nodes; hooks see the values between, by hand."""
    model = after(np.float32)
    twin = copy.deepcopy(model)
    loss_fn = nn.CrossEntropyLoss()
    own, hand = (optim.SGD(each.parameters(), lr=0.1) for each in (model, twin))
    ((x, y),) = batches(rng, (2, 12, 12), 3, np.float32, [10])
    step = nc.compile(model, loss_fn, own)
    losses = step.epoch(x, y, batch_size=4)
    for at, loss in zip((0, 4, 8), losses, strict=True):
        assert by_hand(twin, loss_fn, hand, x[at : at + 4], y[at : at + 4]) == loss
    assert_same_state(model, own, twin, hand)
    seen = []
    model[1].register_forward_hook(lambda module, x, y: seen.append(y.shape))
    with pytest.raises(TypeError, match="has hooks"):
        step(x, y)
    model(x)
    assert seen == [(10, 6, 5, 5)]
