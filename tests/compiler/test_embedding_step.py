"""Embedding in a compiled step: whole numbers beside floats, checked before anything is run."""

import numpy as np
import pytest
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim
from nncore.nn import Module

ENTRIES, LENGTH, CLASSES = 9, 4, 3


def words(dtype):
    """A table with a padding row; the same table twice would be `Pair`'s."""
    model = nn.Sequential(
        nn.Embedding(ENTRIES, 5, padding_idx=2, dtype=dtype), nn.Flatten(), nn.Tanh(),
        nn.Linear(5 * LENGTH, CLASSES, dtype=dtype),
    )  # fmt: skip
    model.reset_parameters(1)
    return model


class Pair(Module):
    """Whole numbers read by two tables, one of them twice, beside floats: in either place."""

    def __init__(self, dtype=np.float64, indices_first=True):
        self.indices_first = indices_first
        self.words = nn.Embedding(ENTRIES, 6, dtype=dtype)
        self.more = nn.Embedding(ENTRIES + 2, 6, padding_idx=0, dtype=dtype)
        self.body = nn.Linear(6, 6, dtype=dtype)
        self.head = nn.Linear(6, CLASSES, dtype=dtype)
        self.reset_parameters(2)

    def forward(self, a, b):
        indices, x = (a, b) if self.indices_first else (b, a)
        known = self.words(indices) * self.more(indices) + self.words(indices)
        return self.head(known.mean(1) + self.body(x))


def batch(rng, n, dtype):
    x = rng.standard_normal((n, 6)).astype(dtype)
    return rng.integers(0, ENTRIES, (n, LENGTH)), x, rng.integers(0, CLASSES, n)


def by_hand(model, optimizer, inputs, y):
    loss_fn = nn.CrossEntropyLoss()
    loss = loss_fn(model(*inputs), y)
    model.backward(loss_fn.backward())
    optimizer.step()
    optimizer.zero_grad()
    return loss


def assert_equal_models(ours, theirs):
    for name, value in ours.state_dict().items():
        assert_same_bits(value, theirs.state_dict()[name])


@pytest.mark.parametrize("kind", ["chain", "first", "second"])
def test_the_bits_of_the_model_by_hand(kind, isa, dtype, threads, rng):
    ours, theirs = (
        words(dtype) if kind == "chain" else Pair(dtype, kind == "first") for _ in range(2)
    )
    step = nc.compile(ours, nn.CrossEntropyLoss(), optim.Adam(ours.parameters(), lr=0.01))
    optimizer = optim.Adam(theirs.parameters(), lr=0.01)
    indices, x, y = batch(rng, 33, dtype)
    inputs = {"chain": (indices,), "first": (indices, x), "second": (x, indices)}[kind]

    def given(rows, cast=lambda a: a):
        arrays = tuple(cast(array[rows]) for array in inputs)
        return arrays[0] if len(arrays) == 1 else arrays

    def small(array):
        return array.astype(np.int16) if array.dtype.kind == "i" else array[::-1][::-1]

    for rows, cast in ((slice(0, 20), np.asfortranarray), (slice(20, 33), small)):
        expected = by_hand(theirs, optimizer, [array[rows] for array in inputs], y[rows])
        assert step(given(rows, cast), y[rows]) == expected
    everything = slice(None)
    order = rng.permutation(33)
    for taken in (order, None):
        values = step.epoch(given(everything), y, taken, batch_size=10)
        for i, start in enumerate(range(0, 33, 10)):
            rows = (np.arange(33) if taken is None else order)[start : start + 10]
            expected = by_hand(theirs, optimizer, [array[rows] for array in inputs], y[rows])
            assert values[i] == expected
    assert_equal_models(ours, theirs)
    loss_fn = nn.CrossEntropyLoss()
    assert step.evaluate(given(everything), y) == loss_fn(theirs(*inputs), y)
    assert_same_bits(step.predict(given(slice(0, 7))), theirs(*[a[:7] for a in inputs]))
    # The halves: the indices have no gradient.
    output = step.forward(given(everything))
    dx = step.backward(np.ones_like(output), input_grad=True)
    theirs(*inputs)
    expected = theirs.backward(np.ones_like(output), input_grad=True)
    for one, other in zip(
        *(g if isinstance(g, tuple) else (g,) for g in (dx, expected)), strict=True
    ):
        assert (one is None) == (other is None)
        if one is not None:
            assert_same_bits(one, other)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_same_bits(one.grad, other.grad)
    # Sizes 0 and 1, and a table that is not trained.
    assert step.predict(given(slice(0, 0))).shape == (0, CLASSES)
    assert np.isnan(step(given(slice(0, 0)), y[:0]))
    table = ours[0] if kind == "chain" else ours.words
    table.freeze()
    before = table.weight.data.copy()
    assert np.isfinite(step(given(slice(0, 1)), y[:1]))
    assert_same_bits(table.weight.data, before)


def test_a_row_for_padding_is_not_trained(rng):
    model = words(np.float32)
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=1.0))
    x = rng.integers(0, 3, (8, LENGTH))
    before = model[0].weight.data.copy()
    step.gradients(x, [0] * 8)
    assert not model[0].weight.grad[2:].any()
    assert model[0].weight.grad[:2].all()
    step(x, [0] * 8)
    assert_same_bits(model[0].weight.data[2:], before[2:])
    assert (model[0].weight.data[:2] != before[:2]).all()


