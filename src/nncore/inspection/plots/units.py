"""Pictures of activations, features and updates."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.inspection.features import features as _features
from nncore.inspection.features import project
from nncore.inspection.plots import canvas
from nncore.inspection.units import units
from nncore.inspection.updates import UpdateRatio
from nncore.nn.module import Module


def activation_histograms(model: Module, x: Any) -> list[Any]:
    """How the outputs of each activation layer are distributed; dead and saturated units."""
    reports = list(units(model, x).values())
    if not reports:
        raise ValueError("activation_histograms: the model has no activation layer")
    columns = min(3, len(reports))
    rows = -(-len(reports) // columns)
    figure, axes = canvas.pyplot().subplots(
        rows,
        columns,
        figsize=(3.2 * columns, 2.2 * rows + 0.4),
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle("Activations", fontsize=11)
    flat = list(axes.flat)
    for extra in flat[len(reports) :]:
        extra.remove()
    for ax, report in zip(flat, reports, strict=False):
        widths = np.diff(report.edges)
        ax.bar(report.edges[:-1], report.histogram, widths, align="edge", color=canvas.COLOURS[0])
        ax.set_yscale("log")
        ax.set_title(_remark(report), fontsize=8)
        ax.tick_params(labelsize=7)
        ax.set_xlabel("output", fontsize=7)
        ax.set_ylabel("how many", fontsize=7)
    return flat[: len(reports)]


def _remark(report: Any) -> str:
    if report.kind in ("Sigmoid", "Tanh"):
        return f"{report.name} {report.kind}: {report.saturated_share:.0%} saturated"
    dead = f", {report.dead.sum()} of {report.units} dead" if report.kind == "ReLU" else ""
    return f"{report.name} {report.kind}: {report.active.mean():.0%} active{dead}"


def features(
    model: Module, x: Any, y: Any = None, *, layer: str | None = None, ax: Any = None
) -> Any:
    """The penultimate features of all samples in two dimensions, coloured by class."""
    found = project(_features(model, x, layer=layer))
    ax = canvas.axes_or_new(ax, (5.2, 4.4))
    if y is None:
        ax.scatter(*found.points.T, s=8, color=canvas.COLOURS[0])
    else:
        y = np.asarray(y)
        for label in np.unique(y):
            chosen = found.points[y == label]
            colour = canvas.COLOURS[int(label) % len(canvas.COLOURS)]
            ax.scatter(*chosen.T, s=12, color=colour, edgecolor="#444444", linewidth=0.3)
            # The class stands at its middle as well, for those who cannot tell the colours.
            ax.text(
                *np.median(chosen, axis=0),
                str(label),
                fontsize=12,
                weight="bold",
                ha="center",
                va="center",
                bbox={"boxstyle": "round,pad=0.15", "fc": "white", "alpha": 0.75, "lw": 0},
            )
    ax.set_xlabel(f"first direction ({found.explained[0]:.0%} of the variance)")
    ax.set_ylabel(f"second direction ({found.explained[1]:.0%})")
    ax.set_title("Features before the last layer", fontsize=11)
    return ax


def update_ratios(ratio: UpdateRatio, *, ax: Any = None) -> Any:
    """How far each update moved each parameter, beside its size; 0.001 is marked."""
    ax = canvas.axes_or_new(ax, (6.0, 3.6))
    # A colour for each layer, a kind of line for each of its parameters.
    of_layer: dict[str, int] = {}
    layers: list[str] = []
    for name, values in ratio.history.items():
        layer = name.rpartition(".")[0]
        if layer not in of_layer:
            layers.append(layer)
        of_layer[layer] = at = of_layer.get(layer, -1) + 1
        style = ("-", "--", ":", "-.")[at % 4]
        colour = canvas.COLOURS[layers.index(layer) % len(canvas.COLOURS)]
        ax.plot(np.arange(1, len(values) + 1), values, style, color=colour, lw=1.2, label=name)
    ax.axhline(1e-3, color="grey", lw=0.8, ls=(0, (4, 3)))
    ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel("size of update / size of weights")
    ax.set_title("Update-to-weight ratio", fontsize=11)
    if ratio.history:
        ax.legend(fontsize=7, ncols=2)
    return ax
