"""How a network with two inputs divides the plane: by its output, and unit by unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore.inspection.probe import Array, activations
from nncore.nn.module import Module
from nncore.nn.recording import no_record


@dataclass(frozen=True)
class Regions:
    """The plane, sampled on a grid.

    Attributes
    ----------
    x, y : arrays (resolution,)
        Coordinates of the columns and rows.
    label : array (resolution, resolution)
        The class at each point: the largest output, or whether a single output is above `limit`.
    score : array (resolution, resolution)
        How sure: the probability of that class by softmax, or the single output.
    units : dict of str to array (units, resolution, resolution)
        The outputs of each hidden layer's units.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    label: NDArray[np.int64]
    score: Array
    units: dict[str, Array]


def decision_regions(
    model: Module, points: Any, *, resolution: int = 120, margin: float = 0.2, limit: float = 0.0
) -> Regions:
    """Which class a network with two inputs gives every point around `points`.

    Parameters
    ----------
    model : Module
        From (N, 2) to (N, classes), or to (N, 1).
    points : array_like (N, 2)
        What the grid is to cover.
    resolution : int
        Points of the grid in each direction.
    margin : float
        How far the grid goes beyond, as a share of the points' extent.
    limit : float
        Of a single output: 0 for a score, 0.5 for a probability.

    Raises
    ------
    ValueError
        `points` is not (N, 2), or has none.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(f"decision_regions: points have shape {points.shape}, expected (N, 2)")
    low, high = points.min(axis=0), points.max(axis=0)
    reach = np.where(high > low, (high - low) * margin, 1.0)
    columns, rows = (
        np.linspace(low[axis] - reach[axis], high[axis] + reach[axis], resolution)
        for axis in range(2)
    )
    grid = np.stack([a.ravel() for a in np.meshgrid(columns, rows)], axis=1)
    grid = grid.astype(model.dtype or np.float32)
    with no_record():
        output = model(grid)
    shape = (resolution, resolution)
    if output.ndim != 2:
        raise ValueError(f"decision_regions: the model gives {output.shape}, expected (N, classes)")
    if output.shape[1] == 1:
        label, score = (output[:, 0] > limit).astype(np.int64), output[:, 0]
    else:
        label = output.argmax(axis=1)
        odds = np.exp(output - output.max(axis=1, keepdims=True))
        score = odds.max(axis=1) / odds.sum(axis=1)
    hidden = {
        name: a.T.reshape(-1, *shape)
        for name, a in list(activations(model, grid).items())[:-1]
        if a.ndim == 2
    }
    return Regions(columns, rows, label.reshape(shape), score.reshape(shape), hidden)
