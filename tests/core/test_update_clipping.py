"""Gradients clipped within the update: by norm over several updates, by value, and not finite."""

import math

import numpy as np
import pytest
from tolerance import assert_same_bits

from nncore._core import engine

SHAPES = [(3, 5), (7,), (0, 4), (31, 33), (17000,)]
RULES = {"sgd": 0, "adam": 2, "rmsprop": 1, "adagrad": 1, "lion": 1}


def make(kind, dtype, rng, shapes=SHAPES):
    arrays = [np.array(rng.standard_normal(shape), dtype) for shape in shapes]
    grads = [np.array(rng.standard_normal(shape), dtype) for shape in shapes]
    states = [tuple(np.ones_like(p) for _ in range(RULES[kind])) for p in arrays]
    return arrays, grads, engine.Update(kind, arrays, grads, states)


def norm_of(grads):
    return math.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in grads))


def test_squares(isa, dtype, threads, rng):
    _, grads, update = make("sgd", dtype, rng)
    for grad in grads:
        grad *= 1e30 if dtype is np.float32 else 1e100
    assert update.squares() == pytest.approx(norm_of(grads) ** 2, rel=1e-12)
    first = update.squares()
    engine.threads_set(1)
    assert update.squares() == first
    grads[3][5, 6] = np.inf
    assert update.squares() == math.inf
    grads[-1][-1] = np.nan
    assert math.isnan(update.squares())
    assert engine.Update("sgd", [], [], []).squares() == 0


def test_squares_of_every_size(isa, dtype, rng):
    """One tensor of each: whole blocks of sums, and all that may be left behind them."""
    for size in range(70):
        _, grads, update = make("sgd", dtype, rng, [(size,)])
        assert update.squares() == pytest.approx(norm_of(grads) ** 2, rel=1e-13)


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize(("limit", "bound"), [(0.7, 0), (1e9, 0), (0, 0.4), (2.0, 0.02)])
def test_is_clipping_by_hand_and_then_a_step(kind, limit, bound, isa, dtype, threads):
    """Two updates under one norm; the gradients themselves stay as they are."""
    clipped = [make(kind, dtype, np.random.default_rng(i)) for i in (1, 2)]
    by_hand = [make(kind, dtype, np.random.default_rng(i)) for i in (1, 2)]
    given = [g.copy() for _, grads, _ in clipped for g in grads]
    factor = 1.0
    if limit:
        total = sum(update.squares() for _, _, update in by_hand)
        factor = min(1.0, limit / (math.sqrt(total) + 1e-6))
    for _, grads, update in by_hand:
        for grad in grads:
            grad *= dtype(factor)
            if bound:
                np.clip(grad, -bound, bound, out=grad)
        update.run(lr=0.1)
    for _, _, update in clipped:
        update.configure(lr=0.1, max_norm=limit, max_value=bound)
    engine.run_updates([update for _, _, update in clipped], "test")
    for (ours, _, _), (theirs, _, _) in zip(clipped, by_hand, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert_same_bits(a, b)
    for a, b in zip(given, (g for _, grads, _ in clipped for g in grads), strict=True):
        assert_same_bits(a, b)


def test_nan_is_not_clipped_away(isa, dtype, rng):
    for hyper in ({"max_norm": 1.0}, {"max_value": 0.5}):
        params, grads, update = make("sgd", dtype, rng)
        grads[0][1, 1] = np.nan
        update.run(lr=0.1, **hyper)
        assert np.isnan(params[0][1, 1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_before_anything_changed(bad, dtype, rng):
    first, second = make("sgd", dtype, rng), make("adam", dtype, rng)
    before = [p.copy() for params, _, _ in (first, second) for p in params]
    second[1][3][0, 0] = bad
    updates = [first[2], second[2]]
    for update in updates:
        update.configure(lr=0.1, finite=True)
    message = r"Rule: the gradient of params\[3\] must be finite, got NaN or infinity"
    with pytest.raises(ValueError, match=message):
        engine.run_updates(updates, "Rule")
    for a, b in zip(before, (p for params, _, _ in (first, second) for p in params), strict=True):
        assert_same_bits(a, b)
    assert [update.steps for update in updates] == [0, 0]
    second[1][3][0, 0] = 1
    engine.run_updates(updates, "Rule")
    assert [update.steps for update in updates] == [1, 1]


def test_too_many_updates(rng):
    update = make("sgd", np.float32, rng)[2]
    with pytest.raises(ValueError, match="Rule: 65 parameter groups, at most 64"):
        engine.run_updates([update] * 65, "Rule")
