"""Losses of single samples, and how much each sample counts."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore.nn.arrays import Array
from nncore.nn.recording import no_record

Weights = NDArray[np.float64]


def weights_of(
    function: str, count: int, y: Array, sample_weight: Any, class_weight: Any
) -> Weights | None:
    """How much each of `count` samples counts; None where all count the same.

    Raises
    ------
    TypeError, ValueError
        Weights are negative, not finite, or not one a sample; there are class weights and no
        labels, or none for a class.
    """
    weights: Weights | None = None
    if sample_weight is not None:
        weights = _numbers(function, "sample_weight", sample_weight)
        if weights.shape != (count,):
            raise ValueError(
                f"{function}: sample_weight has shape {weights.shape}, expected ({count},)"
            )
    if class_weight is not None:
        by_class = _by_class(function, class_weight, y)
        weights = by_class if weights is None else weights * by_class
    return weights


def _by_class(function: str, given: Any, y: Array) -> Weights:
    if y.dtype.kind not in "iu" or y.ndim != 1:
        raise ValueError(
            f"{function}: class_weight is for labels, one a sample; y has dtype {y.dtype} and"
            f" shape {y.shape}"
        )
    if isinstance(given, Mapping):
        if not all(isinstance(key, (int, np.integer)) and key >= 0 for key in given):
            raise TypeError(f"{function}: class_weight must map labels to numbers, got {given!r}")
        values = _numbers(function, "class_weight", list(given.values()))
        table = np.ones(int(max(max(given, default=0), y.max(initial=0))) + 1)
        for key, value in zip(given, values, strict=True):
            table[int(key)] = value
    else:
        table = _numbers(function, "class_weight", given)
        if table.ndim != 1 or (y.size and y.max() >= len(table)):
            raise ValueError(
                f"{function}: class_weight has shape {table.shape}, expected a number for each"
                f" label up to {y.max()}"
            )
    return table[y]


def _numbers(function: str, name: str, given: Any) -> Weights:
    try:
        array = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {name} must be numbers, got {type(given).__name__}") from None
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise ValueError(f"{function}: {name} must be finite and at least 0")
    return array


def check_loss(function: str, loss_fn: Any) -> None:
    """Whether the loss is a plain mean over samples, which weights can be put into."""
    if (
        getattr(loss_fn, "reduction", "mean") != "mean"
        or getattr(loss_fn, "weight", None) is not None
    ):
        raise ValueError(
            f"{function}: sample_weight and class_weight need a loss that is a plain mean over"
            f" samples, got {loss_fn!r}"
        )


def weighted(loss_fn: Any, output: Array, y: Array, weights: Weights) -> tuple[float, Array]:
    """The loss C = (1/N) sum_i w_i l_i of a batch, and its gradient; not finite: no gradient.

    `loss_fn` is the mean of the l_i, so that row i of its gradient is that of l_i / N.
    """
    plain = float(loss_fn(output, y))
    if not math.isfinite(plain):
        return plain, output
    grad = loss_fn.backward()
    factors = weights.astype(grad.dtype).reshape(-1, *[1] * (grad.ndim - 1))
    loss = float(np.dot(each(loss_fn, output, y), weights)) / max(len(y), 1)
    return loss, grad * factors


def weighted_loss(loss_fn: Any, output: Array, y: Array, weights: Weights) -> float:
    """The loss alone."""
    return float(np.dot(each(loss_fn, output, y), weights)) / max(len(y), 1)


def each(loss_fn: Any, output: Array, y: Array) -> NDArray[np.float64]:
    """The loss of each sample."""
    with no_record():
        if hasattr(loss_fn, "reduction"):
            single = copy.copy(loss_fn)
            single.reduction = "none"
            losses: NDArray[np.float64] = np.asarray(single(output, y), np.float64)
            return np.asarray(losses.reshape(len(y), -1).mean(axis=1))
        return np.array(
            [float(loss_fn(output[i : i + 1], y[i : i + 1])) for i in range(len(y))], np.float64
        )
