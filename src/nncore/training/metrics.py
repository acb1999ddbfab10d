"""Metrics as functions of outputs and targets; `metrics=` of a Trainer.

Outputs are a model's: scores of classes along axis 1 (logits or probabilities, the largest wins)
beside integer labels, or, for two classes, one number a sample beside targets of 0 and 1, where
what is above `threshold` (0, as for logits; 0.5 for probabilities) counts as 1.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore.training.measures import (
    F1,
    MAE,
    R2,
    Accuracy,
    Collected,
    ConfusionMatrix,
    Metric,
    Precision,
    Recall,
    TopK,
)

__all__ = [
    "F1",
    "MAE",
    "R2",
    "Accuracy",
    "ConfusionMatrix",
    "Metric",
    "Precision",
    "Recall",
    "TopK",
    "accuracy",
    "confusion_matrix",
    "f1",
    "mean_absolute_error",
    "precision",
    "r2_score",
    "recall",
    "top_k_accuracy",
]


def accuracy(output: ArrayLike, y: ArrayLike, *, threshold: float = 0.0) -> float:
    """The fraction of right answers."""
    return _of(Accuracy(threshold=threshold), output, y)


def top_k_accuracy(output: ArrayLike, y: ArrayLike, k: int = 5) -> float:
    """The fraction of samples whose label is among the k largest outputs (ties count)."""
    return _of(TopK(k), output, y)


def precision(
    output: ArrayLike, y: ArrayLike, average: str = "macro", *, threshold: float = 0.0
) -> float:
    """Of those said to be of a class, the fraction that are: TP / (TP + FP)."""
    return _of(Precision(average, threshold=threshold), output, y)


def recall(
    output: ArrayLike, y: ArrayLike, average: str = "macro", *, threshold: float = 0.0
) -> float:
    """Of those that are of a class, the fraction that was found: TP / (TP + FN)."""
    return _of(Recall(average, threshold=threshold), output, y)


def f1(output: ArrayLike, y: ArrayLike, average: str = "macro", *, threshold: float = 0.0) -> float:
    """The harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN)."""
    return _of(F1(average, threshold=threshold), output, y)


def confusion_matrix(
    output: ArrayLike, y: ArrayLike, *, threshold: float = 0.0
) -> NDArray[np.int64]:
    """How often samples of class i (row) were said to be of class j (column)."""
    return _measured(ConfusionMatrix(threshold=threshold), output, y)  # type: ignore[no-any-return]


def mean_absolute_error(output: ArrayLike, y: ArrayLike) -> float:
    """The mean of |output - y| over all elements."""
    return _of(MAE(), output, y)


def r2_score(output: ArrayLike, y: ArrayLike) -> float:
    """1 - (sum of squared errors) / (sum of squares about the mean of y).

    The mean over the columns where there are several; where y is constant, 1 if it is met exactly
    and else 0; NaN for fewer than two samples.
    """
    return _of(R2(), output, y)


def _of(metric: "Metric", output: ArrayLike, y: ArrayLike) -> float:
    return float(_measured(metric, output, y))


def _measured(metric: "Metric", output: ArrayLike, y: ArrayLike) -> Any:
    metric.update(np.asarray(output), np.asarray(y))
    return metric.compute()


# ---- what a trainer is asked for

_NAMED: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy,
    "precision": Precision,
    "recall": Recall,
    "f1": F1,
    "mae": MAE,
    "r2": R2,
    "confusion_matrix": ConfusionMatrix,
}


def metrics_of(function: str, given: Any) -> list[Metric]:
    """What a `metrics` argument asks for: names, functions, metrics; each name once."""
    if given is None:
        return []
    if isinstance(given, (str, Metric)) or callable(given):
        given = [given]
    found = [_metric(function, each) for each in given]
    names = [metric.name for metric in found]
    for name in names:
        if names.count(name) > 1 or name in {"loss", "seconds", "samples_per_second", "lr"}:
            raise ValueError(f"{function}: metrics has the name {name!r} twice, or it is reserved")
    return found


def _metric(function: str, given: Any) -> Metric:
    if isinstance(given, Metric):
        return given
    if isinstance(given, str):
        if match := re.fullmatch(r"top(\d{1,6})", given):
            return TopK(int(match.group(1)))
        if given in _NAMED:
            return _NAMED[given]()
        known = ", ".join([*_NAMED, "top5 (any number)"])
        raise ValueError(f"{function}: there is no metric {given!r}, expected one of {known}")
    if isinstance(given, type) and issubclass(given, Metric):
        return given()
    if callable(given):
        return Collected(given)
    raise TypeError(
        f"{function}: metrics must be names, functions (output, y) -> number, or Metrics,"
        f" got {type(given).__name__}"
    )
