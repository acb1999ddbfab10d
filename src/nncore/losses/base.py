"""The base of losses: what is remembered between the two calls, and what a value knows."""

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
    """The base of losses: keeps the record between the two calls. Used by one thread at a time.

    A loss of one's own defines `_forward` and `_backward`, in NumPy or in whatever computes arrays.
    """

    _record: Any = None

    def _forward(self, pred: Array, target: Any) -> tuple[Any, Any]:
        """The loss, and what `_backward` needs."""
        raise NotImplementedError

    def _backward(self, saved: Any, grad: Any) -> Array:
        """The gradient of `pred`."""
        raise NotImplementedError

    def __call__(self, pred: Any, target: Any) -> Any:
        """The loss of a batch: a float; an array where nothing is reduced."""
        name = type(self).__name__
        pred = engine.floating(pred, element_type_of(pred), name, "pred")
        value, saved = self._forward(pred, target)
        if records_kept(self, 1):
            self.__dict__["_record"] = saved
        return Loss(value) if isinstance(value, float) else value

    def forward(self, pred: Any, target: Any) -> Any:
        """The same as calling it."""
        return self(pred, target)

    def backward(self, grad: Any = 1.0) -> Array:
        """dC/dpred for the last call, times `grad`; consumes the record of that call.

        Where nothing is reduced, `grad` may be an array of the losses' shape.

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
        saved = self._record
        self.__dict__["_record"] = None
        return self._backward(saved, grad)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _BOOKS}

    def extra_repr(self) -> str:
        """What `repr` shows between the brackets."""
        return ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


# What a copy does not take with it.
_BOOKS = ("_record", "_planned_for")
