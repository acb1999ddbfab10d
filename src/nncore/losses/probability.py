"""Losses between probabilities: of a yes, and of whole distributions."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nncore.losses.engine_loss import (
    EngineLoss,
    of_each_element,
    refuse_weights_of_samples,
    weights,
)
from nncore.nn.arguments import flag
from nncore.nn.arrays import Array
from nncore.nn.operation import Operation, Shape


class BCELoss(EngineLoss):
    """Binary cross-entropy of probabilities: C = mean of -w (t log p + (1 - t) log(1 - p)).

    The logarithms are held at -100 at least, as PyTorch's are. Backward: dC/dp =
    w (p - t) / max(p (1 - p), 1e-12) / count. From logits `BCEWithLogitsLoss` is more exact.

    Parameters
    ----------
    weight : array_like, optional
        w, of a shape that broadcasts to the prediction's; copied.
    reduction : str
        "mean" (of the weighted losses over all elements), "sum" or "none".

    Raises
    ------
    TypeError
        An argument is not of floating numbers.
    ValueError
        The shapes differ, or `weight` does not broadcast. By hand, where a prediction or a target
        is not within [0, 1] (a compiled step has a loss of NaN for such a prediction).

    Notes
    -----
    Shapes: any, the same for both. In a compiled step a weight is the same for all samples.
    """

    weight: Array | None

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = weights("BCELoss", "weight", weight)

    def _operation(self, shape: Shape, dtype: np.dtype[Any]) -> Operation:
        operation = self._describe("bce", shape)
        operation.weight = of_each_element("BCELoss", "weight", self.weight, shape, dtype)
        return operation

    def _compiled(self, shape: Shape, dtype: np.dtype[Any], labels: bool) -> Operation:
        refuse_weights_of_samples("BCELoss", "weight", self.weight, shape)
        return super()._compiled(shape, dtype, labels)

    def _forward(self, pred: Array, target: Any) -> tuple[Any, Any]:
        checked = self._target(target, pred.shape, pred.dtype)
        for arg, array in (("pred", pred), ("target", checked)):
            wrong = array[(array < 0) | (array > 1)]
            if wrong.size:
                raise ValueError(
                    f"BCELoss: {arg} has {wrong[0]}, expected probabilities from 0 to 1"
                )
        return super()._forward(pred, checked)


class BCEWithLogitsLoss(EngineLoss):
    """Binary cross-entropy of logits: C = mean of -w (p t log s + (1 - t) log(1 - s)),
    s = sigmoid(pred).

    Never overflows, and no digits cancel: a loss of exp(-50) is not 0. Backward: dC/dpred =
    w ((1 - t) s - p t (1 - s)) / count.

    Parameters
    ----------
    weight : array_like, optional
        w, of a shape that broadcasts to the prediction's; copied.
    reduction : str
        "mean" (of the weighted losses over all elements), "sum" or "none".
    pos_weight : array_like, optional
        p, the weight of the positive answers, for example the number of negative ones divided by
        that of the positive; of a shape that broadcasts to the prediction's; copied.

    Raises
    ------
    TypeError
        An argument is not of floating numbers.
    ValueError
        The shapes differ, or a weight does not broadcast.

    Notes
    -----
    Shapes: any, the same for both. In a compiled step a weight is the same for all samples.
    """

    weight: Array | None
    pos_weight: Array | None

    def __init__(
        self,
        weight: ArrayLike | None = None,
        reduction: str = "mean",
        pos_weight: ArrayLike | None = None,
    ) -> None:
        super().__init__(reduction)
        self.weight = weights("BCEWithLogitsLoss", "weight", weight)
        self.pos_weight = weights("BCEWithLogitsLoss", "pos_weight", pos_weight)

    def _operation(self, shape: Shape, dtype: np.dtype[Any]) -> Operation:
        name = "BCEWithLogitsLoss"
        operation = self._describe("bce_with_logits", shape)
        operation.weight = of_each_element(name, "weight", self.weight, shape, dtype)
        operation.bias = of_each_element(name, "pos_weight", self.pos_weight, shape, dtype)
        return operation

    def _compiled(self, shape: Shape, dtype: np.dtype[Any], labels: bool) -> Operation:
        refuse_weights_of_samples("BCEWithLogitsLoss", "weight", self.weight, shape)
        refuse_weights_of_samples("BCEWithLogitsLoss", "pos_weight", self.pos_weight, shape)
        return super()._compiled(shape, dtype, labels)


class KLDivLoss(EngineLoss):
    """Kullback-Leibler divergence: C = mean of t (log t - pred), pred log-probabilities.

    Where t = 0 the term is 0. Backward: dC/dpred = -t / count. With ``log_target=True`` targets are
    log-probabilities too: exp(t) (t - pred).

    Parameters
    ----------
    reduction : str
        "mean" over all elements; "batchmean", the sum divided by the samples, which is what the
        divergence of distributions is; "sum" or "none".
    log_target : bool
        Whether targets are logarithms.

    Raises
    ------
    TypeError
        An argument is not of floating numbers.
    ValueError
        The shapes differ.

    Notes
    -----
    Shapes: any, the same for both. Source: Kullback and Leibler, "On information and sufficiency"
    (1951).
    """

    _reductions = ("mean", "batchmean", "sum", "none")

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = flag("KLDivLoss", "log_target", log_target)

    def _operation(self, shape: Shape, dtype: np.dtype[Any]) -> Operation:
        return self._describe("kl_div_log" if self.log_target else "kl_div", shape)

    def extra_repr(self) -> str:
        return self._options(log_target=self.log_target or None)
