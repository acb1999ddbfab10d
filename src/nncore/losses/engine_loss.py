"""Losses that are one operation of the engine, described once: run by hand and in a compiled step.

A loss derives from `EngineLoss` and defines `_operation`, as a layer derives from `Layer`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nncore._core import engine
from nncore.losses.base import LossFunction
from nncore.nn import structure
from nncore.nn.arrays import Array
from nncore.nn.operation import REDUCTIONS, Operation, Shape


class EngineLoss(LossFunction):
    """A loss that is one operation of the engine: a subclass defines `_operation`."""

    reads_labels = False
    """Whether targets are class numbers; else they are an array like the prediction."""

    _reductions: tuple[str, ...] = ("mean", "sum", "none")

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in self._reductions:
            expected = " or ".join(map(repr, self._reductions))
            raise ValueError(
                f"{type(self).__name__}: reduction must be {expected}, got {reduction!r}"
            )
        self.reduction = reduction

    def _operation(self, shape: Shape, dtype: np.dtype[Any]) -> Operation:
        """The operation for predictions of `shape` and `dtype`, or the error that says why not."""
        raise NotImplementedError(f"{type(self).__name__}: define _operation(shape, dtype)")

    def _reads(self, target: Any) -> bool:
        """Whether `target` is to be read as labels."""
        return self.reads_labels

    @classmethod
    def _is_described(cls) -> bool:
        """Whether the operation is all it does: no subclass added mathematics of its own."""
        own = (cls.__call__, cls.backward, cls._forward, cls._backward)
        return all(method.__module__.startswith("nncore.") for method in own)

    def _compiled(self, shape: Shape, dtype: np.dtype[Any], labels: bool) -> Operation:
        """The same for a compiled step: batches of up to shape[0] samples, whose targets are labels
        or not."""
        name = type(self).__name__
        if self.reduction == "none":
            raise ValueError(
                f"compile: {name} with reduction='none' has no compiled form: a step needs one"
                " number to train on, 'mean' or 'sum'; or compile without loss_fn and write"
                " step.forward(x), the loss by hand, step.backward(loss_fn.backward(weights))"
            )
        return self._operation(shape, dtype)

    def _describe(self, kind: str, shape: Shape, parameter: float = 0.0) -> Operation:
        """A description with what all losses have; y is for a loss that is not reduced."""
        return Operation(
            type(self).__name__,
            kind,
            shape,
            shape if self.reduction == "none" else (1,),
            parameter=(parameter, 0.0),
            reduction=REDUCTIONS.index(self.reduction),
        )

    def _options(self, **options: Any) -> str:
        """The options for `repr`, but for None, and the reduction where it is not the mean."""
        if self.reduction != "mean":
            options["reduction"] = self.reduction
        return ", ".join(f"{name}={x!r}" for name, x in options.items() if x is not None)

    def extra_repr(self) -> str:
        return self._options()

    def __setattr__(self, name: str, value: Any) -> None:
        # Plans are made of attributes: a change makes them anew, in compiled steps too.
        if name in self.__dict__:
            structure.changed()
        super().__setattr__(name, value)
        self.__dict__.pop("_planned_for", None)

    def _planned(self, shape: Shape, dtype: np.dtype[Any]) -> engine.LossPlan:
        """The operation planned, kept while shape and dtype stay the same."""
        seen = self.__dict__.get("_planned_for")
        if seen is not None and seen[0] == shape and seen[1] is dtype:
            return seen[2]  # type: ignore[no-any-return]
        plan = engine.LossPlan(self._operation(shape, dtype), dtype)
        self.__dict__["_planned_for"] = (shape, dtype, plan)
        return plan

    def _target(self, target: Any, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """`target` as an array of pred's dtype and shape."""
        name = type(self).__name__
        array: Array = engine.floating(target, dtype, name, "target")
        if array.shape != shape:
            hint = ""
            if shape == (*array.shape, 1):
                hint = ": write target[..., None]"
            elif array.shape == (*shape, 1):
                hint = ": write target[..., 0]"
            raise ValueError(
                f"{name}: target has shape {array.shape}, expected {shape} as the prediction"
                f" has{hint}"
            )
        return array

    def _forward(self, pred: Array, target: Any) -> tuple[Any, Any]:
        checked = self._target(target, pred.shape, pred.dtype)
        plan = self._planned(pred.shape, pred.dtype)
        value, kept = plan.forward(pred, checked)
        return value, (plan, kept, pred.shape, pred.dtype)

    def _backward(self, saved: Any, grad: Any) -> Array:
        plan, kept, shape, dtype = saved
        dx: Array = plan.backward(kept, self._factor(grad, shape, dtype))
        return dx

    def _factor(self, grad: Any, shape: Shape, dtype: np.dtype[Any]) -> Any:
        """The factor on the gradient: a number, or an array of the losses' shape."""
        if self.reduction != "none":
            return float(grad)
        if np.ndim(grad) == 0:
            return np.full(shape, float(grad), dtype)
        name = type(self).__name__
        factors: Array = engine.floating(grad, dtype, name, "grad")
        if factors.shape != shape:
            raise ValueError(f"{name}: grad has shape {factors.shape}, expected {shape}")
        return factors


def weights(layer: str, arg: str, value: ArrayLike | None) -> Array | None:
    """`value` as an array of floats of its own; None where it is None."""
    if value is None:
        return None
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    array = np.array(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{layer}: {arg} has dtype {array.dtype}, expected numbers")
    wide = array.dtype.kind != "f" or array.dtype.itemsize > 4
    return array.astype(np.float64 if wide else np.float32)


def of_each_element(
    layer: str, arg: str, given: Array | None, shape: Shape, dtype: np.dtype[Any]
) -> Array | None:
    """`given`, broadcast to one weight an element, as it lies in the engine's memory."""
    if given is None:
        return None
    try:
        whole = np.broadcast_to(given, shape)
    except ValueError:
        raise ValueError(
            f"{layer}: {arg} has shape {given.shape}, expected one that broadcasts to the"
            f" prediction's, {shape}"
        ) from None
    order = (0, 2, 3, 1) if len(shape) == 4 else tuple(range(len(shape)))
    return np.ascontiguousarray(whole.transpose(order), dtype=dtype)


def refuse_weights_of_samples(layer: str, arg: str, given: Array | None, shape: Shape) -> None:
    """A compiled step's batches are of many sizes, so a weight cannot be a sample's own."""
    if given is not None and given.ndim == len(shape) and given.shape[0] != 1:
        raise ValueError(
            f"compile: {layer}: {arg} has shape {given.shape}, a weight for each sample of a"
            " batch, expected one for all samples"
        )
