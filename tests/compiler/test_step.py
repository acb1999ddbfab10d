"""The compiled step gives, bit for bit, what the model gives by hand."""

import copy
import gc
import threading

import numpy as np
import pytest
from step_networks import (
    NETWORKS,
    OPTIMIZERS,
    assert_same_state,
    batches,
    by_hand,
    make_step,
    mlp,
    notes_cnn,
)
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_same_bits_as_by_hand(network, optimizer, isa, dtype, threads, rng):
    build, shape, classes = NETWORKS[network]
    model = build(dtype)
    model.reset_parameters(3)
    twin = copy.deepcopy(model)
    loss_fn = nn.CrossEntropyLoss()
    hand = OPTIMIZERS[optimizer](twin.parameters())
    step = nc.compile(model, loss_fn, OPTIMIZERS[optimizer](model.parameters()))
    # The last batch of an epoch is smaller; the next epoch begins with a whole one.
    for x, y in batches(rng, shape, classes, dtype, [9, 9, 4, 9, 1, 11]):
        assert step(x, y) == by_hand(twin, loss_fn, hand, x, y)
    for (name, own), (_, other) in zip(
        model.named_parameters(), twin.named_parameters(), strict=True
    ):
        assert np.isfinite(own.data).all(), name
        assert_same_bits(own.data, other.data)
        assert (own.grad == 0).all(), name
    twin.eval()
    assert_same_bits(step.predict(x), twin(x))
    assert_same_bits(step.output, twin(x))
    assert step.evaluate(x, y) == loss_fn(twin(x), y)


@pytest.mark.parametrize("layout", ["first", "last", "strided"])
def test_same_bits_for_any_layout(layout, rng):
    model = notes_cnn()
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    x = rng.standard_normal((6, 1, 28, 28)).astype(np.float32)
    expected = step.predict(x)
    if layout == "last":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    elif layout == "strided":
        wide = np.zeros((6, 2, 28, 56), np.float32)
        wide[:, :1, :, ::2] = x
        x = wide[:, :1, :, ::2]
    assert_same_bits(step.predict(x), expected)
    assert_same_bits(step.predict(x.astype(np.float64)), expected)


def test_gradients_stop_before_the_update(rng):
    model = mlp(np.float64)
    twin = copy.deepcopy(model)
    step = nc.compile(model, nn.MSELoss())
    x, y = rng.standard_normal((7, 20)), rng.standard_normal((7, 5))
    loss_fn = nn.MSELoss()
    for _ in range(2):  # each call begins from zero
        loss = step.gradients(x, y)
    assert loss == loss_fn(twin(x), y)
    twin.backward(loss_fn.backward())
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(own.grad, other.grad)
        assert_same_bits(own.data, other.data)


def test_frozen_parameters_stay(rng):
    model = mlp()
    twin = copy.deepcopy(model)
    loss_fn = nn.CrossEntropyLoss()
    step = nc.compile(model, loss_fn, optim.Adam(model.parameters()))
    hand = optim.Adam(twin.parameters())
    ((x, y),) = batches(rng, (20,), 5, np.float32, [8])
    assert step(x, y) == by_hand(twin, loss_fn, hand, x, y)
    for network in (model, twin):
        network[0].freeze()  # the Step notices by itself
        network[2].weight.requires_grad = False
    before = model[0].weight.data.copy()
    assert step(x, y) == by_hand(twin, loss_fn, hand, x, y)
    assert_same_bits(model[0].weight.data, before)
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(own.data, other.data)


def test_a_replaced_head_is_noticed(rng):
    model = mlp()
    step = nc.compile(model, nn.CrossEntropyLoss())
    ((x, y),) = batches(rng, (20,), 5, np.float32, [8])
    step.gradients(x, y)
    model[4] = nn.Linear(17, 3)
    assert step.predict(x).shape == (8, 3)
    step.gradients(x, y % 3)
    assert (model[4].weight.grad != 0).any()


def test_a_replaced_head_needs_the_optimizer_to_hold_it(rng):
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    step = nc.compile(model, nn.CrossEntropyLoss(), optimizer)
    ((x, y),) = batches(rng, (20,), 5, np.float32, [8])
    step(x, y)
    model[-1] = nn.Linear(17, 5, seed=0)
    before = model.state_dict()
    for call in (lambda: step(x, y), lambda: step.epoch(x, y), lambda: step.clone()(x, y)):
        with pytest.raises(ValueError, match=r"Step: 4\.weight, 4\.bias came with a new layer"):
            call()
    for name, array in model.state_dict().items():
        assert_same_bits(array, before[name])
    optimizer.add_param_group({"params": model[-1].parameters()})
    step(x, y)
    assert (model[-1].weight.data != before["4.weight"]).all()
    model[:-1].freeze()  # not trained for it was frozen: nobody complains
    step(x, y)


def test_frozen_parts_are_not_gone_through_backward(rng):
    """What print(step) shows is what the engine goes by; gradients below are not even written."""
    model = mlp()
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    ((x, y),) = batches(rng, (20,), 5, np.float32, [8])

    def learning():
        rows = str(step).splitlines()[1:-1]
        return [row.split()[0] for row in rows if "yes" in row.split()]

    step(x, y)
    assert learning() == ["linear", "tanh", "linear", "sigmoid", "linear", "cross_entropy"]
    model[:-1].freeze()
    frozen = list(model[:-1].parameters())
    for parameter in frozen:
        parameter.grad[...] = np.nan
    step(x, y)
    assert learning() == ["linear", "cross_entropy"]
    assert all(np.isnan(parameter.grad).all() for parameter in frozen)
    model[2].unfreeze()  # in the middle: what follows it passes gradients on
    step(x, y)
    assert learning() == ["linear", "sigmoid", "linear", "cross_entropy"]


