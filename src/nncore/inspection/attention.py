"""Where a network looks: gradients of one output with respect to the image, and Grad-CAM."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore import nn
from nncore.inspection.probe import Array, Call, full_pass, gradients_kept
from nncore.nn.module import Module


def saliency(model: Module, x: Any, target: Any = None) -> Array:
    """How much each pixel moves the score of a class: the largest |dy_t/dx| over the channels.

    Parameters
    ----------
    model : Module
    x : array_like
        Images (N, C, H, W), or samples of any other shape.
    target : int or array of int, optional
        The class whose score is differentiated, for all samples or for each. Default: the one with
        the largest score.

    Returns
    -------
    array
        (N, H, W) for images, else of the shape of x.

    Raises
    ------
    IndexError
        There is no such class.

    Notes
    -----
    Source: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks: visualising image
    classification models and saliency maps" (2014).
    """
    with gradients_kept(model):
        _, grad, _ = full_pass(model, x, lambda y: _one_score("saliency", y, target))
    size = np.abs(grad)
    return size.max(axis=1) if size.ndim == 4 else size


def grad_cam(model: Module, x: Any, target: Any = None, *, layer: str | None = None) -> Array:
    """Which places of a feature map speak for a class, at the size of the images, in [0, 1].

    The maps of the layer are added up, each weighted with the mean of its gradients; what is
    negative counts as 0.

    Parameters
    ----------
    model : Module
    x : array_like
        Images (N, C, H, W).
    target : int or array of int, optional
        As for `saliency`.
    layer : str, optional
        The layer whose output is taken, by its name. Default: the activation behind the last
        convolution, or that convolution.

    Returns
    -------
    array (N, H, W)

    Raises
    ------
    ValueError
        The model has no such layer, or its output is no image.

    Notes
    -----
    Source: Selvaraju and others, "Grad-CAM: visual explanations from deep networks via
    gradient-based localization" (2017).
    """
    with gradients_kept(model):
        _, grad, calls = full_pass(model, x, lambda y: _one_score("grad_cam", y, target))
    call = _chosen(calls, layer)
    if call.y.ndim != 4 or call.grad_y is None:
        raise ValueError(
            f"grad_cam: layer {call.name} gives {call.y.shape}, expected feature maps (N, C, H, W)"
        )
    weights = call.grad_y.mean(axis=(2, 3), keepdims=True)
    maps = np.maximum((weights * call.y).sum(axis=1), 0)
    largest = maps.max(axis=(1, 2), keepdims=True)
    maps = np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)
    return resized(maps, grad.shape[2:])


def resized(maps: Array, size: tuple[int, ...]) -> Array:
    """Maps (N, h, w) at another size, bilinear, pixel centres kept (as align_corners=False)."""
    for axis, wanted in zip((1, 2), size, strict=True):
        have = maps.shape[axis]
        place = np.clip((np.arange(wanted) + 0.5) * have / wanted - 0.5, 0, have - 1)
        low = np.minimum(place.astype(np.int64), max(have - 2, 0))
        share = (place - low).astype(maps.dtype)
        share = share[:, None] if axis == 1 else share[None, :]
        first, second = maps.take(low, axis), maps.take(np.minimum(low + 1, have - 1), axis)
        maps = first * (1 - share) + second * share
    return maps


def _one_score(function: str, y: Array, target: Any) -> Array:
    """The gradient that picks one score of each sample."""
    if y.ndim != 2:
        raise ValueError(f"{function}: the model gives {y.shape}, expected scores (N, classes)")
    chosen = y.argmax(axis=1) if target is None else np.broadcast_to(np.asarray(target), len(y))
    wrong = np.flatnonzero((chosen < 0) | (chosen >= y.shape[1]))
    if wrong.size:
        raise IndexError(
            f"{function}: target {chosen[wrong[0]]}, expected a class from 0 to {y.shape[1] - 1}"
        )
    grad = np.zeros_like(y)
    grad[np.arange(len(y)), chosen] = 1
    return grad


def _chosen(calls: list[Call], layer: str | None) -> Call:
    if layer is not None:
        for call in calls:
            if call.name == layer:
                return call
        raise ValueError(
            f"grad_cam: no layer {layer!r}, there are {', '.join(call.name for call in calls)}"
        )
    last = max((i for i, c in enumerate(calls) if isinstance(c.layer, nn.Conv2d)), default=None)
    if last is None:
        raise ValueError("grad_cam: the model has no convolution: name a layer")
    follows = calls[last + 1] if last + 1 < len(calls) else None
    if follows is not None and follows.y.shape == calls[last].y.shape:
        return follows
    return calls[last]
