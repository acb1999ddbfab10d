"""Losses: how far predictions are from the truth, and the gradient of that to begin backward with.

A loss function is called with a batch, returns the mean over it as a float, and remembers what its
`backward` needs (not within `nncore.no_record`): ``model.backward(loss_fn.backward())``.
"""

from typing import Any

from nncore._core import engine
from nncore.nn import hints
from nncore.nn.arrays import Array, element_type_of
from nncore.nn.recording import records_kept


class Loss(float):
    """The value of a loss: a float, that knows what to answer to ``loss.backward()``."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        hints.missing(self, name, hints.LOSS)


class LossFunction:
    """The base of losses: keeps the record between the two calls. Used by one thread at a time."""

    _record: Any = None

    def _forward(self, pred: Array, target: Any) -> tuple[float, Any]:
        """The loss, and what `_backward` needs."""
        raise NotImplementedError

    def _backward(self, saved: Any, grad: float) -> Array:
        """The gradient of `pred`."""
        raise NotImplementedError

    def __call__(self, pred: Any, target: Any) -> Loss:
        """The loss of a batch."""
        name = type(self).__name__
        pred = engine.floating(pred, element_type_of(pred), name, "pred")
        value, saved = self._forward(pred, target)
        if records_kept(self, 1):
            self._record = saved
        return Loss(value)

    def forward(self, pred: Any, target: Any) -> Loss:
        """The same as calling it."""
        return self(pred, target)

    def backward(self, grad: float = 1.0) -> Array:
        """dC/dpred for the last call, times `grad`; consumes the record of that call.

        Raises
        ------
        RuntimeError
            There was no call since the last backward, or it was within `nncore.no_record`.
        """
        if self._record is None:
            raise RuntimeError(
                f"{type(self).__name__}: backward has no recorded forward: call the loss first,"
                " outside nncore.no_record(); each record serves one backward"
            )
        saved, self._record = self._record, None
        return self._backward(saved, float(grad))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_record"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class CrossEntropyLoss(LossFunction):
    """Softmax cross-entropy: C = mean over the batch of log(sum_j exp(z_j)) - z_label.

    Backward: dC/dz = (softmax(z) - onehot(label)) / N. Never overflows: the largest logit of a row
    is taken off first.

    Raises
    ------
    TypeError
        Predictions are not of floating numbers, labels no integers.
    ValueError
        Shapes do not fit each other.
    IndexError
        A label is below 0 or not below the number of classes; the message has value and row.

    Notes
    -----
    Shapes: predictions (logits) (N, classes), labels (N,). Source: Bridle, "Probabilistic
    interpretation of feedforward classification network outputs" (1990).
    """

    def _forward(self, pred: Array, target: Any) -> tuple[float, Any]:
        labels = engine.labels(target, "CrossEntropyLoss", "target")
        value, probabilities = engine.cross_entropy_forward(pred, labels, layer="CrossEntropyLoss")
        return value, (probabilities, labels)

    def _backward(self, saved: Any, grad: float) -> Array:
        probabilities, labels = saved
        return engine.cross_entropy_backward(probabilities, labels, grad, layer="CrossEntropyLoss")


class MSELoss(LossFunction):
    """Mean squared error: C = mean over all elements of (pred - target)^2.

    Backward: dC/dpred = 2 (pred - target) / count.

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

    def _forward(self, pred: Array, target: Any) -> tuple[float, Any]:
        target = engine.floating(target, pred.dtype, "MSELoss", "target")
        return engine.mse_forward(pred, target, layer="MSELoss"), (pred, target)

    def _backward(self, saved: Any, grad: float) -> Array:
        pred, target = saved
        return engine.mse_backward(pred, target, grad, layer="MSELoss")
