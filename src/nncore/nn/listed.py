"""Modules in a row: the list that Sequential, ModuleList and Concat are."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, SupportsIndex, overload

from nncore.nn.module import Module


class Listed(Module):
    """Modules under names that are their places, "0", "1", ..., or were given."""

    _noun = "layer"  # what messages call one of them

    def __init__(self, *layers: Any) -> None:
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            self._put(layers[0].items())
        else:
            self._put(numbered(layers))

    def _put(self, named: Iterable[tuple[str, Any]]) -> None:
        """Set the layers; nothing changes unless all of them are modules under usable names."""
        named = list(named)
        for name, layer in named:
            if not isinstance(layer, Module):
                hint = ": write ReLU(), an object" if isinstance(layer, type) else ""
                raise TypeError(
                    f"{type(self).__name__}: {self._noun} {name} must be a Module, got"
                    f" {getattr(layer, '__name__', type(layer).__name__)}{hint}"
                )
            check_name(self, name, self._noun)
        for name in [name for name, _ in self._own(Module)]:
            delattr(self, name)
        for name, layer in named:
            setattr(self, name, layer)

    @property
    def _layers(self) -> list[Module]:
        return [layer for _, layer in self._own(Module)]

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> "Listed": ...
    def __getitem__(self, index: Any) -> Module:
        named = list(self._own(Module))
        if isinstance(index, slice):
            return self._part(named[index])
        return named[self._at(index)][1]  # type: ignore[no-any-return]

    def __setitem__(self, index: SupportsIndex, layer: Module) -> None:
        named = list(self._own(Module))
        at = self._at(index)
        named[at] = (named[at][0], layer)
        self._put(named)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        named = list(self._own(Module))
        del named[index if isinstance(index, slice) else self._at(index)]
        self._put(self._renumbered(named))

    def append(self, layer: Module) -> Self:
        """Add a layer at the end; returns the container."""
        return self.insert(len(self), layer)

    def extend(self, layers: Iterable[Module]) -> Self:
        """Add layers at the end; returns the container."""
        self._put(self._renumbered([*self._own(Module), *numbered(layers)]))
        return self

    def insert(self, index: int, layer: Module) -> Self:
        """Put a layer before the one at `index`; returns the container."""
        named: list[tuple[str, Any]] = list(self._own(Module))
        named.insert(index, (str(len(named)), layer))
        self._put(self._renumbered(named))
        return self

    def pop(self, index: SupportsIndex = -1) -> Module:
        """Take out the layer at `index`; returns it."""
        layer = self[index]
        del self[index]
        return layer

    def _part(self, named: list[tuple[str, Module]]) -> "Listed":
        """A new container of some of the layers."""
        return type(self)(dict(named))

    def _renumbered(self, named: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Numbers follow the places; names that were given stay."""
        return [
            (str(at) if name.isdecimal() else name, layer) for at, (name, layer) in enumerate(named)
        ]

    def _at(self, index: SupportsIndex) -> int:
        if not hasattr(index, "__index__"):
            raise TypeError(
                f"{type(self).__name__}: index must be an integer or a slice, got {index!r}"
            )
        count = len(self)
        at = index.__index__()
        if not -count <= at < count:
            raise IndexError(
                f"{type(self).__name__}: index {at} is out of range for {count} {self._noun}s"
            )
        return at % count


def numbered(layers: Iterable[Any]) -> list[tuple[str, Any]]:
    return [(str(at), layer) for at, layer in enumerate(layers)]


def check_name(owner: Module, name: Any, noun: str) -> None:
    """A name is an attribute and a part of the keys of state_dict: TypeError, ValueError."""
    layer = type(owner).__name__
    if not isinstance(name, str):
        raise TypeError(f"{layer}: the name of a {noun} must be a string, got {name!r}")
    if not name or "." in name or hasattr(type(owner), name) or name.startswith("_"):
        raise ValueError(f"{layer}: a {noun} cannot be named {name!r}")
