"""Gradients clipped by hand, normalisations folded, under PyTorch's names; a body's features.

Optimisers do the same inside their step, compiled or not: ``max_grad_norm``, ``max_grad_value``.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from nncore._core import engine
from nncore.nn.features import features
from nncore.nn.fuse import fuse_conv_bn_eval, fuse_linear_bn_eval
from nncore.nn.parameter import Parameter, ParameterIterator

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "features",
    "fuse_conv_bn_eval",
    "fuse_linear_bn_eval",
]


def clip_grad_norm_(
    parameters: Parameter | Iterable[Parameter],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients together so that their norm is at most `max_norm`; returns the norm.

    The norm is that of all gradients as one vector, ``(sum |g|^p)^(1/p)``, summed in double
    precision in a fixed order. Every gradient is multiplied by ``max_norm / (norm + 1e-6)`` where
    that is below 1. Frozen parameters are left out.

    Parameters
    ----------
    parameters : Parameter or iterable of Parameter
        ``model.parameters()`` knows their names, which messages use.
    max_norm : float
        At least 0.
    norm_type : float
        p, positive; ``math.inf`` for the largest magnitude.
    error_if_nonfinite : bool
        Whether a gradient that is infinite or NaN is an error. Otherwise such a norm spreads: NaN
        to all gradients, infinity as zeros and NaN.

    Raises
    ------
    TypeError, ValueError
        An argument is of another kind or out of range.
    ValueError
        `error_if_nonfinite`: names the parameter. Nothing has been changed.

    Notes
    -----
    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks"
    (2013).
    """
    named = _trained(parameters, "clip_grad_norm_")
    limit = _number("clip_grad_norm_", "max_norm", max_norm)
    order = _number("clip_grad_norm_", "norm_type", norm_type)
    if order == 0:
        raise ValueError("clip_grad_norm_: norm_type must be positive, got 0")
    norm = _norm([parameter for _, parameter in named], order)
    if error_if_nonfinite and not math.isfinite(norm):
        bad = next((n for n, p in named if not np.isfinite(p.grad).all()), None)
        what = "the norm of all gradients" if bad is None else f"the gradient of {bad}"
        raise ValueError(f"clip_grad_norm_: {what} must be finite, got NaN or infinity")
    factor = limit / (norm + 1e-6)
    if not factor >= 1:
        for _, parameter in named:
            with np.errstate(invalid="ignore", over="ignore"):
                np.multiply(parameter.grad, parameter.dtype.type(factor), out=parameter.grad)
    return norm


def clip_grad_value_(parameters: Parameter | Iterable[Parameter], clip_value: float) -> None:
    """Bring every element of all gradients into [-clip_value, clip_value]; NaN stays NaN.

    Raises
    ------
    TypeError, ValueError
        An argument is of another kind or negative.
    """
    limit = _number("clip_grad_value_", "clip_value", clip_value)
    for _, parameter in _trained(parameters, "clip_grad_value_"):
        np.clip(parameter.grad, -limit, limit, out=parameter.grad)


def _norm(parameters: list[Parameter], order: float) -> float:
    if order == 2:
        squares = 0.0
        for dtype in dict.fromkeys(parameter.dtype for parameter in parameters):
            own = [parameter for parameter in parameters if parameter.dtype == dtype]
            data, grads = [p.data for p in own], [p.grad for p in own]
            squares += engine.Update("sgd", data, grads, [()] * len(own)).squares()
        return math.sqrt(squares)
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = [np.abs(p.grad, dtype=np.float64).ravel() for p in parameters if p.size]
        if not sizes:
            return 0.0
        if order == math.inf:
            return float(np.max([size.max() for size in sizes]))
        return float(sum(np.sum(size**order) for size in sizes) ** (1 / order))


def _trained(parameters: Any, owner: str) -> list[tuple[str, Parameter]]:
    """Those that are not frozen, with their names or places."""
    if isinstance(parameters, Parameter):
        parameters = [parameters]
    if isinstance(parameters, ParameterIterator):
        listed = list(parameters.named())
    elif isinstance(parameters, Iterable):
        listed = [(f"parameters[{at}]", each) for at, each in enumerate(parameters)]
    else:
        raise TypeError(
            f"{owner}: parameters must be Parameters, got a {type(parameters).__name__}:"
            " write model.parameters()"
        )
    for name, parameter in listed:
        if not isinstance(parameter, Parameter):
            raise TypeError(f"{owner}: {name} must be a Parameter, got {type(parameter).__name__}")
    unique = {id(parameter): (name, parameter) for name, parameter in reversed(listed)}
    return [pair for pair in reversed(unique.values()) if pair[1].requires_grad]


def _number(owner: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{owner}: {name} must be a number, got {value!r}")
    if not value >= 0:
        raise ValueError(f"{owner}: {name} must be at least 0, got {value!r}")
    return float(value)
