"""Losses: the mean over the batch, and its gradient."""

import numpy as np

from ._arrays import Array, Scalar, silent


def _check_labels(labels: Array, classes: int) -> None:
    if labels.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: labels must be integers, got {labels.dtype}")
    for row in np.flatnonzero((labels < 0) | (labels >= classes))[:1]:
        raise IndexError(
            f"cross_entropy: label {labels[row]} in row {row}, expected 0 to {classes - 1}"
        )


@silent
def cross_entropy(logits: Array, labels: Array) -> tuple[Scalar, Array]:
    """Return the loss mean_n(log sum_c e^z[n,c] - z[n,label_n]) and softmax(z), z = logits (N, C).

    The row's maximum is taken off first, so nothing overflows. No samples: NaN. Raises IndexError
    for a label out of range.
    """
    _check_labels(labels, logits.shape[1])
    z = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    losses = np.log(total[:, 0]) - z[np.arange(len(z)), labels]
    return losses.sum() / len(z), e / total


@silent
def cross_entropy_backward(probabilities: Array, labels: Array) -> Array:
    """Return dlogits = (probabilities - onehot(labels)) / N, (N, C)."""
    _check_labels(labels, probabilities.shape[1])
    dlogits = probabilities.copy()
    dlogits[np.arange(len(dlogits)), labels] -= 1
    return dlogits / max(len(dlogits), 1)


def _check_same_shape(pred: Array, target: Array) -> None:
    if pred.shape != target.shape:
        raise ValueError(f"mse: pred has shape {pred.shape}, target {target.shape}; must be equal")


@silent
def mse(pred: Array, target: Array) -> Scalar:
    """Return the mean over all elements of (pred - target)^2; NaN if there are none.

    Raises ValueError if the shapes differ: broadcasting would hide a mistake.
    """
    _check_same_shape(pred, target)
    loss: Scalar = np.square(pred - target).sum() / pred.size
    return loss


@silent
def mse_backward(pred: Array, target: Array) -> Array:
    """Return dpred = 2 (pred - target) / number of elements."""
    _check_same_shape(pred, target)
    return (pred - target) * (2 / max(pred.size, 1))
