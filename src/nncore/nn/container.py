"""Containers: modules that hold modules."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, SupportsIndex, overload

from nncore.nn.arrays import Array
from nncore.nn.module import Module, join
from nncore.nn.summary import Row


class Sequential(Module):
    """Layers one after the other: y = f_n(... f_2(f_1(x))).

    Parameters
    ----------
    *layers : Module
        The layers, named "0", "1", ...; or one ordered mapping from names to layers. The same
        layer may stand in several places: its gradients add up.

    Raises
    ------
    TypeError
        Something in it is no Module.

    Notes
    -----
    Shapes are those of the layers. Supports ``len``, iteration, indexing and slicing (a slice is
    a new Sequential of the same layers), assignment and deletion by index, `append`, `extend`,
    `insert`. Without layers it returns its input.
    """

    def __init__(self, *layers: Any) -> None:
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            self._put(layers[0].items())
        else:
            self._put(_numbered(layers))

    def _put(self, named: Iterable[tuple[str, Any]]) -> None:
        """Set the layers; nothing changes unless all of them are modules under usable names."""
        named = list(named)
        for name, layer in named:
            if not isinstance(layer, Module):
                hint = ": write ReLU(), an object" if isinstance(layer, type) else ""
                raise TypeError(
                    f"Sequential: layer {name} must be a Module, got"
                    f" {getattr(layer, '__name__', type(layer).__name__)}{hint}"
                )
            if not isinstance(name, str):
                raise TypeError(f"Sequential: the name of a layer must be a string, got {name!r}")
            # A name is an attribute and a part of the keys of state_dict.
            if not name or "." in name or hasattr(Module, name) or name.startswith("_"):
                raise ValueError(f"Sequential: a layer cannot be named {name!r}")
        for name in [name for name, _ in self._own(Module)]:
            delattr(self, name)
        for name, layer in named:
            setattr(self, name, layer)

    # ---- the mathematics

    @property
    def _reads_indices(self) -> bool:
        """Whether x are whole numbers: what the first layer wants of it."""
        return getattr(next(iter(self._layers), None), "_reads_indices", False)

    def _input(self, x: Any) -> Array:
        return self._layers[0]._input(x) if self._reads_indices else super()._input(x)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        record = []
        where = ""
        try:
            for name, layer in self._own(Module):
                where = name
                x, saved = layer._forward(x)
                record.append((layer, saved))
        except Exception as error:
            self._locate(error, where)
            raise
        return x, record

    def _forward_only(self, x: Array) -> Array:
        where = ""
        try:
            for name, layer in self._own(Module):
                where = name
                x = layer._forward_only(x)
        except Exception as error:
            self._locate(error, where)
            raise
        return x

    def _backward(self, saved: Any, grad: Array) -> Array:
        for layer, own in reversed(saved):
            grad = layer._backward(own, grad)
        return grad

    def _backward_last(self, saved: Any, grad: Array) -> None:
        # Below the first layer that is trained nobody needs a gradient.
        last = next((i for i, (layer, _) in enumerate(saved) if layer._is_trained()), None)
        if last is None:
            return
        for layer, own in reversed(saved[last + 1 :]):
            grad = layer._backward(own, grad)
        layer, own = saved[last]
        layer._backward_last(own, grad)

    def _locate(self, error: Exception, name: str) -> None:
        """Which of several equal layers complained, as a note under the message."""
        error.add_note(f"in layer {name} of {type(self).__name__}")

    def _rows(self, name: str, x: Array) -> tuple[list[Row], Array]:
        rows = []
        for own, layer in self._own(Module):
            more, x = layer._rows(join(name, own), x)
            rows += more
        return rows, x

    # ---- the list of layers

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
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: Any) -> Module:
        named = list(self._own(Module))
        if isinstance(index, slice):
            return Sequential(dict(named[index]))
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
        self._put(self._renumbered([*self._own(Module), *_numbered(layers)]))
        return self

    def insert(self, index: int, layer: Module) -> Self:
        """Put a layer before the one at `index`; returns the container."""
        named: list[tuple[str, Any]] = list(self._own(Module))
        named.insert(index, (str(len(named)), layer))
        self._put(self._renumbered(named))
        return self

    def _renumbered(self, named: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Numbers follow the places; names that were given stay."""
        return [
            (str(at) if name.isdecimal() else name, layer) for at, (name, layer) in enumerate(named)
        ]

    def _at(self, index: SupportsIndex) -> int:
        if not hasattr(index, "__index__"):
            raise TypeError(f"Sequential: index must be an integer or a slice, got {index!r}")
        count = len(self)
        at = index.__index__()
        if not -count <= at < count:
            raise IndexError(f"Sequential: index {at} is out of range for {count} layers")
        return at % count


def _numbered(layers: Iterable[Any]) -> list[tuple[str, Any]]:
    return [(str(at), layer) for at, layer in enumerate(layers)]
