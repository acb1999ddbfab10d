"""Metrics as classes: they add up batch by batch.

Outputs are a model's: scores of classes along axis 1 (logits or probabilities, the largest wins)
beside integer labels, or, for two classes, one number a sample beside targets of 0 and 1, where
what is above `threshold` (0, as for logits; 0.5 for probabilities) counts as 1.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore.nn.arguments import integer, number
from nncore.nn.arrays import Array

_AVERAGES = "macro", "micro", "binary"


class Metric:
    """Adds up over batches; `name` is its column in `History`.

    A metric of one's own defines `reset`, `update` and `compute`, and keeps what it adds up as
    arrays in `self.state` (a dict): then a checkpoint in the midst of an epoch holds it.
    """

    name = "metric"

    def __init__(self) -> None:
        self.state: dict[str, Array] = {}
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.state = {}

    def update(self, output: Array, y: Array) -> None:
        """Count a batch."""
        raise NotImplementedError(f"{type(self).__name__}: define update(output, y)")

    def compute(self) -> Any:
        """The value for all that was counted: a number, or an array."""
        raise NotImplementedError(f"{type(self).__name__}: define compute()")

    def state_dict(self) -> dict[str, Array]:
        """What was added up so far, for a checkpoint."""
        return {name: array.copy() for name, array in self.state.items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Go on from there."""
        self.state = {name: np.array(array) for name, array in state.items()}


class _Counts(Metric):
    """What follows from a confusion matrix."""

    def __init__(self, *, threshold: float = 0.0) -> None:
        self._threshold = number(type(self).__name__, "threshold", threshold)
        super().__init__()

    def reset(self) -> None:
        self.state = {"counts": np.zeros((0, 0), np.int64)}

    def update(self, output: Array, y: Array) -> None:
        said, truth, classes = _answers(type(self).__name__, output, y, self._threshold)
        counts = self.state["counts"]
        if classes > len(counts):
            larger = np.zeros((classes, classes), np.int64)
            larger[: len(counts), : len(counts)] = counts
            counts = self.state["counts"] = larger
        size = len(counts)
        counts += np.bincount(truth * size + said, minlength=size * size).reshape(size, size)


class ConfusionMatrix(_Counts):
    """Counts: row i, column j has the samples of class i that were said to be of class j."""

    name = "confusion_matrix"

    def compute(self) -> NDArray[np.int64]:
        return self.state["counts"].copy()


class Accuracy(_Counts):
    """The fraction of right answers."""

    name = "accuracy"

    def compute(self) -> float:
        counts = self.state["counts"]
        return _ratio(np.trace(counts), counts.sum(), math.nan)


class _PerClass(_Counts):
    """A quotient for each class, averaged.

    Parameters
    ----------
    average : str
        "macro": the mean over the classes that occur; "micro": from the sums over all classes;
        "binary": that of class 1.
    threshold : float
        See the module.
    """

    def __init__(self, average: str = "macro", *, threshold: float = 0.0) -> None:
        if average not in _AVERAGES:
            raise ValueError(
                f"{type(self).__name__}: average must be one of {', '.join(_AVERAGES)},"
                f" got {average!r}"
            )
        self._average = average
        super().__init__(threshold=threshold)

    def _quotient(self, right: Any, said: Any, are: Any) -> tuple[Any, Any]:
        """Numerator and denominator, of TP, TP + FP and TP + FN."""
        raise NotImplementedError

    def compute(self) -> float:
        counts = self.state["counts"]
        right, said, are = np.diagonal(counts), counts.sum(axis=0), counts.sum(axis=1)
        if self._average == "micro":
            return _ratio(*self._quotient(right.sum(), said.sum(), are.sum()), 0.0)
        if self._average == "binary":
            if len(counts) > 2:
                raise ValueError(
                    f"{type(self).__name__}: average='binary' is for two classes, got"
                    f" {len(counts)}: use 'macro' or 'micro'"
                )
            if len(counts) < 2:
                return 0.0
            return _ratio(*self._quotient(right[1], said[1], are[1]), 0.0)
        occur = (said + are) > 0
        above, below = self._quotient(right[occur], said[occur], are[occur])
        if not len(below):
            return math.nan
        return float(np.mean(np.divide(above, below, out=np.zeros(len(below)), where=below > 0)))


class Precision(_PerClass):
    __doc__ = (_PerClass.__doc__ or "").replace("A quotient", "TP / (TP + FP)")
    name = "precision"

    def _quotient(self, right: Any, said: Any, are: Any) -> tuple[Any, Any]:
        return right, said


class Recall(_PerClass):
    __doc__ = (_PerClass.__doc__ or "").replace("A quotient", "TP / (TP + FN)")
    name = "recall"

    def _quotient(self, right: Any, said: Any, are: Any) -> tuple[Any, Any]:
        return right, are


class F1(_PerClass):
    __doc__ = (_PerClass.__doc__ or "").replace("A quotient", "2 TP / (2 TP + FP + FN)")
    name = "f1"

    def _quotient(self, right: Any, said: Any, are: Any) -> tuple[Any, Any]:
        return 2 * right, said + are


