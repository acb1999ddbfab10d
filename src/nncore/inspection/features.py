"""What the body of a network makes of its inputs: features, and two numbers for each to draw."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore.inspection.probe import Array, forward_pass
from nncore.nn.module import Module


class Projection(NamedTuple):
    """Points in two dimensions, and the share of the variance that each of the two has."""

    points: NDArray[np.float64]  # (N, 2)
    explained: NDArray[np.float64]  # (2,)


def features(model: Module, x: Any, *, layer: str | None = None, batch_size: int = 256) -> Array:
    """The output of one layer for all samples, as rows of features.

    Parameters
    ----------
    model : Module
    x : array_like
        Samples.
    layer : str, optional
        Its name. Default: the input of the last layer that has weights, the penultimate features.
    batch_size : int
        Samples at a time.

    Returns
    -------
    array (N, features)

    Raises
    ------
    ValueError
        There is no such layer.
    """
    x = np.asarray(x)
    parts = []
    for start in range(0, max(len(x), 1), batch_size):
        _, calls = forward_pass(model, x[start : start + batch_size])
        if layer is None:
            weighted = [c for c in calls if next(c.layer.parameters(), None) is not None]
            if not weighted:
                raise ValueError("features: the model has no layer with weights: name a layer")
            taken = weighted[-1].x
        else:
            named = [call for call in calls if call.name == layer]
            if not named:
                names = ", ".join(call.name for call in calls)
                raise ValueError(f"features: no layer {layer!r}, there are {names}")
            taken = named[0].y
        parts.append(taken.reshape(len(taken), -1))
    return np.concatenate(parts)


def project(points: Array) -> Projection:
    """The two directions of largest variance (principal components, Pearson 1901).

    Signs are fixed: the largest coefficient of each direction is positive.
    """
    centred = np.asarray(points, np.float64) - np.mean(points, axis=0, dtype=np.float64)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    two = directions[:2]
    if len(two) < 2:  # a single feature or sample
        two = np.vstack([two, np.zeros((2 - len(two), centred.shape[1]))])
        sizes = np.append(sizes, np.zeros(2))
    turn = np.sign(two[np.arange(2), np.abs(two).argmax(axis=1)])
    two = two * np.where(turn == 0, 1, turn)[:, None]
    whole = float((sizes**2).sum())
    share = sizes[:2] ** 2 / whole if whole > 0 else np.zeros(2)
    return Projection(centred @ two.T, share)
