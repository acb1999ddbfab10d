"""Activations that layers apply to what they write: the bits are those of the two by hand, by every
algorithm, in every size of batch; where somebody else reads the value between, they are apart."""

import copy

import numpy as np
import pytest
from step_networks import assert_same_both_ways, assert_same_state, batches, by_hand, fused
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky": lambda: nn.LeakyReLU(0.1),
    "leaky, from x": lambda: nn.LeakyReLU(-0.2),
    "elu": lambda: nn.ELU(0.7),
    "elu, from x": lambda: nn.ELU(-0.5),
    "gelu": nn.GELU,
    "gelu tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
    "softplus": lambda: nn.Softplus(2, 1),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    **{
        name: getattr(nn, name)
        for name in (
            "SELU",
            "CELU",
            "Mish",
            "Hardtanh",
            "ReLU6",
            "Hardsigmoid",
            "Hardswish",
            "Softsign",
        )
    },
}
# Pairs of layers (the first writes y, the second dx) and the shape of a sample.
LAYERS = {
    "linear": (lambda d: (nn.Linear(70, 150, dtype=d), nn.Linear(150, 7, dtype=d)), (70,)),
    "long rows": (lambda d: (nn.Linear(140, 70, dtype=d), nn.Linear(70, 9, dtype=d)), (140,)),
    "winograd": (
        lambda d: (nn.Conv2d(12, 16, 3, padding=1, dtype=d), nn.Conv2d(16, 12, 3, 1, 1, dtype=d)),
        (12, 9, 7),
    ),
    "joint": (
        lambda d: (nn.Conv2d(12, 16, 3, dtype=d), nn.Conv2d(16, 24, 3, dtype=d)),
        (12, 11, 12),
    ),
    "pairs": (
        lambda d: (nn.Conv2d(3, 16, 5, dtype=d), nn.Conv2d(16, 4, 1, dtype=d)),
        (3, 13, 14),
    ),
    "pairs of dy": (
        lambda d: (nn.Conv2d(3, 6, 3, padding=1, dtype=d), nn.Conv2d(6, 16, 5, dtype=d)),
        (3, 13, 14),
    ),
    "strides": (
        lambda d: (nn.Conv2d(2, 5, 3, 2, dtype=d), nn.Conv2d(5, 4, (2, 3), (1, 2), dtype=d)),
        (2, 15, 13),
    ),
    "groups": (
        lambda d: (
            nn.Conv2d(4, 6, 3, dilation=2, groups=2, dtype=d),
            nn.Conv2d(6, 6, 3, 1, 1, groups=6, dtype=d),
        ),
        (4, 9, 8),
    ),
    "bands": (
        lambda d: (nn.Conv2d(1, 20, 1, dtype=d), nn.Conv2d(20, 1, 2, dtype=d)),
        (1, 100, 70),
    ),
    "transposed": (
        lambda d: (nn.ConvTranspose2d(3, 5, 3, dtype=d), nn.ConvTranspose2d(5, 2, 3, 2, dtype=d)),
        (3, 5, 6),
    ),
    "lines": (lambda d: (nn.Conv1d(2, 8, 5, dtype=d), nn.Conv1d(8, 4, 3, dtype=d)), (2, 20)),
}


def assert_as_by_hand(model, step, x, rng):
    """y and dx, and what is added to the gradients."""
    model.zero_grad()
    twin = copy.deepcopy(model)
    expected = twin(x)
    assert_same_bits(step.predict(x), expected)
    assert_same_bits(step.forward(x), expected)
    grad = rng.standard_normal(expected.shape).astype(x.dtype)
    assert_same_bits(step.backward(grad, input_grad=True), twin.backward(grad, input_grad=True))
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(own.grad, other.grad)


@pytest.mark.parametrize("name", LAYERS)
def test_every_algorithm(name, dtype, threads, rng):
    build, shape = LAYERS[name]
    for activation in (nn.Tanh, nn.SiLU):  # in place, and not
        first, second = build(dtype)
        model = nn.Sequential(first, activation(), second)
        model.reset_parameters(1)
        step = nc.compile(model)
        for n in (19, 4, 1, 19) if name != "bands" else (2, 1):
            assert_as_by_hand(model, step, rng.standard_normal((n, *shape)).astype(dtype), rng)
        labels = [f"{type(layer).__name__} ({i})" for i, layer in enumerate(model)]
        assert fused(step) == {
            labels[0]: labels[1],
            labels[1]: f"{labels[0]}, {labels[2]}",
            labels[2]: labels[1],
        }


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation(name, isa, dtype, rng):
    """Trained, with a gradient that is not finite on the way."""
    make = ACTIVATIONS[name]
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, dtype=dtype), make(), nn.Conv2d(6, 3, 3, dtype=dtype), make(),
        nn.Flatten(), nn.Linear(36, 65, dtype=dtype), make(), nn.Linear(65, 4, dtype=dtype),
    )  # fmt: skip
    model.reset_parameters(2)
    twin = copy.deepcopy(model)
    loss_fn = nn.CrossEntropyLoss()
    own, hand = (optim.Adam(each.parameters(), lr=0.01) for each in (model, twin))
    step = nc.compile(model, loss_fn, own)
    for x, y in batches(rng, (2, 5, 6), 4, dtype, [6, 6, 3, 1, 9]):
        x[0, 0, 0] *= 30
        assert step(x, y) == by_hand(twin, loss_fn, hand, x, y)
    assert_same_state(model, own, twin, hand)
    assert len(fused(step)) == 7


