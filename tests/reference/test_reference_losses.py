"""Losses of nncore.reference."""

import math

import numpy as np
import pytest

from nncore import reference


@pytest.mark.parametrize(("n", "classes"), [(1, 1), (1, 2), (17, 10), (64, 3)])
def test_cross_entropy_equals_pytorch(n, classes, dtype, rng, close, torch, torch_gradients):
    logits = (5 * rng.standard_normal((n, classes))).astype(dtype)
    labels = rng.integers(0, classes, n)
    target = torch.tensor(labels)
    theirs = torch_gradients(lambda z: torch.nn.functional.cross_entropy(z, target), logits)
    loss, probabilities = reference.cross_entropy(logits, labels)
    close(loss, theirs.y)
    close(probabilities, torch.softmax(torch.tensor(logits), 1).numpy())
    close(reference.cross_entropy_backward(probabilities, labels), theirs.grads[0])


def test_cross_entropy_by_hand(close):
    logits = np.log([[1.0, 2, 5], [3, 3, 2]])
    loss, probabilities = reference.cross_entropy(logits, np.array([2, 0]))
    close(loss, np.float64(-(math.log(5 / 8) + math.log(3 / 8)) / 2))
    close(probabilities, np.array([[1, 2, 5], [3, 3, 2]]) / 8)
    dlogits = reference.cross_entropy_backward(probabilities, np.array([2, 0]))
    close(dlogits, np.array([[1, 2, -3], [-5, 3, 2]]) / 16)


def test_cross_entropy_numerical_gradient(rng, close, numerical_gradient):
    logits, labels = rng.standard_normal((4, 3)), np.array([0, 2, 1, 2])
    _, probabilities = reference.cross_entropy(logits, labels)
    expected = numerical_gradient(lambda z: reference.cross_entropy(z, labels)[0], logits, 1.0)
    close(reference.cross_entropy_backward(probabilities, labels), expected, 1e-8)


@pytest.mark.parametrize(
    ("logits", "label", "loss", "probabilities"),
    [
        ([0, 1000], 0, 1000, [0, 1]),
        ([0, 1000], 1, 0, [0, 1]),
        ([-1000, -1000], 0, math.log(2), [0.5, 0.5]),
        ([3e38, -3e38], 0, 0, [1, 0]),
        ([-math.inf, 7], 1, 0, [0, 1]),
        ([-math.inf, 7], 0, math.inf, [0, 1]),
        ([math.nan, 7], 0, math.nan, [math.nan, math.nan]),
    ],
)
def test_cross_entropy_never_overflows(logits, label, loss, probabilities, dtype, close):
    with np.errstate(all="raise"):
        actual = reference.cross_entropy(np.array([logits], dtype), np.array([label]))
        reference.cross_entropy_backward(actual[1], np.array([label]))
    close(actual[0], dtype(loss))
    close(actual[1], np.array([probabilities], dtype))


def test_nothing_to_average(dtype):
    logits, labels = np.ones((0, 3), dtype), np.ones(0, np.int64)
    with np.errstate(all="raise"):
        loss, probabilities = reference.cross_entropy(logits, labels)
        dlogits = reference.cross_entropy_backward(probabilities, labels)
        squared = reference.mse(logits, logits)
        dpred = reference.mse_backward(logits, logits)
    assert np.isnan(loss)
    assert np.isnan(squared)
    for array in (probabilities, dlogits, dpred):
        assert array.shape == (0, 3)
    assert {a.dtype for a in (loss, probabilities, dlogits, squared, dpred)} == {np.dtype(dtype)}


@pytest.mark.parametrize("label", [-1, 3, 2**63 - 1])
def test_labels_out_of_range(label):
    array, labels = np.full((3, 3), 1 / 3), np.array([0, label, -5])
    for call in (reference.cross_entropy, reference.cross_entropy_backward):
        with pytest.raises(IndexError, match=f"label {label} in row 1, expected 0 to 2"):
            call(array, labels)
    np.testing.assert_array_equal(array, 1 / 3)


@pytest.mark.parametrize("labels", [[0.0, 1.0], [True, False]])
def test_labels_are_integers(labels):
    for call in (reference.cross_entropy, reference.cross_entropy_backward):
        with pytest.raises(TypeError, match="labels must be integers"):
            call(np.ones((2, 3)), np.array(labels))


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_integer_type(kind):
    logits = np.eye(3)
    loss, probabilities = reference.cross_entropy(logits, np.arange(3, dtype=kind))
    assert loss == pytest.approx(math.log(math.e + 2) - 1)
    dlogits = reference.cross_entropy_backward(probabilities, np.arange(3, dtype=kind))
    np.testing.assert_allclose(np.diag(dlogits), (math.e / (math.e + 2) - 1) / 3)


def test_backward_leaves_the_probabilities_alone():
    probabilities = np.full((2, 2), 0.5)
    reference.cross_entropy_backward(probabilities, np.array([0, 1]))
    np.testing.assert_array_equal(probabilities, 0.5)


@pytest.mark.parametrize("shape", [(7,), (5, 3), (2, 3, 4, 5)])
def test_mse_equals_pytorch(shape, dtype, rng, close, torch, torch_gradients):
    pred, target = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    theirs = torch_gradients(torch.nn.MSELoss(), pred, target)
    close(reference.mse(pred, target), theirs.y)
    close(reference.mse_backward(pred, target), theirs.grads[0])


def test_mse_by_hand(close, numerical_gradient):
    pred, target = np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 0], [6, 4]])
    assert reference.mse(pred, target) == (4 + 9) / 4
    dpred = reference.mse_backward(pred, target)
    np.testing.assert_array_equal(dpred, [[0, 1], [-1.5, 0]])
    close(dpred, numerical_gradient(lambda a: reference.mse(a, target), pred, 1.0), 1e-7)


def test_mse_does_not_broadcast():
    for call in (reference.mse, reference.mse_backward):
        with pytest.raises(ValueError, match=r"pred has shape \(4, 1\), target \(4,\)"):
            call(np.ones((4, 1)), np.ones(4))