class TopK(Metric):
    """The fraction of samples whose label is among the k largest outputs (ties count)."""

    def __init__(self, k: int = 5) -> None:
        self._k = integer("TopK", "k", k, 1)
        self.name = f"top{self._k}"
        super().__init__()

    def reset(self) -> None:
        self.state = {"counts": np.zeros(2, np.int64)}

    def update(self, output: Array, y: Array) -> None:
        if y.dtype.kind not in "iu" or output.ndim != y.ndim + 1:
            raise ValueError(_unlike("TopK", output, y))
        if not y.size:
            return
        _check_labels("TopK", y, output.shape[1])
        own = np.take_along_axis(output, np.expand_dims(y.astype(np.int64), 1), axis=1)
        above = (output > own).sum(axis=1)
        self.state["counts"] += [int((above < self._k).sum()), y.size]

    def compute(self) -> float:
        right, all_ = self.state["counts"]
        return _ratio(right, all_, math.nan)


class MAE(Metric):
    """The mean of |output - y| over all elements."""

    name = "mae"

    def reset(self) -> None:
        self.state = {"sum": np.zeros(1), "count": np.zeros(1, np.int64)}

    def update(self, output: Array, y: Array) -> None:
        _check_same("MAE", output, y)
        self.state["sum"] += np.abs(np.subtract(output, y, dtype=np.float64)).sum()
        self.state["count"] += y.size

    def compute(self) -> float:
        return _ratio(self.state["sum"][0], self.state["count"][0], math.nan)


class R2(Metric):
    """1 - (sum of squared errors) / (sum of squares about the mean of y).

    Source of the merging of means: Chan, Golub, LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances" (1979).
    """

    name = "r2"

    def update(self, output: Array, y: Array) -> None:
        _check_same("R2", output, y)
        if not len(y):
            return
        target = np.asarray(y, np.float64).reshape(len(y), -1)
        errors = np.asarray(output, np.float64).reshape(len(y), -1) - target
        mean = target.mean(axis=0)
        about, squares = ((target - mean) ** 2).sum(axis=0), (errors**2).sum(axis=0)
        if not self.state:
            self.state = {
                "count": np.array([len(y)], np.int64),
                "mean": mean,
                "about": about,
                "errors": squares,
            }
            return
        before, new = int(self.state["count"][0]), len(y)
        gap = mean - self.state["mean"]
        self.state["about"] += about + gap**2 * (before * new / (before + new))
        self.state["mean"] += gap * (new / (before + new))
        self.state["errors"] += squares
        self.state["count"] += new

    def compute(self) -> float:
        if not self.state or self.state["count"][0] < 2:
            return math.nan
        about, errors = self.state["about"], self.state["errors"]
        exact = np.where(errors == 0, 1.0, 0.0)
        return float(
            np.mean(np.where(about > 0, 1 - errors / np.where(about > 0, about, 1), exact))
        )


class Collected(Metric):
    """A function of all outputs and targets of an epoch: they are kept for it."""

    def __init__(self, function: Callable[[Array, Array], Any]) -> None:
        self.name = getattr(function, "__name__", type(function).__name__)
        self._function = function
        super().__init__()

    def reset(self) -> None:
        self._parts: list[tuple[Array, Array]] = []

    def update(self, output: Array, y: Array) -> None:
        self._parts.append((np.array(output), np.array(y)))

    def compute(self) -> Any:
        return self._function(*self._whole()) if self._parts else math.nan

    def _whole(self) -> tuple[Array, Array]:
        outputs, targets = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        return outputs, targets

    def state_dict(self) -> dict[str, Array]:
        if not self._parts:
            return {}
        outputs, targets = self._whole()
        if targets.dtype.kind in "biu":
            targets = targets.astype(np.int64)
        return {"output": outputs, "y": targets}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        self._parts = [(state["output"], state["y"])] if state else []


# ---- outputs and targets


def _answers(name: str, output: Array, y: Array, threshold: float) -> tuple[Any, Any, int]:
    """Classes said, true classes (both flat), and how many classes there are at least."""
    if y.dtype.kind in "iu" and output.ndim == y.ndim + 1 and output.shape[1] > 1:
        _check_labels(name, y, output.shape[1])
        return output.argmax(axis=1).ravel(), y.astype(np.int64).ravel(), output.shape[1]
    if output.size != y.size or len(output) != len(y):
        raise ValueError(_unlike(name, output, y))
    truth = y.ravel()
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"{name}: targets beside one output a sample must be 0 or 1")
    return (output.ravel() > threshold).astype(np.int64), truth.astype(np.int64), 2


def _check_labels(name: str, y: Array, classes: int) -> None:
    if y.size and (y.min() < 0 or y.max() >= classes):
        raise IndexError(
            f"{name}: labels must be from 0 to {classes - 1}, got {y.min()} to {y.max()}"
        )


def _check_same(name: str, output: Array, y: Array) -> None:
    if output.shape != y.shape:
        raise ValueError(_unlike(name, output, y))


def _unlike(name: str, output: Array, y: Array) -> str:
    return (
        f"{name}: outputs of shape {output.shape} beside targets of shape {y.shape} and dtype"
        f" {y.dtype} are not what it measures"
    )


def _ratio(above: Any, below: Any, otherwise: float) -> float:
    return float(above) / float(below) if below else otherwise
