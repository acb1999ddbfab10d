"""Containers: modules that hold modules."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from nncore.nn.arrays import Array
from nncore.nn.listed import Listed, check_name, numbered
from nncore.nn.module import Module
from nncore.nn.parts import join
from nncore.nn.summary import Row
from nncore.nn.tracing import Value


class Sequential(Listed):
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

    _inlined = True

    def _part(self, named: list[tuple[str, Module]]) -> "Sequential":
        return Sequential(dict(named))

    def forward(self, x: Any, *more: Any) -> Any:
        """The same as calling the module."""
        if not isinstance(x, Value):
            return self(x, *more)
        for _, layer in self._own(Module):
            x = layer(x)
        return x

    def _takes_indices(self, x: Any) -> bool:
        first = next(self._own(Module), None)
        return first is not None and first[1]._takes_indices(x)

    def _input(self, x: Any) -> Array:
        return self._layers[0]._input(x) if self._takes_indices(x) else super()._input(x)

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


class ModuleList(Listed):
    """Modules as a list, for a `forward` that says what becomes of them.

    Parameters
    ----------
    modules : iterable of Module, optional
        They are named by their places: "0", "1", ...

    Raises
    ------
    TypeError
        Something in it is no Module.

    Notes
    -----
    The interface of a Python list: ``len``, iteration, indexing, slicing (a new list of the same
    modules), assignment and deletion by index, ``+``, `append`, `extend`, `insert`, `pop`. It
    computes nothing itself.
    """

    _noun = "module"

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self._put(numbered(() if modules is None else modules))

    def _part(self, named: list[tuple[str, Module]]) -> "ModuleList":
        return ModuleList(module for _, module in named)

    def __add__(self, other: Iterable[Module]) -> "ModuleList":
        return ModuleList([*self, *other])

    def _forward(self, *x: Any, **_: Any) -> tuple[Any, Any]:
        raise NotImplementedError(_HOLDS.format("ModuleList"))


class ModuleDict(Module):
    """Modules by name, for a `forward` that says what becomes of them.

    Parameters
    ----------
    modules : mapping of str to Module, optional
        A name is an attribute and a part of the keys of `state_dict`: no dots, and none that a
        Module has already.

    Raises
    ------
    TypeError, ValueError
        Something in it is no Module; a name cannot be one.

    Notes
    -----
    The interface of a Python dict: ``len``, ``in``, iteration over the names, access, assignment
    and deletion by name, `keys`, `values`, `items`, `update`, `pop`. It computes nothing itself.
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        self.update({} if modules is None else modules)

    def update(self, modules: Mapping[str, Module]) -> Self:
        """Set several modules, all or none of them; returns the container."""
        for name, module in modules.items():
            if not isinstance(module, Module):
                raise TypeError(f"ModuleDict: {name} must be a Module, got {type(module).__name__}")
            check_name(self, name, "module")
        for name, module in modules.items():
            setattr(self, name, module)
        return self

    def pop(self, name: str) -> Module:
        """Take out the module of this name; returns it."""
        module = self[name]
        del self[name]
        return module

    def keys(self) -> Iterable[str]:
        """The names."""
        return [name for name, _ in self._own(Module)]

    def values(self) -> Iterable[Module]:
        """The modules."""
        return [module for _, module in self._own(Module)]

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and modules."""
        return list(self._own(Module))

    def __getitem__(self, name: str) -> Module:
        module = self.__dict__.get(name)
        if not isinstance(module, Module):
            raise KeyError(name)
        return module

    def __setitem__(self, name: str, module: Module) -> None:
        self.update({name: module})

    def __delitem__(self, name: str) -> None:
        self[name]  # KeyError where there is none
        delattr(self, name)

    def __len__(self) -> int:
        return len(list(self.keys()))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and isinstance(self.__dict__.get(name), Module)

    def _forward(self, *x: Any, **_: Any) -> tuple[Any, Any]:
        raise NotImplementedError(_HOLDS.format("ModuleDict"))


_HOLDS = "{} holds modules and computes nothing: call them, in the forward of a Module that has it"
