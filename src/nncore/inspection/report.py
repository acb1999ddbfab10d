"""A report on a classifier of images: one HTML file with everything in it, pictures too."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

import numpy as np

from nncore import nn
from nncore.inspection import mistakes, plots
from nncore.inspection.page import page
from nncore.inspection.units import units
from nncore.nn.module import Module
from nncore.training import Trainer
from nncore.training.evaluation import GeneralizationReport

_DPI = 96
_WIDE = 6.5  # inches: a wider picture does not shrink to a narrow screen, it scrolls
_SHOWN = 8  # images in the pictures of single samples


def report(
    model: Module, training: tuple[Any, Any], test: tuple[Any, Any], *, title: str = "A network"
) -> str:
    """What a network is, how well it does, where it errs, what its layers have learned.

    Parameters
    ----------
    model : Module
        A classifier of images (N, C, H, W); it is looked at in eval mode, and left as it was.
    training, test : tuple (x, y)
        Images and labels.
    title : str

    Returns
    -------
    str
        A page that needs no other file and no network.

    Raises
    ------
    ImportError
        matplotlib is missing.
    TypeError, ValueError, IndexError
        The data do not fit the model.
    """
    import matplotlib

    was_training = model.training
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    try:
        model.eval()
        return page(title, "\n".join(_parts(model, training, test)))
    finally:
        model.train(was_training)
        matplotlib.use(backend)


def _parts(model: Module, training: tuple[Any, Any], test: tuple[Any, Any]) -> Iterator[str]:
    x, y = test
    measured = Trainer(model, nn.CrossEntropyLoss()).report(training, test)
    yield _what_it_is(model, x.shape[1:])
    yield _how_well(measured)
    odds = mistakes.probabilities(model, x)
    yield _section(
        "Where it errs",
        "Each row is a true class, each column an answer; what stands off the diagonal is wrong.",
        _picture(lambda: plots.confusion_matrix(y, odds.argmax(axis=1)), "Confusion matrix"),
        _picture(lambda: plots.worst_mistakes(model, x, y), "The mistakes it is surest about"),
    )
    chosen = _one_of_each(y)[:_SHOWN]
    yield _section(
        "What it looks at",
        "How much each pixel moves the score of the answer, and, for convolutions, which places"
        " speak for it.",
        _picture(lambda: plots.saliency(model, x[chosen]), "Saliency"),
        _attempt(lambda: plots.grad_cam(model, x[chosen]), "Grad-CAM"),
    )
    yield _section(
        "What each layer has learned",
        "The weights of the first layer, and one image on its way through all of them.",
        _attempt(lambda: plots.weights(model), "Weights of the first layer"),
        _attempt(lambda: plots.feature_maps(model, x[chosen[0]]), "Feature maps"),
        _attempt(lambda: plots.features(model, x, y), "Features before the last layer"),
    )
    yield _units(model, x)


def _what_it_is(model: Module, sample: tuple[int, ...]) -> str:
    summary = escape(str(model.summary(sample)))
    return f"<section class='forward'><h2>What it is</h2><pre>{summary}</pre></section>"


def _how_well(measured: GeneralizationReport) -> str:
    rows = [("", "samples", "empirical risk", "accuracy", "error rate")]
    for name, part in (("training", measured.train), ("test", measured.test)):
        rows.append(
            (
                name,
                f"{part.samples:,}",
                f"{part.empirical_risk:.4f}",
                f"{part.accuracy or 0:.2%}",
                f"{part.error_rate or 0:.2%}",
            )
        )
    gap = measured.test.empirical_risk - measured.train.empirical_risk
    return _section(
        "How well it does",
        "The error on the training set is the approximation error; their difference is the"
        f" generalisation gap: {gap:+.4f} in the empirical risk.",
        _table(rows),
    )


def _units(model: Module, x: Any) -> str:
    found = units(model, x)
    rows = [("layer", "units", "active", "dead", "saturated")]
    for unit in found.values():
        rows.append(
            (
                f"{unit.name} {unit.kind}",
                str(unit.units),
                f"{unit.active.mean():.0%}",
                f"{int(unit.dead.sum())}" if unit.kind == "ReLU" else "-",
                f"{unit.saturated_share:.0%}" if unit.kind in ("Sigmoid", "Tanh") else "-",
            )
        )
    dead = sum(int(unit.dead.sum()) for unit in found.values())
    remark = (
        f"{dead} unit(s) are never active on the test set: they learn nothing more."
        if dead
        else "No unit is dead."
    )
    return _section(
        "What is dead or saturated",
        remark,
        _table(rows),
        _attempt(lambda: plots.activation_histograms(model, x), "Activations on the test set"),
    )


def _one_of_each(labels: Any) -> list[int]:
    """The first sample of each class."""
    labels = np.asarray(labels)
    return [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)]


def _section(title: str, remark: str, *parts: str) -> str:
    body = "\n".join(part for part in parts if part)
    return f"<section><h2>{escape(title)}</h2><p>{escape(remark)}</p>{body}</section>"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:]
    )
    return f"<div class='scroll'><table><tr>{head}</tr>{body}</table></div>"


def _attempt(draw: Callable[[], Any], caption: str) -> str:
    """A picture, where the model has what it shows: a network without convolutions has no maps."""
    try:
        return _picture(draw, caption)
    except ValueError as error:
        return f"<p class='note'>{escape(caption)}: {escape(str(error))}</p>"


def _picture(draw: Callable[[], Any], caption: str) -> str:
    import matplotlib.pyplot as plt

    axes = draw()
    figure = (axes[0] if isinstance(axes, list) else axes).figure
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_DPI)
    inches = figure.get_figwidth()
    width = round(_DPI * inches * (0.85 if inches > _WIDE else 0.55))
    plt.close(figure)
    encoded = base64.b64encode(data.getvalue()).decode()
    return (
        f"<figure><div class='scroll'><img alt='{escape(caption)}' style='min-width:{width}px'"
        f" src='data:image/png;base64,{encoded}'></div>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
