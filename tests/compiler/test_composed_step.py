"""Modules with a `forward` of their own in the compiled step: bits, shapes, refusals."""

import copy

import numpy as np
import pytest
from composed_networks import COMPOSED, build, inputs
from step_networks import OPTIMIZERS, assert_same_state, by_hand
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim

ONE_OUTPUT = [name for name in COMPOSED if name != "two"]


def as_tuple(y):
    return y if isinstance(y, tuple) else (y,)


def alone(arrays):
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


@pytest.mark.parametrize("name", ONE_OUTPUT)
def test_a_hundred_steps(name, threads, rng):
    model = build(name)
    twin = copy.deepcopy(model)
    loss_fn, kind = nn.CrossEntropyLoss(), "momentum" if name == "residual" else "adam"
    own, hand = OPTIMIZERS[kind](model.parameters()), OPTIMIZERS[kind](twin.parameters())
    step = nc.compile(model, loss_fn, own)
    for at in range(100):
        n = 6 if at % 10 else 3
        x, labels = inputs(name, rng, n, np.float32)[0], rng.integers(0, 4, n)
        assert step(x, labels) == by_hand(twin, loss_fn, hand, x, labels), at
    assert_same_state(model, own, twin, hand)
    assert_same_bits(step.predict(x), twin.eval()(x))


@pytest.mark.parametrize("name", COMPOSED)
def test_the_two_halves(name, isa, dtype, rng):
    model = build(name, dtype)
    twin = copy.deepcopy(model)
    step = nc.compile(model, optimizer=optim.SGD(model.parameters(), lr=0.1))
    for n in (4, 2):
        x = inputs(name, rng, n, dtype)
        y, expected = step.forward(alone(x)), twin(*x)
        grad = tuple(rng.standard_normal(each.shape).astype(dtype) for each in as_tuple(y))
        for mine, theirs in zip(as_tuple(y), as_tuple(expected), strict=True):
            assert_same_bits(mine, theirs)
        dx = step.backward(alone(grad), input_grad=True)
        others = twin.backward(alone(grad), input_grad=True)
        for mine, theirs in zip(as_tuple(dx), as_tuple(others), strict=True):
            assert_same_bits(mine, theirs)
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(mine.grad, theirs.grad)


def test_an_epoch_of_a_branching_net(rng):
    model = build("branching")
    other = copy.deepcopy(model)
    x, y = rng.standard_normal((23, 2, 7, 6)).astype(np.float32), rng.integers(0, 4, 23)
    own, hand = optim.Adam(model.parameters()), optim.Adam(other.parameters())
    losses = nc.compile(model, nn.CrossEntropyLoss(), own).epoch(x, y, batch_size=6)
    loss_fn = nn.CrossEntropyLoss()
    expected = [by_hand(other, loss_fn, hand, x[i : i + 6], y[i : i + 6]) for i in range(0, 23, 6)]
    np.testing.assert_array_equal(losses, expected)
    assert_same_state(model, own, other, hand)


def test_the_public_step_with_several_inputs_and_heads(rng):
    model = build("two")
    step = nc.compile(model, input_shape=((7,), (3,)), max_batch=5)
    a, b = inputs("two", rng, 5, np.float32)
    for mine, theirs in zip(step.predict((a, b)), model.eval()(a, b), strict=True):
        assert_same_bits(mine, theirs)
    assert "Two (" not in repr(step)
    assert "Two concatenate" in repr(step)
    policy, value = step.forward((a, b))
    with pytest.raises((TypeError, ValueError), match="grad"):
        step.backward(policy)
    da, db = step.backward((np.ones_like(policy), np.ones_like(value)), input_grad=True)
    assert (da.shape, db.shape) == (a.shape, b.shape)
    with pytest.raises(ValueError, match="samples of shape"):
        step.predict((b, a))
    with pytest.raises(TypeError, match="compile: Two returns several outputs"):
        nc.compile(model, nn.MSELoss(), input_shape=((7,), (3,)))


