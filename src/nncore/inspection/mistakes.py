"""Where a classifier errs: which classes it takes for which, and on which samples it is surest."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore.inspection.probe import Array
from nncore.nn.module import Module
from nncore.nn.recording import no_record


class Mistakes(NamedTuple):
    """Samples that were classified wrongly, the surest first."""

    rows: NDArray[np.int64]  # in the data set
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float64]  # that the network gave its answer


def probabilities(model: Module, x: Any, *, batch_size: int = 256) -> Array:
    """softmax of the model's outputs for all samples, (N, classes)."""
    x = np.asarray(x)
    parts = []
    with no_record():
        for start in range(0, len(x), batch_size):
            output = model(x[start : start + batch_size])
            if output.ndim != 2 or output.shape[1] < 2:
                raise ValueError(
                    f"probabilities: the model gives {output.shape}, expected (N, classes)"
                )
            odds = np.exp(output - output.max(axis=1, keepdims=True))
            parts.append(odds / odds.sum(axis=1, keepdims=True))
    if not parts:
        raise ValueError("probabilities: x has no samples")
    return np.concatenate(parts)


def confusion_matrix(truth: Any, predicted: Any, classes: int | None = None) -> NDArray[np.int64]:
    """counts[i, j]: samples of class i that were taken for class j.

    Raises
    ------
    ValueError
        The two differ in length; IndexError where a label is not below `classes`.
    """
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(
            f"confusion_matrix: truth has shape {truth.shape}, predicted {predicted.shape}"
        )
    largest = max(int(truth.max(initial=-1)), int(predicted.max(initial=-1)))
    count = largest + 1 if classes is None else classes
    if largest >= count or min(truth.min(initial=0), predicted.min(initial=0)) < 0:
        raise IndexError(f"confusion_matrix: labels must be from 0 to {count - 1}")
    return np.bincount(truth * count + predicted, minlength=count**2).reshape(count, count)


def worst_mistakes(model: Module, x: Any, y: Any, *, most: int = 25) -> Mistakes:
    """The samples that the model gets wrong, those first where it is surest of its answer."""
    odds, truth = probabilities(model, x), np.asarray(y, np.int64)
    if truth.shape != (len(odds),):
        raise ValueError(f"worst_mistakes: y has shape {truth.shape}, expected ({len(odds)},)")
    predicted = odds.argmax(axis=1)
    sure = odds.max(axis=1).astype(np.float64)
    wrong = np.flatnonzero(predicted != truth)
    rows = wrong[np.argsort(-sure[wrong], kind="stable")][:most]
    return Mistakes(rows, truth[rows], predicted[rows], sure[rows])
