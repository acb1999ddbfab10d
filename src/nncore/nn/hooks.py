"""Hooks: functions of one's own that are called when a module goes forward or backward.

A module with hooks carries its own `_forward` and so on, beside those of its class: one without
pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Self

import numpy as np

from nncore.nn import structure

ForwardHook = Callable[[Any, tuple[Any, ...], Any], Any]
BackwardHook = Callable[[Any, tuple[Any, ...], tuple[Any, ...]], Any]

# What a module with hooks has in its __dict__; a copy of it has none of them.
HOOKED = ("_hooks", "_forward", "_forward_only", "_backward", "_backward_last")

_numbers = count()


class Handle:
    """A hook that was registered: `remove` takes it away, so does the end of a ``with``."""

    def __init__(self, module: Hookable, number: int) -> None:
        self._module, self._number = module, number

    def remove(self) -> None:
        """Take the hook away; once is enough, more does no harm."""
        own = self._module.__dict__
        hooks = own.get("_hooks", {})
        if hooks.pop(self._number, None) is not None:
            if not hooks:
                for name in HOOKED:
                    own.pop(name, None)
            structure.changed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Hookable:
    """The part of a `Module` that takes hooks."""

    def register_forward_hook(self, hook: ForwardHook) -> Handle:
        """Have ``hook(module, inputs, output)`` called after each forward, PyTorch's form.

        `inputs` is a tuple. What the hook returns, if not None, takes the place of the output and
        has its shape and dtype; backward goes on as if the module had computed it.

        A model in which a module has hooks runs by hand: `nncore.compile` raises a TypeError, the
        Trainer says so and goes layer by layer. Hooks are not copied and not pickled.
        """
        return _add(self, "forward", hook)

    def register_full_backward_hook(self, hook: BackwardHook) -> Handle:
        """Have ``hook(module, grad_input, grad_output)`` called after each backward.

        Both are tuples; gradients of inputs that nobody asks for are None (those of a model's
        data, or below the first layer that is trained). What the hook returns, if not None, takes
        the place of `grad_input`. Otherwise as `register_forward_hook`.
        """
        return _add(self, "backward", hook)


def _add(module: Hookable, kind: str, hook: Any) -> Handle:
    if not callable(hook):
        raise TypeError(
            f"{type(module).__name__}: a hook must be a function, got {type(hook).__name__}"
        )
    own = module.__dict__
    if "_hooks" not in own:
        own.update(_hooks={}, **_methods(module, type(module)))
    number = next(_numbers)
    own["_hooks"][number] = kind, hook
    structure.changed()
    return Handle(module, number)


def _methods(module: Any, own: Any) -> dict[str, Any]:
    """What stands in the place of the class's methods."""

    def forward(*x: Any) -> tuple[Any, Any]:
        y, saved = own._forward(module, *x)
        return _after_forward(module, x, y), saved

    def forward_only(*x: Any) -> Any:
        return _after_forward(module, x, own._forward_only(module, *x))

    def backward(saved: Any, grad: Any) -> Any:
        dx = own._backward(module, saved, grad)
        several = isinstance(dx, tuple)
        parts = _after_backward(module, dx if several else (dx,), grad)
        return parts if several else parts[0]

    def backward_last(saved: Any, grad: Any) -> None:
        own._backward_last(module, saved, grad)
        _after_backward(module, (None,), grad)

    return {
        "_forward": forward,
        "_forward_only": forward_only,
        "_backward": backward,
        "_backward_last": backward_last,
    }


def _hooks(module: Any, wanted: str) -> list[Any]:
    return [hook for kind, hook in module.__dict__.get("_hooks", {}).values() if kind == wanted]


def _after_forward(module: Any, x: tuple[Any, ...], y: Any) -> Any:
    for hook in _hooks(module, "forward"):
        result = hook(module, x, y)
        if result is not None:
            y = _replaced(module, "a forward hook", result, y)
    return y


def _after_backward(module: Any, parts: tuple[Any, ...], grad: Any) -> tuple[Any, ...]:
    given = grad if isinstance(grad, tuple) else (grad,)
    for hook in _hooks(module, "backward"):
        result = hook(module, parts, given)
        if result is not None and parts[0] is not None:
            result = result if isinstance(result, tuple) else (result,)
            parts = _replaced(module, "a backward hook", result, parts)
    return parts


def _replaced(module: Any, who: str, result: Any, known: Any) -> Any:
    """What a hook returned, found to be like what it replaces."""
    same = type(result) is type(known)
    if same and isinstance(known, tuple):
        same = len(result) == len(known)
    results, others = (result, known) if isinstance(known, tuple) else ((result,), (known,))
    if not same or any(
        not isinstance(new, np.ndarray) or (new.shape, new.dtype) != (old.shape, old.dtype)
        for new, old in zip(results, others, strict=True)
    ):
        raise ValueError(
            f"{type(module).__name__}: {who} returned something else than None or arrays like"
            " those that it was given"
        )
    return result
