"""What stands for an array while the `forward` of a composed module runs, and who writes it down.

A module that only composes others says so by defining `forward`. It is run with `Value`s, which
know shape and dtype but give nobody their numbers: each layer that is called with one, and each
`+`, `-`, `*`, reshape or mean, is a step on the `Tape` the value belongs to. Three kinds of tape
make three things of the same `forward`: an eager run (composed.py), the rows of a summary
(composed.py) and the nodes of a compiled step (compiler/lowering.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from nncore.nn import elementary, hints
from nncore.nn.elementary import Elementary

if TYPE_CHECKING:
    from nncore.nn.module import Module

Shape = tuple[int, ...]

_OWN = "write a Module with _forward and _backward in NumPy for it (docs/composing.md)"
_UFUNCS = {np.add: "add", np.subtract: "subtract", np.multiply: "multiply"}


class Value:
    """An array that is not there yet: what `forward` of a composed module computes with.

    Supports ``+``, ``-``, ``*`` (with values, Parameters, arrays and numbers), `reshape`,
    `flatten`, `unflatten`, `mean`, and `nncore.concatenate`; layers are called with it. The first
    axis is the batch and stays as it is.
    """

    __slots__ = ("array", "dtype", "number", "shape", "tape")

    def __init__(
        self, tape: Tape, number: int, shape: Shape, dtype: np.dtype[Any], array: Any = None
    ) -> None:
        self.tape = tape
        self.number = number
        self.shape = shape
        self.dtype = dtype
        self.array = array

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __add__(self, other: Any) -> Value:
        return elementary.arithmetic("add", self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Value:
        return elementary.arithmetic("subtract", self, other)

    def __rsub__(self, other: Any) -> Value:
        return elementary.arithmetic("add", -self, other)

    def __mul__(self, other: Any) -> Value:
        return elementary.arithmetic("multiply", self, other)

    __rmul__ = __mul__

    def __neg__(self) -> Value:
        return elementary.scale(self, -1.0, 0.0)

    def __pos__(self) -> Value:
        return self

    def reshape(self, *shape: Any) -> Value:
        """The same numbers in row-major order; the first size must be that of the batch."""
        return elementary.reshape(self, shape)

    def flatten(self, start_dim: int = 1, end_dim: int = -1) -> Value:
        """The axes from `start_dim` to `end_dim` joined."""
        return elementary.flatten(self, start_dim, end_dim)

    def unflatten(self, dim: int, sizes: Sequence[int]) -> Value:
        """Axis `dim` as several, of `sizes`."""
        return elementary.unflatten(self, dim, sizes)

    def mean(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Value:
        """The mean over one axis or several, not the batch; NumPy's `axis`, `keepdims` too."""
        return elementary.mean(self, dim, keepdim, **numpy)

    def __repr__(self) -> str:
        return f"Value(shape={self.shape}, dtype={self.dtype})"

    __hash__ = object.__hash__

    # ---- what cannot be

    def _refuse(self, what: str, instead: str = _OWN) -> NoReturn:
        raise TypeError(f"{self.tape.here}: {what} of a traced value: {instead}")

    def _no_number(self, *_: Any) -> NoReturn:
        self._refuse(
            "forward asks for the numbers",
            "its control flow cannot depend on the data; what depends on them belongs in a Module"
            " with _forward and _backward (docs/composing.md)",
        )

    __bool__ = __float__ = __int__ = __index__ = __complex__ = _no_number
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _no_number
    __eq__ = __ne__ = _no_number

    def __truediv__(self, other: Any) -> NoReturn:
        self._refuse(
            "forward asks for the quotient", f"by a number c, write x * (1 / c); else {_OWN}"
        )

    __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __truediv__

    def __pow__(self, other: Any) -> NoReturn:
        self._refuse("forward asks for a power", f"a square is x * x; else {_OWN}")

    __rpow__ = __pow__

    def __matmul__(self, other: Any) -> NoReturn:
        self._refuse("forward asks for a product of matrices", f"use nn.Linear; else {_OWN}")

    __rmatmul__ = __matmul__

    def __getitem__(self, index: Any) -> NoReturn:
        self._refuse("forward asks for a part")

    def __iter__(self) -> NoReturn:
        self._refuse("forward asks for the parts")

    def __len__(self) -> NoReturn:
        self._refuse("forward asks for the length", "write x.shape[0]")

    def __abs__(self) -> NoReturn:
        self._refuse("forward asks for abs()")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        hint = hints.VALUE.get(name, _OWN)
        raise AttributeError(f"{self.tape.here}: a traced value has no {name}: {hint}")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse("forward makes a NumPy array")

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **keywords: Any) -> Value:
        # An array or a NumPy number on the left of +, - or * arrives here.
        kind = _UFUNCS.get(function)
        if kind is None or method != "__call__" or keywords or len(inputs) != 2:
            self._refuse(f"forward asks for np.{function.__name__}")
        left, right = inputs
        if isinstance(left, Value):
            return elementary.arithmetic(kind, left, right)
        return (
            self.__rsub__(left) if kind == "subtract" else elementary.arithmetic(kind, self, left)
        )

    def __array_function__(self, function: Any, *_: Any) -> NoReturn:
        name = function.__name__
        self._refuse(f"forward asks for np.{name}", hints.NUMPY.get(name, _OWN))


