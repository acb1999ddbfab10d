"""What a module remembers of its forwards, so that it can go back: the books behind `backward`."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from nncore._core import engine

if TYPE_CHECKING:
    from nncore.nn.module import Module

# A record: what `_backward` needs, and shape and dtype of the output, or a list of them.


def room(module: Module, keep: int) -> deque[tuple[Any, Any]]:
    """The records of a module, of which `keep` may be there after the next forward.

    Before the work rather than after it: the old record's arrays are free for the new one.
    """
    records = module.__dict__.get("_records")
    if records is None:
        records = module.__dict__["_records"] = deque()
    while len(records) >= keep:
        records.popleft()
    return records


def kind(y: Any) -> Any:
    """Shape and dtype of an output, as `take` wants them."""
    return [(each.shape, each.dtype) for each in y] if isinstance(y, tuple) else (y.shape, y.dtype)


def take(module: Module, grad: Any) -> tuple[Any, Any]:
    """The latest record, taken away, and the gradient of its output, found to fit."""
    name = type(module).__name__
    records = module.__dict__.get("_records")
    if not records:
        raise RuntimeError(
            f"{name}: backward has no recorded forward: call the model first, in train() mode"
            " or within nncore.recording(model); each record serves one backward"
        )
    saved, expected = records[-1]
    if isinstance(expected, list):
        if not isinstance(grad, (tuple, list)):
            raise TypeError(
                f"{name}: grad is {type(grad).__name__}, expected a tuple of {len(expected)}"
                " arrays, one for each output"
            )
        if len(grad) != len(expected):
            raise ValueError(f"{name}: grad has {len(grad)} parts, expected {len(expected)}")
        pairs = zip(grad, expected, strict=True)
        grad = tuple(
            _fitting(name, f"grad[{at}]", each, *known) for at, (each, known) in enumerate(pairs)
        )
    else:
        grad = _fitting(name, "grad", grad, *expected)
    records.pop()
    return saved, grad


def _fitting(name: str, arg: str, grad: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    if grad is None:
        raise TypeError(
            f"{name}: {arg} is None, expected an array of {dtype.name}; where it comes from"
            " another module, write module.backward(grad, input_grad=True)"
        )
    grad = engine.floating(grad, dtype, name, arg)
    if grad.shape != shape:
        raise ValueError(f"{name}: {arg} has shape {grad.shape}, expected {shape}")
    return grad
