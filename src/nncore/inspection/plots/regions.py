"""Pictures of the plane as a network with two inputs divides it."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.inspection import regions as _regions
from nncore.inspection.plots import canvas
from nncore.inspection.probe import Array
from nncore.nn.module import Module


def decision_regions(
    model: Module, points: Any, labels: Any = None, *, ax: Any = None, **options: Any
) -> Any:
    """The class of every point of the plane, fainter where the network is less sure, and the data.

    `options` are those of `inspection.decision_regions`.
    """
    points = np.asarray(points)
    found = _regions.decision_regions(model, points, **options)
    ax = canvas.axes_or_new(ax)
    _background(ax, found)
    if labels is not None:
        labels = np.asarray(labels)
        for label in np.unique(labels):
            chosen = points[labels == label]
            colour = canvas.COLOURS[int(label) % len(canvas.COLOURS)]
            ax.scatter(
                *chosen.T,
                s=14,
                color=colour,
                edgecolor="white",
                linewidth=0.5,
                label=f"class {label}",
            )
        ax.legend(fontsize=8, loc="upper right")
    ax.set_xlabel("x[0]")
    ax.set_ylabel("x[1]")
    ax.set_title("Decision regions", fontsize=11)
    return ax


def hidden_units(
    model: Module, points: Any, *, layer: str | None = None, most: int = 16, **options: Any
) -> list[Any]:
    """The output of each hidden unit over the plane: the pieces that the regions are made of."""
    found = _regions.decision_regions(model, points, **options)
    if not found.units:
        raise ValueError("hidden_units: the model has no hidden layer")
    if layer is None:
        layer = list(found.units)[-1]
    if layer not in found.units:
        raise ValueError(f"hidden_units: no layer {layer!r}, there are {', '.join(found.units)}")
    units = found.units[layer]
    title = f"Units of layer {layer} over the plane: bright is high"
    axes = canvas.grid(min(len(units), most), title, size=1.4)
    extent = _extent(found)
    for number, ax in enumerate(axes):
        ax.imshow(
            units[number], origin="lower", extent=extent, aspect="auto", cmap=canvas.SEQUENTIAL
        )
        ax.set_title(f"unit {number}", fontsize=8, pad=2)
    return axes


def _background(ax: Any, found: _regions.Regions) -> None:
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(colour) for colour in canvas.COLOURS])
    image = colours[found.label % len(colours)]
    sure = _sureness(found)[..., None]
    ax.imshow(1 - (1 - image) * sure, origin="lower", extent=_extent(found), aspect="auto")
    if len(np.unique(found.label)) > 1:
        levels = np.arange(found.label.max()) + 0.5
        ax.contour(found.x, found.y, found.label, levels=levels, colors="black", linewidths=0.7)


def _sureness(found: _regions.Regions) -> Array:
    """From 0.1 to 0.45: colours behind the points, never as strong as they."""
    size = np.abs(found.score - found.score.min())
    largest = size.max()
    return np.asarray(0.1 + 0.35 * (size / largest if largest > 0 else size))


def _extent(found: _regions.Regions) -> tuple[float, float, float, float]:
    return found.x[0], found.x[-1], found.y[0], found.y[-1]