class Inherited:
    """A layer as the class computes it of which it is, with another `forward`, a subclass."""

    def __init__(self, module: Any, kind: Any) -> None:
        self.module, self.kind = module, kind
        for name in ("_forward", "_forward_only", "_backward", "_backward_last", "_rows"):
            setattr(self, name, getattr(kind, name).__get__(module))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Inherited):
            return NotImplemented
        return self.module is other.module and self.kind is other.kind

    __hash__ = None  # type: ignore[assignment]

    def _is_trained(self) -> bool:
        return any(parameter.requires_grad for parameter in self.module.parameters())


class Tape:
    """Writes down what `forward` does; subclasses say what becomes of a step, in `leaf`."""

    def __init__(self, root: Module) -> None:
        self.root = root
        self.running = root  # whose forward it is
        self.count = 0  # values so far
        self._names: dict[int, str] = {}

    @property
    def here(self) -> str:
        """Who complains."""
        return type(self.running).__name__

    def new(self, shape: Shape, dtype: np.dtype[Any], array: Any = None) -> Value:
        """The next value."""
        value = Value(self, self.count, shape, dtype, array)
        self.count += 1
        return value

    def call(self, module: Module, inputs: tuple[Any, ...]) -> Any:
        """A module called with values: its own steps where it is composed, else one step."""
        if len(inputs) > 1:  # the first is of this tape, which was called for that
            for at, each in enumerate(inputs):
                if not isinstance(each, Value) or each.tape is not self:
                    raise TypeError(
                        f"{self.here}: {type(module).__name__} is called with {_described(each)} as"
                        f" input {at + 1}, expected a value of this very run of forward"
                    )
        # A module with hooks is one step, so that they see what goes in and what comes out.
        if module._inlined and "_hooks" not in module.__dict__:
            return self._inline(module, inputs)
        return self.leaf(module, inputs)

    def _inline(self, module: Module, inputs: tuple[Value, ...]) -> Any:
        outside, self.running = self.running, module
        try:
            return module.forward(*inputs)
        except Exception as error:
            if module is not self.root:
                self.locate(error, module)
            raise
        finally:
            self.running = outside

    def leaf(self, step: Module | Elementary, inputs: tuple[Value, ...]) -> Any:
        """One step: its output, or a tuple of them."""
        raise NotImplementedError

    def locate(self, error: Exception, step: Any) -> None:
        """Which of several equal layers complained, as a note under the message."""
        note = f"in layer {self.name(step)} of {type(self.root).__name__}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)

    def name(self, module: Any) -> str:
        """The qualified name of a module, the first of them."""
        module = module.module if isinstance(module, Inherited) else module
        if not self._names:
            self._names = {id(each): name for name, each in self.root.named_modules()}
        return self._names.get(id(module), "?")

    def run(self, inputs: tuple[Value, ...]) -> tuple[tuple[Value, ...], bool]:
        """The outputs of the root for these values, and whether they came as a tuple.

        Each is there once and none is an input: what is returned twice, or as it came, passes
        through a step that changes nothing.
        """
        inlined = self.root._inlined
        returned = self._inline(self.root, inputs) if inlined else self.leaf(self.root, inputs)
        several = isinstance(returned, (tuple, list))
        given = tuple(returned) if several else (returned,)
        if not given:
            raise TypeError(f"{self.here}: forward returned an empty {type(returned).__name__}")
        taken = {value.number for value in inputs}
        outputs = []
        for each in given:
            if not isinstance(each, Value) or each.tape is not self:
                raise TypeError(
                    f"{self.here}: forward returned {_described(each)}, expected what it computes"
                    " from its inputs, or a tuple of such values"
                )
            output = elementary.same(each) if each.number in taken else each
            taken.add(output.number)
            outputs.append(output)
        return tuple(outputs), several


def _described(each: Any) -> str:
    if isinstance(each, Value):
        return "a value of another run"
    return "None" if each is None else f"a {type(each).__name__}"