def test_frozen_parts_and_replaced_ones(rng):
    model = build("parameters")
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    x, labels = rng.standard_normal((4, 7)).astype(np.float32), np.arange(4)
    model.scale.requires_grad = False
    before = model.scale.data.copy()
    step(x, labels)
    assert_same_bits(model.scale.data, before)
    model.head = nn.Linear(7, 4, seed=1)
    assert step.predict(x).tobytes() == model.eval()(x).tobytes()


def test_modes_that_change_the_path_are_traced_anew(rng):
    class Modes(nn.Module):
        def __init__(self):
            self.linear, self.around = nn.Linear(3, 3), True

        def forward(self, x):
            y = self.linear(x)
            y = y * 2 if self.training else y
            return y + x if self.around else y

    model, x = Modes(), rng.standard_normal((2, 3)).astype(np.float32)
    step, seen = nc.compile(model), set()
    for training in (True, False):
        for around in (True, False):
            model.train(training).around = around
            assert_same_bits(step.predict(x), model(x))
            seen.add(step.predict(x).tobytes())
    assert len(seen) == 4


def test_arrays_as_constants(rng):
    class Table(nn.Module):
        def __init__(self, table):
            self.table = table

        def forward(self, x):
            return (x - self.table) * np.float32(2) + np.ones(1)[0]

    for table in (np.arange(3, dtype=np.float32), np.arange(6.0)[::2]):
        model, x = Table(table), rng.standard_normal((2, 3)).astype(np.float32)
        expected = (x - table.astype(np.float32)) * 2 + 1
        np.testing.assert_allclose(model(x), expected, 1e-6)
        assert_same_bits(nc.compile(model).predict(x), model(x))


def test_what_changes_nothing_is_left_out_where_the_bits_allow_it(rng):
    class Flat(nn.Module):
        def __init__(self):
            self.flat, self.linear = nn.Flatten(), nn.Linear(3, 3, seed=1)

        def forward(self, x):
            y = self.linear(x)
            once = self.flat(y)
            return self.linear(self.flat(once)) * y + self.linear(y)

    model, x = Flat(), rng.standard_normal((4, 3)).astype(np.float32)
    step, grad = nc.compile(model), rng.standard_normal((4, 3)).astype(np.float32)
    assert_same_bits(step.forward(x), model(x))
    assert_same_bits(step.backward(grad, True), model.backward(grad, True))
    assert repr(step).count("reshape") == 1
    empty = nc.compile(nn.Sequential())
    assert_same_bits(empty.predict(x), x)


def test_what_runs_eagerly_only():
    class Cube(nn.Module):
        def _forward(self, x):
            return x**3, x

    class Net(nn.Module):
        def __init__(self):
            self.body = nn.Sequential(nn.Linear(2, 2), Cube())

        def forward(self, x):
            return self.body(x) + x

    with pytest.raises(TypeError, match=r"Cube \(body.1\) has no compiled form: run .* eagerly"):
        nc.compile(Net(), input_shape=(2,))


def test_forward_that_does_not_do_the_same():
    class Batch(nn.Module):
        def forward(self, x):
            return x * (1 / x.shape[0])

    class Random(nn.Module):
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def forward(self, x):
            return x * float(self.rng.uniform())

    class Counting(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x + x

    for model, message in (
        (Batch(), "compile: forward of Batch does not do the same twice, or not for batches"),
        (Random(), "compile: forward of Random does not do the same twice"),
        (Counting(), "compile: forward of Counting makes or changes modules or their attributes"),
    ):
        with pytest.raises(RuntimeError, match=message):
            nc.compile(model, input_shape=(3,))


def test_hooks_run_by_hand(rng):
    model = build("shared")
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    x, labels = rng.standard_normal((4, 7)).astype(np.float32), np.arange(4)
    step(x, labels)
    handle = model.cell.register_forward_hook(lambda *_: None)
    with pytest.raises(TypeError, match=r"Linear \(cell\) has hooks, .* remove them"):
        step(x, labels)
    handle.remove()
    step(x, labels)
    for module in (model, model.head):
        handle = module.register_full_backward_hook(lambda *_: None)
        with handle, pytest.raises(TypeError, match="has hooks"):
            step.predict(x)
