"""nn.utils.features: what a frozen body gives, once."""

import numpy as np
import pytest

from nncore import nn


@pytest.fixture
def body(dtype):
    return nn.Sequential(nn.Conv2d(1, 3, 3, dtype=dtype), nn.ReLU(), nn.Flatten())


def test_are_the_bodys_outputs_in_any_batches(body, dtype, rng):
    x = rng.standard_normal((7, 1, 5, 4))
    body[0].eval()
    found = nn.utils.features(body, x, batch_size=3)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, body(x))
    np.testing.assert_array_equal(found, nn.utils.features(body, x))
    assert nn.utils.features(body, x[:0]).shape == (0, 18)
    assert [module.training for module in body] == [False, True, True]


def test_modes_come_back_and_nothing_is_recorded(body, rng):
    x = rng.standard_normal((4, 1, 5, 4))
    nn.utils.features(body, x)
    with pytest.raises(RuntimeError, match="no recorded forward"):
        body.backward(np.zeros((4, 18)))
    with pytest.raises(ValueError, match="x has shape"):
        nn.utils.features(body, x[0, 0])
    assert all(module.training for module in body.modules())


def test_a_head_learns_on_them_as_in_place(rng):
    """The head's gradients are those that it has behind its frozen body."""
    body, head = nn.Sequential(nn.Linear(4, 6, seed=0), nn.Tanh()), nn.Linear(6, 3, seed=1)
    x, y, loss_fn = rng.standard_normal((9, 4)), np.arange(9) % 3, nn.CrossEntropyLoss()
    loss_fn(head(nn.utils.features(body, x)), y)
    head.backward(loss_fn.backward())
    alone = head.weight.grad.copy()
    head.zero_grad()
    whole = nn.Sequential(*body.freeze(), head)
    loss_fn(whole(x), y)
    whole.backward(loss_fn.backward())
    np.testing.assert_array_equal(head.weight.grad, alone)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (([1], [[1.0]]), TypeError, "features: body must be a Module, got list"),
        ((nn.ReLU(), 1.0), ValueError, "features: x is a single number"),
        ((nn.ReLU(), [[1.0]], 0), ValueError, "features: batch_size must be positive, got 0"),
        ((nn.ReLU(), ["a"]), TypeError, "x"),
    ],
)
def test_what_is_wrong_is_said(arguments, kind, message):
    with pytest.raises(kind, match=message):
        nn.utils.features(*arguments)