@pytest.mark.parametrize("bad", [ENTRIES, -1, 2**63 - 1, -(2**63)])
def test_an_index_out_of_range(bad, rng):
    x, _, y = batch(rng, 30, np.float32)
    model = nn.Sequential(*words(np.float32), nn.BatchNorm1d(CLASSES), nn.Dropout(0.5))
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    step(x, y)
    before = model.state_dict()
    x[13, 2] = bad
    message = rf"^Embedding \(0\): x\[13, 2\] is {bad}, expected 0 to {ENTRIES - 1}$"
    for call in (
        lambda: step(x, y), lambda: step.gradients(x, y), lambda: step.evaluate(x, y),
        lambda: step.predict(x), lambda: step.forward(x), lambda: step.epoch(x, y, batch_size=30),
        lambda: step.epoch(x, y, np.arange(30)[::-1].copy(), batch_size=30),
    ):  # fmt: skip
        with pytest.raises(IndexError, match=message):
            call()
        for name, value in model.state_dict().items():
            assert_same_bits(value, before[name])
    # In a later batch: those before it count.
    with pytest.raises(IndexError, match=message):
        step.epoch(x, y, batch_size=10)
    assert len(step.losses) == 1


def test_what_is_refused(rng):
    model = words(np.float32)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    step = nc.compile(model, nn.CrossEntropyLoss(), optimizer, input_shape=(LENGTH,))
    for x, error in (
        (np.zeros((2, LENGTH)), TypeError), (np.zeros((2, LENGTH), bool), TypeError),
        (np.ma.masked_array([[0] * LENGTH]), TypeError), (None, TypeError),
        (np.full((1, LENGTH), 2**63, np.uint64), IndexError), (np.int64(1), ValueError),
        (np.zeros((2, LENGTH + 1), int), ValueError),
    ):  # fmt: skip
        with pytest.raises(error):
            step.predict(x)
        with pytest.raises(error):
            step.epoch(x, [0, 0], batch_size=2)
    assert_same_bits(step.predict([[0, 1, 2, 3]]), model([[0, 1, 2, 3]]))
    with pytest.raises(ValueError, match=r"Embedding \(0\): x has shape .*, expected \(batch,\)"):
        nc.compile(nn.Sequential(nn.Embedding(3, 2)), None, input_shape=(2, 2))
    with pytest.raises(TypeError, match=r"Embedding .* x is computed within the model"):
        nc.compile(nn.Sequential(nn.Linear(3, 3), nn.Embedding(3, 2)), None, input_shape=(3,))

    class Both(Module):
        def __init__(self):
            self.table, self.line = nn.Embedding(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.table(x).mean(1) + self.line(x)

    with pytest.raises(TypeError, match=r"Linear .* no compiled form for the whole numbers that"):
        nc.compile(Both(), None, input_shape=(3,))
    pair = nc.compile(Pair(np.float32), None)
    indices, x, _ = batch(rng, 3, np.float32)
    for wrong in ((x, x), (np.zeros((3, 6), int), np.zeros((3, 6), int))):
        with pytest.raises(TypeError, match=r"Embedding .*float32|int64 values"):
            pair.predict(wrong)
    pair = nc.compile(Pair(np.float32), None)
    assert pair.predict((indices, x)).shape == (3, CLASSES)


def test_the_trainer_takes_indices(rng):
    x = rng.integers(0, ENTRIES, (64, LENGTH))
    y = (x.sum(axis=1) % CLASSES).astype(np.int64)

    class Encoder(Module):
        def __init__(self):
            self.table = nn.Embedding(ENTRIES, 5)

        def forward(self, indices):
            return self.table(indices).flatten()

    def encoder(dtype):
        model = nn.Sequential(Encoder(), nn.Linear(5 * LENGTH, CLASSES))
        model.reset_parameters(1)
        return model

    for build in (words, encoder):
        results = []
        for compiled in (True, False):
            model = build(np.float32)
            trainer = nc.Trainer(
                model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), 0.01), seed=1
            )
            trainer.fit(x, y, 3, 10, validation_split=0.25, verbose=0, compiled=compiled)
            pairs = [(x[:20], y[:20]), (x[20:], y[20:])]
            trainer.fit(pairs, None, 1, validation_data=(x, y), verbose=0, compiled=compiled)
            assert trainer.evaluate(x, y, compiled=compiled).loss > 0
            results.append((trainer.history.history["loss"], trainer.predict(x, compiled=compiled)))
        assert results[0][0] == results[1][0]
        assert_same_bits(results[0][1], results[1][1])
    bad = x.copy()
    bad[40, 3] = ENTRIES
    model = words(np.float32)
    trainer = nc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), seed=1)
    before = model.state_dict()
    with pytest.raises(IndexError, match=r"Trainer.fit: x\[40, 3\] is 9, expected an index from 0"):
        trainer.fit(bad, y, verbose=0)
    with pytest.raises(TypeError, match="Embedding: x has dtype float64"):
        trainer.fit(x / 2, y, verbose=0)
    for name, value in model.state_dict().items():
        assert_same_bits(value, before[name])
