"""Pictures of a training run; matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nncore.training.history import History
    from nncore.training.lr_finder import RateRange

# Of Okabe and Ito's palette, told apart by all kinds of sight.
_TRAINING, _VALIDATION, _MARK = "#0072B2", "#D55E00", "#009E73"


def new_axes(ax: Any) -> Any:
    """`ax`, or those of a new figure that no window belongs to."""
    if ax is not None:
        return ax
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            'pictures need the package matplotlib: pip install "nncore-cpu[plot]"'
        ) from None
    # Not by pyplot, which would keep every figure and choose a window system.
    return Figure(figsize=(6.4, 4.0), layout="constrained").add_subplot()


def plot_history(history: History, name: str, ax: Any) -> Any:
    columns = {
        label: (column, color)
        for label, column, color in (
            ("training", name, _TRAINING),
            ("validation", f"val_{name}", _VALIDATION),
        )
        if column in history.history
    }
    if not columns:
        known = ", ".join(history.history) or "nothing yet"
        raise ValueError(f"History.plot: there is no {name!r}, recorded is {known}")
    ax = new_axes(ax)
    epochs = np.array(history.epochs)
    marker = "o" if len(epochs) <= 30 else ""
    for label, (column, color) in columns.items():
        values = np.array(history.history[column])
        ax.plot(epochs, values, color=color, marker=marker, markersize=3.5, label=label)
    best = history.best_epoch
    if best is not None:
        ax.axvline(best, color=_MARK, linestyle="--", linewidth=1.2, label=f"best epoch: {best}")
    ax.set_xlabel("epoch")
    ax.set_ylabel(name.replace("_", " "))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.25)
    ax.legend(frameon=False)
    return ax


def plot_rates(found: RateRange, ax: Any) -> Any:
    ax = new_axes(ax)
    ax.plot(found.rates, found.losses, color=_TRAINING, alpha=0.35, linewidth=1, label="loss")
    ax.plot(found.rates, found.smoothed, color=_TRAINING, label="smoothed")
    if found.suggestion is not None:
        label = f"suggestion: {found.suggestion:.2g}"
        ax.axvline(found.suggestion, color=_MARK, linestyle="--", linewidth=1.2, label=label)
    if len(found.smoothed):
        # Up to where it explodes: the fall is what is looked for.
        lowest = int(found.smoothed.argmin())
        low, high = found.smoothed[lowest], found.smoothed[: lowest + 1].max()
        margin = 0.3 * (high - low) or 1.0
        ax.set_ylim(low - margin, high + margin)
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    ax.grid(alpha=0.25)
    ax.legend(frameon=False)
    return ax
