"""`step.epoch` is `step(x[rows], y[rows])` for each batch, bit for bit, whatever the data are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from step_networks import (
    NETWORKS,
    OPTIMIZERS,
    assert_same_state,
    make_step,
    mlp,
    notes_cnn,
    one_by_one,
)
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_same_bits_as_batch_by_batch(network, optimizer, isa, dtype, threads, rng):
    build, shape, classes = NETWORKS[network]
    model, held, step = make_step(build, optimizer, dtype)
    twin, twin_held, twin_step = make_step(build, optimizer, dtype)
    x = rng.standard_normal((23, *shape)).astype(dtype)
    y = rng.integers(0, classes, 23)
    order = rng.permutation(23)
    losses = step.epoch(x, y, order, 7)
    assert losses.dtype == np.float64
    assert_same_bits(losses, one_by_one(twin_step, x, y, order, 7))
    # In order, without copies; the numbers of the optimiser are read again.
    for one in (held, twin_held):
        one.param_groups[0]["lr"] *= 0.5
    losses = step.epoch(x, y, batch_size=9)
    assert_same_bits(losses, one_by_one(twin_step, x, y, np.arange(23), 9))
    assert_same_bits(step.losses, losses)
    assert_same_state(model, held, twin, twin_held)


@settings(max_examples=40)
@given(
    samples=st.integers(0, 12),
    picked=st.lists(st.integers(0, 11), max_size=20),
    batch_size=st.integers(1, 15),
    use_order=st.booleans(),
    labels=st.sampled_from([np.int64, np.uint8, np.int32]),
)
def test_any_order_and_batch_size(samples, picked, batch_size, use_order, labels):
    rng = np.random.default_rng(samples)
    x, y = rng.standard_normal((samples, 20)), rng.integers(0, 5, samples).astype(labels)
    order = np.array([row for row in picked if row < samples], np.int64) if use_order else None
    model, held, step = make_step(mlp)
    twin, twin_held, twin_step = make_step(mlp)
    rows = np.arange(samples) if order is None else order
    losses = step.epoch(x, y, order, batch_size)
    expected = one_by_one(twin_step, x.astype(np.float32), y, rows, batch_size)
    assert_same_bits(losses, expected.astype(np.float64))
    assert_same_state(model, held, twin, twin_held)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", ["first", "last", "strided"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("ordered", [True, False])
def test_images_of_any_layout_and_dtype(channels, layout, kind, ordered, isa, dtype, rng):
    def build(dtype):
        return nn.Sequential(
            nn.Conv2d(channels, 4, 3, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(4 * 3 * 2, 5, dtype=dtype),
        )  # fmt: skip

    x = rng.integers(0, 256, (11, channels, 8, 6)).astype(np.uint8)
    scaled = x.astype(dtype) / 255
    if kind is not np.uint8:
        x = scaled.astype(kind)
        scaled = x.astype(dtype)
    if layout == "last":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    elif layout == "strided":
        wide = np.zeros((11, channels, 8, 12), x.dtype)
        wide[..., ::2] = x
        x = wide[..., ::2]
    y = rng.integers(0, 5, 11)
    order = rng.permutation(11) if ordered else np.arange(11)
    model, held, step = make_step(build, dtype=dtype)
    twin, twin_held, twin_step = make_step(build, dtype=dtype)
    before = x.copy()
    losses = step.epoch(x, y, order if ordered else None, 4)
    assert_same_bits(losses, one_by_one(twin_step, scaled, y, order, 4))
    assert_same_state(model, held, twin, twin_held)
    assert_same_bits(x, before)


def test_every_byte_is_divided_as_numpy_does(dtype):
    """A layer of weight 1 and bias 0 shows what was read."""
    model = nn.Sequential(nn.Linear(256, 1, dtype=dtype))
    model[0].weight.data[...] = 0
    step = nc.compile(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.0))
    x = np.arange(256, dtype=np.uint8)[None]
    for at in range(256):
        model[0].weight.data[0] = 0
        model[0].weight.data[0, at] = 1
        model[0].bias.data[...] = 0
        step.epoch(x, np.zeros((1, 1)), batch_size=1)
        assert step.output[0, 0] == np.array(at, dtype) / dtype(255)


def test_float_targets_are_gathered(rng, dtype):
    def images(dtype):
        return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, dtype=dtype), nn.Tanh())

    for build, x_shape, y_shape in ((mlp, (20,), (5,)), (images, (2, 5, 4), (3, 5, 4))):
        model, held, step = make_step(build, dtype=dtype, loss=nn.MSELoss)
        twin, twin_held, twin_step = make_step(build, dtype=dtype, loss=nn.MSELoss)
        x, y = rng.standard_normal((10, *x_shape)), rng.standard_normal((10, *y_shape))
        for order in (rng.permutation(10), None):
            losses = step.epoch(x, y, order, 4)
            rows = np.arange(10) if order is None else order
            assert_same_bits(losses, one_by_one(twin_step, x, y, rows, 4))
        assert_same_state(model, held, twin, twin_held)


def test_layers_frozen_within_and_parameters_outside(rng):
    model, _, _ = make_step(notes_cnn)
    model[0].freeze()
    extra = nn.Parameter(np.ones(3, np.float32))
    optimizer = optim.SGD([*model[7].parameters(), extra], lr=0.1)
    step = nc.compile(model, nn.CrossEntropyLoss(), optimizer)
    before = model.state_dict()
    extra.grad[...] = 1
    step.epoch(rng.standard_normal((6, 1, 28, 28)), np.arange(6), batch_size=6)
    # Not the optimiser's: unchanged, and its gradient is cleared all the same.
    assert_same_bits(model[3].weight.data, before["3.weight"])
    assert (model[3].weight.grad == 0).all()
    assert (model[7].weight.data != before["7.weight"]).any()
    assert np.allclose(extra.data, 0.9)


def test_a_batch_larger_than_any_data(rng):
    x, y = rng.standard_normal((9, 20)).astype(np.float32), rng.integers(0, 5, 9)
    _, _, step = make_step(mlp)
    _, _, twin = make_step(mlp)
    expected = twin.epoch(x, y, batch_size=9)
    assert step.epoch(x, y, batch_size=2**63 - 1).tobytes() == expected.tobytes()
