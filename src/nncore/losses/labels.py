"""Losses of classification: what a prediction says of the right class."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nncore._core import engine
from nncore.losses.engine_loss import EngineLoss, weights
from nncore.nn.arguments import index, number
from nncore.nn.arrays import Array
from nncore.nn.operation import Operation, Shape


class _LabelLoss(EngineLoss):
    """A loss of rows of classes: (N, classes), or (N, classes, ...) with labels (N, ...)."""

    reads_labels = True
    weight: Array | None
    _kind: str
    _input: str

    def __init__(self, weight: ArrayLike | None, ignore_index: int, reduction: str) -> None:
        super().__init__(reduction)
        name = type(self).__name__
        self.weight = weights(name, "weight", weight)
        if self.weight is not None and self.weight.ndim != 1:
            raise ValueError(
                f"{name}: weight has shape {self.weight.shape}, expected one number a class"
            )
        self.ignore_index = index(name, "ignore_index", ignore_index)
        if not -(2**63) <= self.ignore_index < 2**63:
            raise ValueError(f"{name}: ignore_index must fit int64, got {ignore_index!r}")

    def _smoothing(self) -> float:
        return 0.0

    def _operation(self, shape: Shape, dtype: np.dtype[Any]) -> Operation:
        name = type(self).__name__
        if len(shape) not in (2, 4):
            raise ValueError(
                f"{name}: {self._input} have shape {shape}, expected (batch, classes) or"
                " (batch, classes, height, width)"
            )
        operation = self._describe(self._kind, shape, self._smoothing())
        operation.target_shape = (shape[0], *shape[2:])
        if self.reduction == "none":
            operation.y_shape = operation.target_shape
        if self.weight is not None:
            if shape[1:] and self.weight.shape != shape[1:2]:
                raise ValueError(
                    f"{name}: weight has {len(self.weight)} elements, expected {shape[1]}, one a"
                    " class"
                )
            operation.weight = np.ascontiguousarray(self.weight, dtype)
        operation.ignore_index = self.ignore_index
        return operation

    def _labels(self, target: Any, shape: Shape) -> Array:
        """The labels of predictions of `shape`, int64."""
        name = type(self).__name__
        labels: Array = engine.labels(target, name, "target", max(len(shape) - 1, 1))
        expected = shape[:1] if len(shape) == 2 else (shape[0], *shape[2:])
        if labels.shape != expected:
            raise ValueError(f"{name}: target has shape {labels.shape}, expected {expected}")
        return labels

    def _forward(self, pred: Array, target: Any) -> tuple[Any, Any]:
        shape = pred.shape
        if len(shape) < 2:
            raise ValueError(
                f"{type(self).__name__}: {self._input} have shape {shape}, expected"
                " (batch, classes) or (batch, classes, ...)"
            )
        labels = self._labels(target, shape)
        if len(shape) > 2:  # rows of classes, one a label, wherever the classes lie
            pred = np.moveaxis(pred, 1, -1).reshape(-1, shape[1])
        return self._run(self._planned(pred.shape, pred.dtype), pred, labels, shape)

    def _run(self, plan: Any, pred: Array, target: Array, shape: Shape) -> tuple[Any, Any]:
        """The loss of rows that are predictions of `shape`."""
        value, kept = plan.forward(pred, target)
        if self.reduction == "none":
            value = value.reshape(shape[0], *shape[2:])
        return value, (plan, kept, shape, pred.dtype)

    def _backward(self, saved: Any, grad: Any) -> Array:
        plan, kept, shape, dtype = saved
        if self.reduction == "none":
            factor = self._factor(grad, (shape[0], *shape[2:]), dtype).reshape(-1)
        else:
            factor = float(grad)
        dx: Array = plan.backward(kept, factor)
        if len(shape) > 2:
            dx = np.moveaxis(dx.reshape(shape[0], *shape[2:], shape[1]), -1, 1)
        return dx

    def extra_repr(self) -> str:
        return self._options(
            ignore_index=None if self.ignore_index == -100 else self.ignore_index,
            label_smoothing=self._smoothing() or None,
        )


class CrossEntropyLoss(_LabelLoss):
    """Softmax cross-entropy: C = mean over the batch of log(sum_j exp(z_j)) - z_label.

    Backward: dC/dz = (softmax(z) - onehot(label)) / N. Never overflows: the largest logit of a row
    is taken off first.

    Parameters
    ----------
    weight : array_like, shape (classes,), optional
        How much each class counts; copied. The mean is then weighted by the labels' weights.
    ignore_index : int
        A label whose row counts for nothing, in the mean neither.
    reduction : str
        "mean", "sum", or "none": the loss of each row.
    label_smoothing : float
        e in [0, 1]: the truth is 1 - e + e / classes at the label and e / classes elsewhere.

    Raises
    ------
    TypeError
        Predictions are not of floating numbers, labels no integers.
    ValueError
        Shapes do not fit each other; an option is not one of those above.
    IndexError
        A label is below 0 or not below the number of classes, and not `ignore_index`; the message
        has value and row.

    Notes
    -----
    Shapes: predictions (logits) (N, classes), labels (N,); or (N, classes, ...), for example
    images, and (N, ...). Targets may be probabilities, an array of floats like the predictions;
    then there is no `ignore_index`. All labels ignored: the mean is NaN, the gradient 0. Source:
    Bridle, "Probabilistic interpretation of feedforward classification network outputs" (1990).
    """

    _kind = "cross_entropy"
    _input = "logits"

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, ignore_index, reduction)
        self.label_smoothing = number("CrossEntropyLoss", "label_smoothing", label_smoothing)
        if not 0 <= self.label_smoothing <= 1:
            raise ValueError(
                f"CrossEntropyLoss: label_smoothing must be from 0 to 1, got {label_smoothing!r}"
            )

    def _smoothing(self) -> float:
        return self.label_smoothing

    def _reads(self, target: Any) -> bool:
        # Probabilities are told from labels by their dtype: a list of lists is refused as labels.
        dtype = getattr(target, "dtype", None)
        return not (isinstance(dtype, np.dtype) and dtype.kind == "f" and target.ndim > 1)

    def _compiled(self, shape: Shape, dtype: np.dtype[Any], labels: bool) -> Operation:
        operation = super()._compiled(shape, dtype, labels)
        if not labels:
            operation.kind, operation.target_shape = "soft_cross_entropy", None
        return operation

    def _forward(self, pred: Array, target: Any) -> tuple[Any, Any]:
        if self._reads(target) or target.ndim != pred.ndim:
            return super()._forward(pred, target)
        return self._forward_probabilities(pred, self._target(target, pred.shape, pred.dtype))

    def _forward_probabilities(self, pred: Array, target: Array) -> tuple[Any, Any]:
        """Targets that are distributions themselves."""
        shape = pred.shape
        if pred.ndim < 2:
            raise ValueError(f"CrossEntropyLoss: logits have shape {shape}, expected two axes")
        if pred.ndim > 2:
            pred, target = (np.moveaxis(a, 1, -1).reshape(-1, shape[1]) for a in (pred, target))
        operation = self._operation(pred.shape, pred.dtype)
        operation.kind = "soft_cross_entropy"
        return self._run(engine.LossPlan(operation, pred.dtype), pred, target, shape)


class NLLLoss(_LabelLoss):
    """Negative log-likelihood: C = mean over the batch of -pred[label], pred log-probabilities.

    Backward: dC/dpred = -1 / N at the label, else 0. After a `LogSoftmax` it is `CrossEntropyLoss`.

    Parameters
    ----------
    weight : array_like, shape (classes,), optional
        How much each class counts; copied. The mean is then weighted by the labels' weights.
    ignore_index : int
        A label whose row counts for nothing, in the mean neither.
    reduction : str
        "mean", "sum", or "none": the loss of each row.

    Raises
    ------
    TypeError, ValueError, IndexError
        As of `CrossEntropyLoss`.

    Notes
    -----
    Shapes: predictions (N, classes), labels (N,); or (N, classes, ...) and (N, ...). All labels
    ignored: the mean is NaN, the gradient 0.
    """

    _kind = "nll"
    _input = "log-probabilities"

    def __init__(
        self, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, ignore_index, reduction)
