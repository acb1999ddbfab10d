"""What the pictures share: Axes, grids of small images, colours that everybody can tell apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nncore.inspection.probe import Array

# Okabe and Ito's palette (2008), for colour-blind readers; black last.
COLOURS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#f0e442",
    "#999999",
    "#332288",
    "#000000",
)
DIVERGING = "RdBu_r"
SEQUENTIAL = "cividis"


def pyplot() -> Any:
    """matplotlib.pyplot, or the one line that says how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError(
            'inspection.plots needs matplotlib: pip install "nncore-cpu[plot]"'
        ) from None
    return plt


def axes_or_new(ax: Any, size: tuple[float, float] = (5.0, 4.0)) -> Any:
    """`ax`, or the Axes of a new figure of this size in inches."""
    if ax is not None:
        return ax
    _, new = pyplot().subplots(figsize=size, layout="constrained")
    return new


def grid(count: int, title: str, columns: int | None = None, size: float = 1.1) -> list[Any]:
    """Axes without ticks for so many small images; those left over are not there."""
    columns = min(count, columns or max(4, math.ceil(math.sqrt(count))))
    rows = math.ceil(count / columns)
    figure, axes = pyplot().subplots(
        rows,
        columns,
        figsize=(max(size * columns, 4.0), size * rows + 0.6),
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle(title, fontsize=11)
    flat = list(axes.flat)
    for extra in flat[count:]:
        extra.remove()
    for ax in flat[:count]:
        ax.set_xticks([])
        ax.set_yticks([])
    return flat[:count]


def picture(image: Array) -> Array:
    """A sample (C, H, W) as matplotlib wants it: (H, W), or (H, W, 3) for colours, in [0, 1]."""
    if image.ndim == 3 and image.shape[0] == 3:
        return np.clip(np.moveaxis(image, 0, -1), 0, 1)
    return image[0] if image.ndim == 3 else image


def show_signed(ax: Any, values: Array, limit: float | None = None) -> Any:
    """An image of numbers around 0: red above, blue below, white at 0."""
    limit = limit or float(np.abs(values).max()) or 1.0
    return ax.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit)
