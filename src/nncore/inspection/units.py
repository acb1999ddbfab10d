"""What the units of a network do over a data set: how often they are at work, dead or saturated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import nn
from nncore.inspection.probe import Array, forward_pass
from nncore.nn.module import Module

# Activations that end in flats, with the values of these.
_FLATS: dict[type, tuple[float, ...]] = {nn.Sigmoid: (0.0, 1.0), nn.Tanh: (-1.0, 1.0)}
_DYING = (nn.ReLU,)
_NEAR = 0.01  # of the range: closer to a flat the derivative is below a fiftieth of its largest


@dataclass(frozen=True)
class UnitReport:
    """The units of one activation layer over a set of samples.

    Attributes
    ----------
    name, kind : str
        The layer and its class.
    units : int
        Features, or channels of an image.
    active : array (units,)
        The share of outputs of each unit that are above 0.
    dead : array of bool (units,)
        ReLU only: never above 0 on any sample, so that nothing of it learns.
    saturated : array (units,)
        Sigmoid and Tanh only: the share of outputs within a hundredth of a limit.
    histogram, edges : arrays
        How all outputs of the layer are distributed.
    """

    name: str
    kind: str
    units: int
    active: NDArray[np.float64]
    dead: NDArray[np.bool_]
    saturated: NDArray[np.float64]
    histogram: NDArray[np.int64]
    edges: NDArray[np.float64]

    @property
    def dead_share(self) -> float:
        """The share of units that are dead."""
        return float(self.dead.mean()) if self.units else 0.0

    @property
    def saturated_share(self) -> float:
        """The share of outputs near a limit."""
        return float(self.saturated.mean()) if self.units else 0.0

    def __str__(self) -> str:
        text = f"{self.name} {self.kind}: {self.units} units, active {self.active.mean():.0%}"
        if self.kind == "ReLU":
            text += f", dead {int(self.dead.sum())} ({self.dead_share:.0%})"
        elif self.kind in ("Sigmoid", "Tanh"):
            text += f", saturated {self.saturated_share:.0%} of outputs"
        return text


def units(model: Module, x: Any, *, batch_size: int = 256, bins: int = 40) -> dict[str, UnitReport]:
    """Dead and saturated units of every activation layer, and how its outputs are distributed.

    Parameters
    ----------
    model : Module
        In whatever mode it is.
    x : array_like
        Samples; the more, the more certain is that a unit is dead.
    batch_size : int
        Samples at a time.
    bins : int
        Of the histograms.

    Returns
    -------
    dict of str to UnitReport
        By the layers' names; layers with weights are left out, since what follows them tells more.
    """
    x = np.asarray(x)
    kept: dict[str, tuple[Module, list[Array]]] = {}
    for start in range(0, len(x), batch_size):
        for call in forward_pass(model, x[start : start + batch_size])[1]:
            layer = call.layer
            if call.x.shape != call.y.shape or next(layer.parameters(), None) is not None:
                continue
            kept.setdefault(call.name, (layer, []))[1].append(call.y)
    return {
        name: _report(name, layer, np.concatenate(parts), bins)
        for name, (layer, parts) in kept.items()
    }


def _report(name: str, layer: Module, y: Array, bins: int) -> UnitReport:
    by_unit = np.moveaxis(y, 1, 0).reshape(y.shape[1], -1) if y.ndim > 1 else y.reshape(1, -1)
    active = (by_unit > 0).mean(axis=1)
    dead = (active == 0) & isinstance(layer, _DYING)
    saturated = np.zeros(len(by_unit))
    flats = _FLATS.get(type(layer))
    if flats:
        near = _NEAR * (flats[1] - flats[0])
        saturated = (np.minimum(abs(by_unit - flats[0]), abs(by_unit - flats[1])) < near).mean(
            axis=1
        )
    finite = by_unit[np.isfinite(by_unit)].astype(np.float64)
    histogram, edges = np.histogram(finite if finite.size else np.zeros(1), bins=bins)
    return UnitReport(
        name,
        type(layer).__name__,
        len(by_unit),
        active,
        np.asarray(dead, np.bool_),
        saturated,
        histogram.astype(np.int64),
        edges,
    )
