"""Dropout: which elements are kept, by hand and compiled; the state of the random numbers."""

import copy
import json

import numpy as np
import pytest
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim, reference


def test_kept_or_zero_forward_and_backward(dtype, isa, rng):
    layer = nn.Dropout(0.3, seed=3)
    x = rng.normal(size=(50, 40)).astype(dtype)
    x[0, :] = np.inf
    y = layer(x)
    kept = y != 0
    assert 0.6 < kept.mean() < 0.8
    np.testing.assert_allclose(y, reference.dropout(x, kept, 0.3), 4 * np.finfo(dtype).eps)
    dx = layer.backward(np.ones_like(x))
    np.testing.assert_allclose(dx, reference.dropout(np.ones_like(x), kept, 0.3), 1e-6)
    assert_same_bits(layer.eval()(x), x)


def test_the_mask_is_of_the_seed_the_name_and_the_call_alone(threads, rng):
    x = np.ones((6, 10, 30, 31), np.float32)
    layer = nn.Dropout(0.5, seed=3)
    first, second = layer(x), layer(np.asfortranarray(x))
    assert (first != second).any()
    again = nn.Dropout(0.5, seed=3)
    assert_same_bits(again(np.asfortranarray(x)), first)
    assert_same_bits(again(x.astype(np.float64)).astype(np.float32), second)
    assert_same_bits(nn.Dropout(0.5, seed=3)(x[:2]), first[:2])
    assert (nn.Dropout(0.5, seed=4)(x) != first).any()
    pair = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    pair.reset_parameters(3)
    assert (pair[0](x) != pair[1](x)).any()


@pytest.mark.parametrize("shape", [(5, 7, 4, 3), (5, 7, 9)])
def test_whole_channels(shape, dtype):
    layer = nn.Dropout2d(0.4, seed=1)
    x = np.full(shape, 3, dtype)
    y = layer(x).reshape(5, 7, -1)
    assert (y == y[:, :, :1]).all()
    assert {0} < set(np.unique(y != 0)) | {0}
    np.testing.assert_array_equal(layer.backward(x).reshape(y.shape), y)


def test_ends_of_the_scale(dtype):
    x = np.array([1, np.inf, np.nan, -2], dtype)
    for kind in (nn.Dropout, nn.Dropout2d):
        given = x.reshape(1, 2, 2)
        assert_same_bits(kind(0)(given), given)
        assert_same_bits(kind(1.0)(given), np.zeros_like(given))


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), float("inf")])
def test_no_chance(p):
    with pytest.raises(ValueError, match="Dropout: p must be"):
        nn.Dropout(p)
    with pytest.raises(ValueError, match="Dropout2d: p must be"):
        nn.Dropout2d(p)
    with pytest.raises(TypeError, match="p must be a number"):
        nn.Dropout("0.5")
    with pytest.raises(ValueError, match="Dropout2d: x has shape"):
        nn.Dropout2d()(np.ones((2, 3)))


def network(seed=7):
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.2), nn.Flatten(),
        nn.Dropout(0.3), nn.LayerNorm(64), nn.Linear(64, 3), nn.Identity(),
    )  # fmt: skip
    model.reset_parameters(seed)
    return model


def batches(rng, count):
    for _ in range(count):
        yield rng.normal(size=(8, 1, 6, 6)).astype(np.float32), rng.integers(0, 3, 8)


def train(model, data, compiled):
    optimizer, loss_fn = optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
    step = nc.compile(model, loss_fn, optimizer) if compiled else None
    losses = []
    for x, y in data:
        if step is not None:
            losses.append(float(step(x, y)))
            continue
        losses.append(float(loss_fn(model(x), y)))
        model.backward(loss_fn.backward())
        optimizer.step()
        optimizer.zero_grad()
    return losses


@pytest.mark.parametrize("frozen", [False, True])
def test_compiled_is_eager_bit_for_bit(frozen, threads, rng):
    by_hand = network()
    if frozen:
        by_hand[1].freeze()
    compiled = copy.deepcopy(by_hand)
    data = list(batches(rng, 4))
    data.append((data[0][0][:3], data[0][1][:3]))
    assert train(by_hand, data, False) == train(compiled, data, True)
    for name, value in by_hand.state_dict().items():
        assert_same_bits(compiled.state_dict()[name], value)
    assert by_hand[1].num_batches_tracked == (0 if frozen else 5)
    assert nn.random_state(by_hand) == nn.random_state(compiled)
    step = nc.compile(compiled, nn.CrossEntropyLoss())
    assert_same_bits(step.predict(data[0][0]), by_hand.eval()(data[0][0]))


@pytest.mark.parametrize("compiled", [False, True])
def test_goes_on_as_if_it_had_never_stopped(compiled, rng):
    data = list(batches(rng, 6))
    whole = train(network(), data, compiled)
    model = network()
    first = train(model, data[:3], compiled)
    random, weights = json.loads(json.dumps(nn.random_state(model))), model.state_dict()
    other = network(seed=99)
    other.load_state_dict(weights)
    nn.load_random_state(other, random)
    assert first + train(other, data[3:], compiled) == whole


def test_a_state_that_does_not_fit_changes_nothing():
    model = network()
    good = nn.random_state(model)
    for bad in (
        {},
        {**good, "5": {"seed": -1, "name": "5", "calls": 0}},
        {**good, "5": {"seed": 1, "name": "5"}},
    ):
        with pytest.raises(ValueError, match="load_random_state"):
            nn.load_random_state(model, bad)
    with pytest.raises(TypeError, match="load_random_state"):
        nn.load_random_state(model, 3)
    assert nn.random_state(model) == good
