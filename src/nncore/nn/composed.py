"""Modules that compose others, run by hand: forward writes a tape, backward reads it in reverse."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from nncore.nn import elementary, parts, structure
from nncore.nn.arrays import Array
from nncore.nn.elementary import Elementary
from nncore.nn.summary import Row
from nncore.nn.tracing import Inherited, Shape, Tape, Value

if TYPE_CHECKING:
    from nncore.nn.module import Module


class Done(NamedTuple):
    """One step of a run: values by number, and what its backward needs."""

    step: Any  # a Module or an Elementary
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    several: bool  # whether it returned a tuple
    saved: Any

    def __str__(self) -> str:
        what = self.step
        name = f"'{what.label}'" if isinstance(what, Elementary) else type(what).__name__
        return f"{name} of {' and '.join(f'value {number}' for number in self.inputs)}"


class Trace:
    """What a run is compared with: the first one for samples of these shapes."""

    def __init__(self, keys: list[Any], outputs: tuple[int, ...], several: bool) -> None:
        self.keys, self.outputs, self.several = keys, outputs, several
        # Of each value, by whether the inputs' gradients are asked for: whether its own is.
        self.needed: dict[bool, list[bool]] = {}


_MOST_SHAPES = 32  # of which a module remembers its trace


class Run(Tape):
    """An eager run: each step is computed as soon as it is written down.

    It is the record for backward too, so it keeps no `Value`, which would keep its array.
    """

    def __init__(self, root: Module, save: bool) -> None:
        super().__init__(root)
        self.save = save
        self.steps: list[Done] = []
        self.keys: list[Any] = []  # of each step: equal where the same is done with the same
        self.trace: Trace | None = None
        self.kinds: list[tuple[Shape, np.dtype[Any]]] = []  # of each value
        self.inputs: tuple[int, ...] = ()  # values
        self.outputs: tuple[int, ...] = ()
        self.several = False
        self.version = structure.version()

    def forward(self, inputs: Sequence[Array]) -> Any:
        """What `forward` of the root returns, as arrays."""
        batches = [len(x) if x.ndim else -1 for x in inputs]
        if min(batches) < 0:
            raise ValueError(f"{self.here}: x is a single number, expected a batch")
        if len(set(batches)) > 1:
            raise ValueError(
                f"{self.here}: inputs of shapes {[x.shape for x in inputs]}, expected as many"
                " samples in each"
            )
        values = tuple(self._new(x) for x in inputs)
        outputs, self.several = self.run(values)
        self.inputs = tuple(value.number for value in values)
        self.outputs = tuple(value.number for value in outputs)
        self._compare()
        arrays = tuple(value.array for value in outputs)
        if self.save:
            read = {number for done in self.steps for number in done.inputs}
            for value in outputs:
                if value.number in read:
                    value.array.flags.writeable = False  # a later step may have kept it
        return arrays if self.several else arrays[0]

    def _new(self, array: Array) -> Value:
        shape, dtype = kind = array.shape, array.dtype
        self.kinds.append(kind)
        value = Value(self, self.count, shape, dtype, array)
        self.count += 1
        return value

    def leaf(self, step: Module | Elementary, inputs: tuple[Value, ...]) -> Any:
        arrays = [value.array for value in inputs]
        saved = None
        try:
            if any(value.dtype.kind in "iu" for value in inputs):
                arrays = [step._input(array) for array in arrays]
            if self.save:
                y, saved = step._forward(*arrays)
            else:
                y = step._forward_only(*arrays)
        except Exception as error:
            if not isinstance(step, Elementary):
                self.locate(error, step)
            raise
        read = (inputs[0].number,) if len(inputs) == 1 else tuple([v.number for v in inputs])
        if isinstance(y, np.ndarray):
            value = self._new(y)
            made: Any = value
            written, several = (value.number,), False
        else:
            made = self._made(y, step)
            written, several = tuple([value.number for value in made]), True
        self.steps.append(Done(step, read, written, several, saved))
        self.keys.append((step, read, written))
        return made

    def _made(self, y: Any, step: Any) -> tuple[Value, ...]:
        """The values of several outputs."""
        for each in y if isinstance(y, tuple) else (y,):
            if not isinstance(each, np.ndarray):
                raise TypeError(
                    f"{type(step).__name__}: _forward returned a {type(each).__name__} for y,"
                    " expected an array"
                )
        return tuple(self._new(each) for each in y)

    # ---- the trace

    def _compare(self) -> None:
        """Looks whether it went as the first run for samples of these shapes did.

        What the compiled step relies on is that a module does the same every time. A change of
        anybody's structure, modes among it, begins anew.
        """
        if self.version != structure.version():
            return
        kept: tuple[int, dict[Any, Trace]] | None = self.root.__dict__.get("_trace")
        if kept is None or kept[0] != self.version or len(kept[1]) > _MOST_SHAPES:
            kept = self.root.__dict__["_trace"] = (self.version, {})
        where = tuple([(shape[1:], dtype) for shape, dtype in self.kinds[: len(self.inputs)]])
        first = kept[1].get(where)
        if first is None:
            parts.heed_modes(self.root)
            first = kept[1].setdefault(where, Trace(self.keys, self.outputs, self.several))
        if (first.keys, first.outputs, first.several) != (self.keys, self.outputs, self.several):
            self._departed(first.keys, self.keys)
        self.trace = first

    def _departed(self, first: list[Any], trace: list[Any]) -> None:
        pairs = zip(first, trace, strict=False)
        common = min(len(first), len(trace))
        at = next((at for at, (old, new) in enumerate(pairs) if old != new), common)
        now = f"is {self.steps[at]}" if at < len(trace) else "is missing"
        raise RuntimeError(
            f"{self.here}: forward departs from its trace: step {at + 1} {now}, which the first run"
            " with such inputs was not: it must do the same in each run; what it does may depend on"
            " modes and attributes of modules, and not on data, random numbers or the batch's size"
        )

    # ---- backward

    def _needed(self, input_grad: bool) -> list[bool]:
        """Of each value: whether something asks for its gradient."""
        known = self.trace.needed if self.trace and self.version == structure.version() else {}
        needed = known.get(input_grad)
        if needed is None:
            kinds = self.kinds[: len(self.inputs)]
            needed = [input_grad and dtype.kind == "f" for _, dtype in kinds]
            for done in self.steps:
                learns = any(needed[number] for number in done.inputs) or done.step._is_trained()
                needed += [learns] * len(done.outputs)
            known[input_grad] = needed
        return needed

    def backward(self, grad: Any, input_grad: bool) -> tuple[Array, ...]:
        """The gradients of the inputs, if asked for; adds to those of parameters.

        Of a value that several steps read, the gradients are added in the order in which they
        come, from the last step to the first, as the compiled step does.
        """
        needed = self._needed(input_grad)
        gradients: list[Array | None] = [None] * self.count
        for number, given in zip(self.outputs, grad if self.several else (grad,), strict=True):
            gradients[number] = given
        for step, inputs, outputs, several, saved in reversed(self.steps):
            known = any(gradients[number] is not None for number in outputs)
            if not known or not needed[outputs[0]]:
                continue
            dy = tuple(self._whole(gradients, number) for number in outputs)
            for number in outputs:
                gradients[number] = None  # room for others
            if not any(needed[number] for number in inputs):
                step._backward_last(saved, dy if several else dy[0])
                continue
            dx = step._backward(saved, dy if several else dy[0])
            parts = dx if len(inputs) > 1 else (dx,)
            if not isinstance(parts, tuple) or len(parts) != len(inputs):
                raise TypeError(
                    f"{type(step).__name__}: _backward must return a tuple of {len(inputs)}"
                    " gradients, one for each input"
                )
            for number, part in zip(inputs, parts, strict=True):
                if needed[number]:
                    before = gradients[number]
                    gradients[number] = part if before is None else elementary.total(before, part)
        return tuple(
            self._whole(gradients, number)
            if self.kinds[number][1].kind == "f"
            else cast(Array, None)  # whole numbers have none
            for number in self.inputs
            if input_grad
        )

    def _whole(self, gradients: list[Array | None], number: int) -> Array:
        """The gradient of a value: zeros where nothing read it."""
        gradient = gradients[number]
        return np.zeros(*self.kinds[number]) if gradient is None else gradient


class Survey(Run):
    """A run for the table of layers: one row for each layer as it is used."""

    def __init__(self, root: Module, name: str) -> None:
        super().__init__(root, save=False)
        self.prefix = name
        self.rows: list[Row] = []

    def leaf(self, step: Module | Elementary, inputs: tuple[Value, ...]) -> Any:
        if isinstance(step, Elementary):
            y = super().leaf(step, inputs)
            name = self._named(self.running)
            self.rows.append(Row(name, step.label, y.shape[1:], step, 0))
            return y
        rows, y = step._rows(self._named(step), *(value.array for value in inputs))
        self.rows += rows
        return self._new(y) if isinstance(y, np.ndarray) else self._made(y, step)

    def _named(self, module: Module) -> str:
        own = self.name(module)
        return f"{self.prefix}.{own}" if self.prefix and own else self.prefix or own

    def _compare(self) -> None:
        pass


# ---- what a composed class has for its mathematics


def _forward(self: Module, *x: Array) -> tuple[Any, Run]:
    run = Run(self, save=True)
    return run.forward(x), run


def _forward_only(self: Module, *x: Array) -> Any:
    return Run(self, save=False).forward(x)


def _backward(self: Module, saved: Run, grad: Any) -> Any:
    gradients = saved.backward(grad, True)
    return gradients if len(gradients) > 1 else gradients[0]


def _backward_last(self: Module, saved: Run, grad: Any) -> None:
    saved.backward(grad, False)


def _rows(self: Module, name: str, *x: Array) -> tuple[list[Row], Any]:
    survey = Survey(self, name)
    y = survey.forward(x)
    return survey.rows, y


def settle(kind: Any) -> None:
    """Find out how a new class of modules computes.

    It is composed if the first of it and its bases that defines `forward` or `_forward` defines
    `forward` alone.
    """
    bases = kind.__mro__
    owner = next(each for each in bases if {"forward", "_forward"} & vars(each).keys())
    if owner is not kind and "_inlined" in vars(owner):
        return  # as its base
    kind._composed = "_forward" not in vars(owner)
    kind._inlined = kind._composed or vars(kind).get("_inlined", False)
    if kind._composed:
        for method in (_forward, _forward_only, _backward, _backward_last, _rows):
            setattr(kind, method.__name__, method)
        kind.forward = _called(kind.forward)


def _called(forward: Callable[..., Any]) -> Callable[..., Any]:
    """`forward` of a class, which given arrays is the same as calling the module."""

    @functools.wraps(forward)
    def either(self: Module, x: Any, *more: Any, **keywords: Any) -> Any:
        return forward(self, x, *more, **keywords) if isinstance(x, Value) else self(x, *more)

    return either


def inherited(module: Module) -> Any:
    """What ``super().forward(x)`` is in the `forward` of a module."""
    if not module._composed:
        return module
    kind: Any = next(each for each in type(module).__mro__ if not getattr(each, "_composed", True))
    return Inherited(module, kind)
