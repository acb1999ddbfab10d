"""Who remembers what a backward pass needs: the rule, and the two ways to override it.

By default a module in `train()` mode keeps the record of its last forward and one in `eval()` mode
keeps nothing. The overrides hold for the thread (or asynchronous task) that enters them, the
innermost first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# (model, how many records it keeps), innermost last; no model: all of them.
_overrides: ContextVar[tuple[tuple[object, int], ...]] = ContextVar("nncore_recording", default=())


@contextmanager
def _override(model: Any, keep: int) -> Iterator[None]:
    token = _overrides.set((*_overrides.get(), (model, keep)))
    try:
        yield
    finally:
        _overrides.reset(token)


@contextmanager
def recording(model: Any, keep: int = 1) -> Iterator[None]:
    """Within the block, `model` records its forwards, whatever its mode.

    Parameters
    ----------
    model : Module
        The module that will be called and whose `backward` will be.
    keep : int
        How many records it keeps. Each backward consumes the latest one left: after several
        forwards, call the backwards in reverse order.

    Raises
    ------
    TypeError, ValueError
        `model` is no Module; `keep` is not a positive integer.

    Examples
    --------
    >>> with nncore.recording(model.eval()):
    ...     y = model(x)
    >>> dx = model.backward(dy, input_grad=True)
    """
    if not hasattr(model, "_forward"):
        raise TypeError(f"recording: model must be a Module, got {type(model).__name__}")
    if isinstance(keep, bool) or not isinstance(keep, int):
        raise TypeError(f"recording: keep must be an integer, got {keep!r}")
    if keep < 1:
        raise ValueError(f"recording: keep must be positive, got {keep}")
    with _override(model, keep):
        yield


@contextmanager
def no_record() -> Iterator[None]:
    """Within the block nothing records, whatever its mode: for a look in the midst of training."""
    with _override(None, 0):
        yield


def records_kept(module: Any, default: int) -> int:
    """How many records `module` keeps now; `default` where nothing overrides."""
    for model, keep in reversed(_overrides.get()):
        if model is None or model is module:
            return keep
    return default
