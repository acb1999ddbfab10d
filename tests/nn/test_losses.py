"""Losses as people use them: floats, records, errors."""

import math

import numpy as np
import pytest

import nncore
from nncore import losses, nn


def test_are_in_both_places():
    assert nn.CrossEntropyLoss is losses.CrossEntropyLoss
    assert nn.MSELoss is losses.MSELoss
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss()"


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "MSELoss"])
@pytest.mark.parametrize("grad", [1.0, -2.5])
def test_equals_pytorch(name, grad, dtype, torch, rng, close):
    pred = rng.standard_normal((6, 5)).astype(dtype)
    cross = name == "CrossEntropyLoss"
    target = rng.integers(0, 5, 6) if cross else rng.standard_normal((6, 5)).astype(dtype)
    leaf = torch.from_numpy(pred.copy()).requires_grad_()
    expected = getattr(torch.nn, name)()(leaf, torch.from_numpy(target))
    (expected * grad).backward()
    loss_fn = getattr(nn, name)()
    loss = loss_fn(pred, target)
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    close(loss_fn.backward(grad), leaf.grad.numpy())
    assert loss_fn.forward(pred, target) == loss


def test_a_loss_is_a_float(dtype):
    loss = nn.MSELoss()(np.full(4, 3, dtype), np.full(4, 1, dtype))
    assert isinstance(loss, float)
    assert loss == 4.0
    assert loss + 1 == 5.0
    assert repr(loss) == "4.0"
    assert math.isclose(np.mean([loss, loss]), 4)


@pytest.mark.parametrize(
    ("habit", "answer"),
    [
        ("backward", r"write model\.backward\(loss_fn\.backward\(\)\)"),
        ("item", "a loss is a float already"),
        ("numpy", r"np\.asarray\(loss\)"),
        ("cuda", "leave it out"),
        ("to", "leave it out"),
    ],
)
def test_habits_are_answered(habit, answer):
    loss = nn.MSELoss()([1.0], [0.0])
    assert not hasattr(loss, habit)
    with pytest.raises(AttributeError, match=f"Loss has no {habit}\\(\\): .*{answer}"):
        getattr(loss, habit)()


def test_a_record_serves_one_backward(dtype):
    loss_fn = nn.MSELoss()
    with pytest.raises(RuntimeError, match="MSELoss: backward has no recorded forward: call the"):
        loss_fn.backward()
    loss_fn(np.ones(2, dtype), np.zeros(2, dtype))
    loss_fn(np.zeros(2, dtype), np.ones(2, dtype))
    np.testing.assert_array_equal(loss_fn.backward(), [-1, -1])
    with pytest.raises(RuntimeError, match="each record serves one backward"):
        loss_fn.backward()


def test_no_record():
    loss_fn = nn.MSELoss()
    with nncore.no_record():
        assert loss_fn([1.0], [0.0]) == 1
    with pytest.raises(RuntimeError, match=r"outside nncore\.no_record\(\)"):
        loss_fn.backward()


def test_squared_error_does_not_broadcast(dtype):
    with pytest.raises(ValueError, match=r"MSELoss: target has shape \(3,\)"):
        nn.MSELoss()(np.ones((3, 1), dtype), np.ones(3, dtype))


def test_squared_error_converts_the_target(dtype):
    loss_fn = nn.MSELoss()
    assert loss_fn(np.ones((2, 2), dtype), [[0.0, 0.0], [0.0, 0.0]]) == 1
    assert loss_fn.backward().dtype == dtype
    with pytest.raises(TypeError, match="MSELoss: target has dtype int64"):
        loss_fn(np.ones(2, dtype), np.ones(2, int))
    with pytest.raises(TypeError, match="MSELoss: pred has dtype int64"):
        loss_fn(np.ones(2, int), np.ones(2, dtype))


def test_cross_entropy_never_overflows(dtype):
    loss_fn = nn.CrossEntropyLoss()
    assert loss_fn(np.array([[0, 1000]], dtype), [0]) == 1000
    np.testing.assert_array_equal(loss_fn.backward(), [[-1, 1]])


@pytest.mark.parametrize("bad", [-1, 3, 2**63 - 1])
def test_labels_out_of_range(bad, dtype):
    loss_fn = nn.CrossEntropyLoss()
    logits = np.zeros((4, 3), dtype)
    loss_fn(logits, [0, 1, 2, 0])
    with pytest.raises(IndexError, match=rf"CrossEntropyLoss: target\[2\] is {bad}"):
        loss_fn(logits, [0, 1, bad, 0])
    # The record of the call that was right is still there.
    assert loss_fn.backward().shape == (4, 3)


@pytest.mark.parametrize(
    ("logits", "target", "error", "message"),
    [
        (np.zeros((4, 3)), np.zeros(4), TypeError, "target has dtype float64"),
        (
            np.zeros((4, 3)),
            np.zeros(5, int),
            ValueError,
            r"shape \(5,\), expected \(4,\)",
        ),
        (np.zeros((4, 3)), np.zeros((4, 3), int), ValueError, r"target has shape \(4, 3\)"),
        (np.zeros((4, 3)), None, TypeError, "target is None"),
        (np.zeros((4, 3), int), np.zeros(4, int), TypeError, "pred has dtype int64"),
        (np.zeros(3), np.zeros(1, int), ValueError, r"\(3,\)"),
    ],
)
def test_wrong_arguments(logits, target, error, message):
    with pytest.raises(error, match=f"CrossEntropyLoss: .*{message}"):
        nn.CrossEntropyLoss()(logits, target)


def test_empty_batch(dtype):
    loss_fn = nn.CrossEntropyLoss()
    loss_fn(np.zeros((0, 3), dtype), np.zeros(0, int))
    assert loss_fn.backward().shape == (0, 3)
