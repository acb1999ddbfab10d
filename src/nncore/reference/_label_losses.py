"""Losses of labels with all their options: class weights, ignored labels, smoothing, reductions."""

import numpy as np

from ._arrays import Array, Scalar, silent


def _shares(
    shape: tuple[int, ...],
    labels: Array,
    weight: Array | None,
    ignore_index: int | None,
    label_smoothing: float,
) -> tuple[Array, Array]:
    """What each log-probability counts for, (N, C), and each row in the mean, (N,)."""
    rows, classes = shape
    w = np.ones(classes) if weight is None else weight.astype(np.float64)
    kept = np.ones(rows, bool) if ignore_index is None else labels != ignore_index
    truth = np.full(shape, label_smoothing / classes)
    safe = np.where(kept, labels, 0)
    truth[np.arange(rows), safe] += 1 - label_smoothing
    return truth * w * kept[:, None], w[safe] * kept


def _divisor(reduction: str, counts: Array) -> float:
    return float(counts.sum()) if reduction == "mean" else 1.0


@silent
def label_loss(
    log_probabilities: Array,
    labels: Array,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Scalar | Array:
    """Return the mean (sum, all) of -sum_c q[n,c] logp[n,c]; logp (N, C), labels (N,).

    q is the class weight at the label, smoothed: w_c ((1 - e) [c = label] + e / C), and 0 in rows
    whose label is ignored. The mean divides by the sum of the labels' weights.
    """
    q, counts = _shares(log_probabilities.shape, labels, weight, ignore_index, label_smoothing)
    losses: Array = -np.where(q == 0, 0, q * log_probabilities).sum(axis=1)
    if reduction == "none":
        return losses
    total: Scalar = losses.sum() / _divisor(reduction, counts)
    return total


@silent
def label_loss_backward(
    log_probabilities: Array,
    labels: Array,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    *,
    of_logits: bool = False,
) -> Array:
    """Return dlogp = -q / divisor, or of the logits ((sum of q) p - q) / divisor."""
    q, counts = _shares(log_probabilities.shape, labels, weight, ignore_index, label_smoothing)
    slope = -q
    if of_logits:
        slope = q.sum(axis=1, keepdims=True) * np.exp(log_probabilities) - q
    return np.where(counts[:, None] == 0, 0, slope / _divisor(reduction, counts))
