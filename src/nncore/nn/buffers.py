"""Buffers: arrays of a module that are no parameters, running statistics for example.

They belong to `state_dict`, to weight files and to copies, and no optimiser touches them. Like a
parameter's, a buffer's array stays the same object for its life: loading writes into it.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from nncore.nn import structure
from nncore.nn.arrays import Array

if TYPE_CHECKING:
    from nncore.nn.module import Module

# Name -> whether state_dict has it; in the module's __dict__ under this key.
_KEY = "_buffer_names"
_T = TypeVar("_T")


class Buffered:
    """The part of `Module` that keeps buffers."""

    def register_buffer(self, name: str, array: Array | None, persistent: bool = True) -> None:
        """Make `array` a buffer, reached as the attribute `name`.

        Parameters
        ----------
        name : str
            An attribute that does not exist yet.
        array : array or None
            float32, float64 or int64, kept as it is, not copied; None: there is none.
        persistent : bool
            Whether `state_dict` and weight files have it.

        Raises
        ------
        TypeError, KeyError
            The array is of another type; the name is no name, or taken.
        """
        layer = type(self).__name__
        if not isinstance(name, str):
            raise TypeError(f"{layer}: the name of a buffer must be a string, got {name!r}")
        if not name or "." in name or hasattr(self, name):
            raise KeyError(f"{layer}: a buffer cannot be named {name!r}")
        if array is not None and (
            type(array) is not np.ndarray or array.dtype not in (np.float32, np.float64, np.int64)
        ):
            raise TypeError(
                f"{layer}: buffer {name} must be an array of float32, float64 or int64, got"
                f" {getattr(array, 'dtype', type(array).__name__)}"
            )
        object.__setattr__(self, name, array)
        self.__dict__[_KEY] = {**self.__dict__.get(_KEY, {}), name: bool(persistent)}
        structure.changed()

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Array]]:
        """All buffers with their names, each once, by the first of its names."""
        seen = set()
        for path, module in cast("Module", self).named_modules(prefix):
            for name, array, _ in own(module):
                if id(array) not in seen:
                    seen.add(id(array))
                    yield (f"{path}.{name}" if path else name), array

    def buffers(self) -> Iterator[Array]:
        """All buffers, each once."""
        return (array for _, array in self.named_buffers())


def own(module: Any) -> Iterator[tuple[str, Array, bool]]:
    """The buffers of the module itself: name, array, whether `state_dict` has it."""
    for name, persistent in module.__dict__.get(_KEY, {}).items():
        array = module.__dict__.get(name)
        if array is not None:
            yield name, array, persistent


def floating(module: Any) -> Iterator[tuple[str, Array]]:
    """The buffers of floating numbers of the module and all within: they have the model's dtype."""
    return ((name, a) for name, a in module.named_buffers() if a.dtype.kind == "f")


def check_assignment(module: Any, name: str, value: Any) -> None:
    """A buffer may be taken away, but its array never replaced."""
    if name in module.__dict__.get(_KEY, ()) and value is not None:
        if value is module.__dict__.get(name):
            return
        raise TypeError(
            f"{type(module).__name__}: {name} is a buffer, got {type(value).__name__}:"
            f" write module.{name}[...] = value"
        )


def kept(module: "Module") -> list[tuple[Array, Array]]:
    """What training forwards change beside parameters, each array with a copy of it as it is now:
    buffers, and counters of calls, since what did not happen is not counted."""
    version = structure.version()
    seen = module.__dict__.get("_buffers_seen")
    if seen is None or seen[0] != version:
        calls = (part.__dict__.get("_calls") for part in module.modules())
        held = [*module.buffers(), *(array for array in calls if array is not None)]
        seen = module.__dict__["_buffers_seen"] = (version, held)
    return [(array, array.copy()) for array in seen[1]]


def put_back(before: list[tuple[Array, Array]]) -> None:
    """All of it as it was."""
    for array, value in before:
        array[...] = value


def guarded(module: "Module", function: Callable[..., _T], *inputs: Any) -> _T:
    """function(*inputs); where it raises, the buffers of all layers are as they were before."""
    before = kept(module)
    if not before:
        return function(*inputs)
    try:
        return function(*inputs)
    except BaseException:
        put_back(before)
        raise
