"""Pictures of a classifier's mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore.inspection import mistakes as _mistakes
from nncore.inspection.plots import canvas
from nncore.nn.module import Module


def confusion_matrix(
    truth: Any, predicted: Any, *, names: Sequence[str] | None = None, ax: Any = None
) -> Any:
    """Counts of each true class (rows) taken for each class (columns); the diagonal is right."""
    counts = _mistakes.confusion_matrix(truth, predicted, len(names) if names else None)
    size = max(4.0, 0.45 * len(counts) + 1.5)
    ax = canvas.axes_or_new(ax, (size, size))
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if share[row, column] > 0.5 else "black"
            ax.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    labels = list(names) if names else [str(number) for number in range(len(counts))]
    ax.set_xticks(range(len(counts)), labels)
    ax.set_yticks(range(len(counts)), labels)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    right = np.trace(counts) / max(counts.sum(), 1)
    ax.set_title(f"Confusion matrix: {right:.1%} right of {counts.sum():,}", fontsize=11)
    return ax


def worst_mistakes(
    model: Module, x: Any, y: Any, *, most: int = 20, names: Sequence[str] | None = None
) -> list[Any]:
    """The images that the model gets wrong and is surest about: truth, answer, its probability."""
    x = np.asarray(x)
    wrong = _mistakes.worst_mistakes(model, x, y, most=most)
    labels = names or [
        str(number) for number in range(1 + max([*wrong.truth, *wrong.predicted, 0]))
    ]
    if not len(wrong.rows):
        ax = canvas.axes_or_new(None, (4, 1.2))
        ax.text(0.5, 0.5, "no mistakes", ha="center", va="center")
        ax.set_axis_off()
        return [ax]
    title = "Worst mistakes: truth > answer (its probability)"
    axes = canvas.grid(len(wrong.rows), title, columns=min(10, len(wrong.rows)), size=1.15)
    for ax, row, truth, predicted, sure in zip(axes, *wrong, strict=True):
        ax.imshow(canvas.picture(x[row]), cmap="gray_r")
        ax.set_title(f"{labels[truth]} > {labels[predicted]} ({sure:.0%})", fontsize=8, pad=3)
    return axes
