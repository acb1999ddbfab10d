"""Images of weights, feature maps and attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore import nn
from nncore.inspection import attention
from nncore.inspection.plots import canvas
from nncore.inspection.probe import Array, activations, layers
from nncore.nn.module import Module


def weights(
    model: Module, *, layer: str | None = None, most: int = 64, shape: tuple[int, int] | None = None
) -> list[Any]:
    """The weights of a layer as images, one for each unit: red pushes up, blue down.

    Parameters
    ----------
    model : Module
    layer : str, optional
        Default: the first layer with weights.
    most : int
        Units to show.
    shape : (int, int), optional
        Height and width of what a Linear layer reads. Default: a square, where its inputs make one.

    Returns
    -------
    list of Axes

    Raises
    ------
    ValueError
        There is no such layer, or its weights make no images.
    """
    name, found = _weighted(model, layer)
    values = found.weight.data
    if values.ndim == 2:
        side = round(values.shape[1] ** 0.5)
        height, width = shape or (side, side)
        if height * width != values.shape[1]:
            raise ValueError(
                f"weights: layer {name} reads {values.shape[1]} numbers, no square: give shape="
            )
        images = values.reshape(-1, height, width)
    else:
        images = values.mean(axis=1)
    mean = " (mean over input channels)" if values.ndim == 4 and values.shape[1] > 1 else ""
    limit = float(np.abs(images).max()) or 1.0
    title = f"Weights of {name} {type(found).__name__}{mean}: red +, blue -, up to {limit:.2g}"
    axes = canvas.grid(min(len(images), most), title)
    for number, ax in enumerate(axes):
        canvas.show_signed(ax, images[number], limit)
        ax.set_title(str(number), fontsize=7, pad=2)
    return axes


def feature_maps(model: Module, image: Any, *, channels: int = 8) -> list[Any]:
    """What each layer makes of one image: a row a layer, its first `channels` maps side by side."""
    image = np.asarray(image)
    maps = {name: a[0] for name, a in activations(model, image[None]).items() if a.ndim == 4}
    if not maps:
        raise ValueError("feature_maps: no layer of the model gives images")
    plt = canvas.pyplot()
    figure, axes = plt.subplots(
        len(maps) + 1,
        channels,
        figsize=(1.05 * channels + 1.2, 1.05 * (len(maps) + 1)),
        squeeze=False,
        layout="constrained",
    )
    title = "One image, layer by layer; of each map the highest value is bright"
    figure.suptitle(title, fontsize=11)
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    used = []
    for row, (name, values) in enumerate([("input", image), *maps.items()]):
        for column in range(channels):
            ax = axes[row, column]
            if column >= len(values):
                ax.remove()
                continue
            ax.imshow(values[column], cmap=canvas.SEQUENTIAL)
            ax.set_xticks([])
            ax.set_yticks([])
            used.append(ax)
        label = "input" if row == 0 else f"{name}\n{kinds.get(name.split('/')[0], name)}"
        size = "x".join(map(str, values.shape))
        axes[row, 0].set_ylabel(f"{label}\n{size}", rotation=0, ha="right", va="center", fontsize=7)
    return used


def saliency(model: Module, images: Any, *, target: Any = None) -> list[Any]:
    """Images, and below each how much every pixel moves the score; see `inspection.saliency`."""
    images = np.asarray(images)
    values = attention.saliency(model, images, target)
    return _pairs(images, values, "Saliency: bright pixels move the score most", overlay=False)


def grad_cam(
    model: Module, images: Any, *, target: Any = None, layer: str | None = None
) -> list[Any]:
    """Images, and below each where the evidence for the class lies; see `inspection.grad_cam`."""
    images = np.asarray(images)
    values = attention.grad_cam(model, images, target, layer=layer)
    return _pairs(images, values, "Grad-CAM: bright places speak for the class", overlay=True)


def _pairs(images: Array, values: Array, title: str, *, overlay: bool) -> list[Any]:
    axes = canvas.grid(2 * len(images), title, columns=len(images), size=1.3)
    for number, image in enumerate(images):
        above, below = axes[number], axes[len(images) + number]
        above.imshow(canvas.picture(image), cmap="gray_r")
        if overlay:
            below.imshow(canvas.picture(image), cmap="gray_r")
        below.imshow(values[number], cmap=canvas.SEQUENTIAL, alpha=0.75 if overlay else 1.0)
    return axes


def _weighted(model: Module, layer: str | None) -> tuple[str, Any]:
    found = {n: m for n, m in layers(model).items() if isinstance(m, (nn.Linear, nn.Conv2d))}
    if layer is None and found:
        return next(iter(found.items()))
    if layer not in found:
        raise ValueError(f"weights: no layer {layer!r} with weights, there are {', '.join(found)}")
    return layer, found[layer]