def test_a_layer_used_twice_adds_its_gradients(rng):
    shared = nn.Linear(6, 6, dtype=np.float64)
    model = nn.Sequential(shared, nn.Tanh(), shared)
    twin = copy.deepcopy(model)
    x, y = rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    loss_fn = nn.MSELoss()
    assert nc.compile(model, nn.MSELoss()).gradients(x, y) == loss_fn(twin(x), y)
    twin.backward(loss_fn.backward())
    assert_same_bits(shared.weight.grad, twin[0].weight.grad)
    assert_same_bits(shared.bias.grad, twin[0].bias.grad)


def test_rates_are_read_at_each_call(rng):
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    step = nc.compile(model, nn.CrossEntropyLoss(), optimizer)
    ((x, y),) = batches(rng, (20,), 5, np.float32, [8])
    step(x, y)
    optimizer.param_groups[0]["lr"] = 0.0
    before = model[0].weight.data.copy()
    step(x, y)
    assert_same_bits(model[0].weight.data, before)


def test_an_empty_batch_changes_nothing(rng):
    model = mlp()
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    before = model.state_dict()
    assert np.isnan(step(np.zeros((0, 20), np.float32), np.zeros(0, int)))
    assert step.predict(np.zeros((0, 20), np.float32)).shape == (0, 5)
    for name, value in model.state_dict().items():
        assert_same_bits(value, before[name])


def test_an_empty_batch_lets_the_optimizer_go_on_as_by_hand(rng):
    model, optimizer, step = make_step(mlp, "momentum")
    twin, hand, _ = make_step(mlp, "momentum")
    for x, y in batches(rng, (20,), 5, np.float32, [4, 0, 3]):
        np.testing.assert_equal(step(x, y), by_hand(twin, nn.CrossEntropyLoss(), hand, x, y))
    assert_same_state(model, optimizer, twin, hand)


def test_a_label_out_of_range_changes_nothing(rng):
    model = mlp()
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    ((x, y),) = batches(rng, (20,), 5, np.float32, [8])
    step(x, y)
    before = model.state_dict()
    y[3] = 5
    with pytest.raises(IndexError, match=r"target\[3\] is 5"):
        step(x, y)
    for name, value in model.state_dict().items():
        assert_same_bits(value, before[name])


def test_errors_before_anything_is_run(rng):
    model = notes_cnn()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match="model must be a Module, got list"):
        nc.compile([], nn.CrossEntropyLoss())
    with pytest.raises(TypeError, match="optimizer must be an Optimizer"):
        nc.compile(model, nn.CrossEntropyLoss(), "adam")
    with pytest.raises(RuntimeError, match="without a loss_fn"):
        nc.compile(model, None, optimizer)(np.zeros((1, 1, 28, 28)), [0])
    with pytest.raises(ValueError, match="max_batch must be positive"):
        nc.compile(model, max_batch=0)
    with pytest.raises(ValueError, match="600"):
        nc.compile(model, input_shape=(1, 20, 20))
    with pytest.raises(ValueError, match="channels"):
        nc.compile(model, input_shape=(3, 28, 28))
    step = nc.compile(model, nn.CrossEntropyLoss(), input_shape=(1, 28, 28), max_batch=4)
    x, y = rng.standard_normal((3, 1, 28, 28)), np.zeros(3, int)
    with pytest.raises(RuntimeError, match="without an optimizer"):
        step(x, y)
    with pytest.raises(ValueError, match=r"x\[:, None\]"):
        step.predict(x[:, 0])
    with pytest.raises(ValueError, match=r"target has shape \(2,\), expected \(3,\)"):
        step.gradients(x, y[:2])
    with pytest.raises(TypeError, match="uint8"):
        step.predict(x.astype(np.uint8))
    with pytest.raises(ValueError, match="out has shape"):
        step.predict(x, out=np.empty((3, 9), np.float32))
    with pytest.raises(RuntimeError, match="without a loss_fn"):
        nc.compile(model).evaluate(x, y)

    class Own(nn.Module):
        def _forward(self, x):
            return x, None

    with pytest.raises(TypeError, match=r"Own.*has no compiled form.*eagerly"):
        nc.compile(nn.Sequential(nn.Linear(3, 3), Own()), input_shape=(3,))


def test_a_larger_batch_rebuilds_and_memory_is_reported(rng):
    model = mlp()
    step = nc.compile(model, nn.CrossEntropyLoss())
    assert step.memory == 0
    sizes = []
    for n in (4, 40, 8):
        step.predict(rng.standard_normal((n, 20)))
        sizes.append(step.memory)
    assert 0 < sizes[0] < sizes[1] == sizes[2]
    assert "linear" in repr(step)
    assert f"{step.memory:,} bytes" in repr(step)


def test_parameters_outlive_the_model(rng):
    step = nc.compile(mlp(), nn.CrossEntropyLoss())
    gc.collect()
    assert step.predict(rng.standard_normal((3, 20))).shape == (3, 5)


def test_several_threads_each_with_a_step(rng):
    ((x, y),) = batches(rng, (1, 28, 28), 10, np.float32, [16])
    losses = [[] for _ in range(3)]

    def train(mine):
        model = notes_cnn()
        model.reset_parameters(1)
        step = nc.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
        mine.extend(step(x, y) for _ in range(5))

    threads = [threading.Thread(target=train, args=(mine,)) for mine in losses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert losses[0] == losses[1] == losses[2]
    assert losses[0][-1] < losses[0][0]