def test_what_is_not_followed():
    """Activations with a weight or sums over rows, and layers that do not apply any."""
    model = nn.Sequential(
        nn.Linear(5, 6), nn.PReLU(), nn.Linear(6, 6), nn.Softmax(1), nn.LayerNorm(6), nn.ReLU(),
        nn.Dropout(0.5), nn.Tanh(), nn.Linear(6, 2),
    )  # fmt: skip
    step = nc.compile(model, input_shape=(5,), max_batch=3)
    assert fused(step) == {"Tanh (7)": "Linear (8)", "Linear (8)": "Tanh (7)"}


class Reads(nn.Module):
    """Who else reads what lies between."""

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.first, self.act, self.second = nn.Linear(9, 80), nn.Tanh(), nn.Linear(80, 80)

    def forward(self, x):
        z = self.first(x)
        a = self.act(z)
        if self.way == "the value before":
            return self.second(a) + z
        if self.way == "the value behind":
            return self.second(a) + a
        if self.way == "twice":
            return self.second(a) * self.second(a)
        if self.way == "an output before":
            return self.second(a), z
        if self.way == "an output behind":
            return self.second(a), a
        if self.way == "shared":
            return self.second(self.act(self.second(a)))
        b = z * 0.5  # "a dead end"
        self.second(b)
        return self.second(a)


@pytest.mark.parametrize(
    ("way", "count"),
    [
        ("the value before", 0),
        ("the value behind", 1),  # forward alone
        ("twice", 1),
        ("an output before", 0),
        ("an output behind", 1),
        ("shared", 4),
        ("a dead end", 0),
    ],
)
def test_who_else_reads(way, count, threads, rng):
    model = Reads(way)
    twin = copy.deepcopy(model)
    step = nc.compile(model)
    x = rng.standard_normal((6, 9)).astype(np.float32)
    assert_same_both_ways(step, model, twin, x, rng)
    core, nodes = step._core, len(str(step).splitlines()) - 2
    found = sum(core.followed(i, forward) >= 0 for i in range(nodes) for forward in (True, False))
    assert found == count


@pytest.mark.parametrize("frozen", [(0,), (2,), (0, 2), (0, 2, 4)], ids=str)
def test_frozen_layers(frozen, rng):
    model = nn.Sequential(
        nn.Linear(6, 70), nn.ReLU(), nn.Linear(70, 66), nn.SiLU(), nn.Linear(66, 3)
    )
    for i in frozen:
        for parameter in model[i].parameters():
            parameter.requires_grad = False
    step = nc.compile(model)
    assert_as_by_hand(model, step, rng.standard_normal((5, 6)).astype(np.float32), rng)
    loss_fn = nn.CrossEntropyLoss()
    if len(frozen) == 3:
        return
    twin = copy.deepcopy(model)
    model.zero_grad(), twin.zero_grad()
    own, hand = (optim.SGD(each.parameters(), lr=0.1) for each in (model, twin))
    step = nc.compile(model, loss_fn, own)
    for x, y in batches(rng, (6,), 3, np.float32, [5, 5, 2]):
        assert step(x, y) == by_hand(twin, loss_fn, hand, x, y)
    assert_same_state(model, own, twin, hand)


def test_epochs_and_hooks(rng):
    """An epoch runs the same nodes; hooks see the values between, by hand."""
    model = nn.Sequential(nn.Linear(6, 70), nn.GELU(), nn.Linear(70, 3))
    twin = copy.deepcopy(model)
    loss_fn = nn.CrossEntropyLoss()
    own, hand = (optim.SGD(each.parameters(), lr=0.1) for each in (model, twin))
    ((x, y),) = batches(rng, (6,), 3, np.float32, [10])
    step = nc.compile(model, loss_fn, own)
    for at, loss in zip((0, 4, 8), step.epoch(x, y, batch_size=4), strict=True):
        assert by_hand(twin, loss_fn, hand, x[at : at + 4], y[at : at + 4]) == loss
    assert_same_state(model, own, twin, hand)
    model[1].register_forward_hook(lambda module, x, y: None)
    with pytest.raises(TypeError, match="has hooks"):
        step(x, y)
