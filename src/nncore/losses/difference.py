"""Losses of how far a prediction is from a number: squared, absolute, and between the two."""

from typing import Any

import numpy as np

from nncore.losses.engine_loss import EngineLoss
from nncore.nn.arguments import number
from nncore.nn.operation import Operation, Shape


class MSELoss(EngineLoss):
    """Mean squared error: C = mean over all elements of (pred - target)^2.

    Backward: dC/dpred = 2 (pred - target) / count.

    Parameters
    ----------
    reduction : str
        "mean", "sum", or "none": an array of the losses of all elements. The same for all losses.

    Raises
    ------
    TypeError
        An argument is not of floating numbers.
    ValueError
        The shapes differ, as (N, 1) and (N,) do: nothing is broadcast.

    Notes
    -----
    Shapes: any, the same for both.
    """

    def _operation(self, shape: Shape, dtype: np.dtype[Any]) -> Operation:
        return self._describe("mse", shape)


class L1Loss(EngineLoss):
    """Mean absolute error: C = mean over all elements of |pred - target|.

    Backward: dC/dpred = sign(pred - target) / count, 0 where they are equal.

    Parameters and errors as of `MSELoss`.
    """

    def _operation(self, shape: Shape, dtype: np.dtype[Any]) -> Operation:
        return self._describe("l1", shape)


class SmoothL1Loss(EngineLoss):
    """Squared near 0, absolute beyond: with z = |pred - target|, z^2 / (2 beta) below beta, else
    z - beta / 2; the mean of it over all elements.

    Backward: dC/dpred = (pred - target) / beta below beta, else the sign, divided by count.

    Parameters
    ----------
    reduction : str
        "mean", "sum" or "none".
    beta : float
        Where it goes straight; at least 0, which makes it `L1Loss`.

    Raises
    ------
    TypeError, ValueError
        beta is no number, or negative; otherwise as of `MSELoss`.

    Notes
    -----
    Source: Girshick, "Fast R-CNN" (2015).
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = number("SmoothL1Loss", "beta", beta)
        if self.beta < 0:
            raise ValueError(f"SmoothL1Loss: beta must be at least 0, got {beta!r}")

    def _operation(self, shape: Shape, dtype: np.dtype[Any]) -> Operation:
        return self._describe("smooth_l1", shape, self.beta)

    def extra_repr(self) -> str:
        return self._options(beta=self.beta)


class HuberLoss(EngineLoss):
    """Squared near 0, absolute beyond: with z = |pred - target|, z^2 / 2 below delta, else
    delta (z - delta / 2); the mean of it over all elements.

    Backward: dC/dpred = pred - target held within -delta and delta, divided by count.

    Parameters
    ----------
    reduction : str
        "mean", "sum" or "none".
    delta : float
        Where it goes straight; positive.

    Raises
    ------
    TypeError, ValueError
        delta is no number, or not positive; otherwise as of `MSELoss`.

    Notes
    -----
    Source: Huber, "Robust estimation of a location parameter" (1964).
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = number("HuberLoss", "delta", delta)
        if self.delta <= 0:
            raise ValueError(f"HuberLoss: delta must be positive, got {delta!r}")

    def _operation(self, shape: Shape, dtype: np.dtype[Any]) -> Operation:
        return self._describe("huber", shape, self.delta)

    def extra_repr(self) -> str:
        return self._options(delta=self.delta)


class HingeLoss(EngineLoss):
    """Hinge: C = mean over all elements of max(0, margin - target pred), targets -1 or 1.

    Backward: dC/dpred = -target / count where margin > target pred, else 0.

    Parameters
    ----------
    margin : float
        How far on the right side of 0 is far enough.
    reduction : str
        "mean", "sum" or "none".

    Raises
    ------
    TypeError, ValueError
        margin is no number, or not finite; otherwise as of `MSELoss`.

    Notes
    -----
    PyTorch has no such loss. Source: Cortes and Vapnik, "Support-vector networks" (1995).
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = number("HingeLoss", "margin", margin)

    def _operation(self, shape: Shape, dtype: np.dtype[Any]) -> Operation:
        return self._describe("hinge", shape, self.margin)

    def extra_repr(self) -> str:
        return self._options(margin=self.margin)
