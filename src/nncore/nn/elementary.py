"""What `forward` of a composed module may do with values besides calling layers with them.

Each is an operation of the engine, described as a layer is: the eager run and the compiled step
follow from the description.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore._core import engine
from nncore.nn.arguments import index
from nncore.nn.arrays import Array
from nncore.nn.parameter import Parameter

if TYPE_CHECKING:
    from nncore.nn.operation import Operation
    from nncore.nn.tracing import Value

Shape = tuple[int, ...]

_SIGNS = {"add": "+", "subtract": "-", "multiply": "*"}


class Elementary:
    """One step of `forward` that is no layer; behaves to a tape as a layer does."""

    __slots__ = ("held", "kind", "label", "numbers", "shape", "sizes", "window")

    def __init__(
        self,
        kind: str,
        label: str,
        *,
        shape: Shape | None = None,
        numbers: tuple[float, float] = (0.0, 0.0),
        window: tuple[int, int] = (1, 1),
        held: Parameter | Array | None = None,
        sizes: Shape = (),
    ) -> None:
        self.kind, self.label = kind, label
        self.shape = shape  # of one sample of y; None: that of x
        self.numbers = numbers
        self.window = window  # of a mean
        self.held, self.sizes = held, sizes  # what it reads beside values, with axes as x has

    def __eq__(self, other: object) -> bool:
        """Whether it does the same."""
        if not isinstance(other, Elementary):
            return NotImplemented
        mine = self.kind, self.shape, self.numbers, self.window
        theirs = other.kind, other.shape, other.numbers, other.window
        return mine == theirs and self.held is other.held

    __hash__ = None  # type: ignore[assignment]

    def parameters(self) -> Iterator[Parameter]:
        """The parameter that it reads."""
        if isinstance(self.held, Parameter):
            yield self.held

    def _is_trained(self) -> bool:
        return isinstance(self.held, Parameter) and self.held.requires_grad

    def _operation(self, shapes: Sequence[Shape], dtype: np.dtype[Any]) -> Operation:
        from nncore.nn.operation import Operation  # which needs Module, which needs this file

        x_shape = shapes[0]
        y_shape = x_shape if self.shape is None else (x_shape[0], *self.shape)
        operation = Operation(
            self.label,
            self.kind,
            x_shape,
            y_shape,
            tuple(shapes[1:]),
            kernel_size=self.window,
            stride=self.window,
            parameter=self.numbers,
        )
        if isinstance(self.held, Parameter):
            operation.weight = self.held.data.reshape(self.sizes)
            if self.held.target is not None:
                operation.weight_grad = self.held.target.reshape(self.sizes)
            operation.parameters.append(self.held)
        elif self.held is not None:
            operation.weight = np.require(self.held, dtype, ["C", "A"]).reshape(self.sizes)
        return operation

    def _input(self, x: Array) -> Array:
        if x.dtype.kind != "f":
            raise TypeError(f"{self.label} of x of dtype {x.dtype}, expected floating numbers")
        return x

    def _forward(self, *x: Array) -> tuple[Array, Any]:
        operation = self._operation([each.shape for each in x], x[0].dtype)
        y, kept = engine.operation_forward(operation, *x)
        return y, (operation, kept)

    def _forward_only(self, *x: Array) -> Array:
        operation = self._operation([each.shape for each in x], x[0].dtype)
        return engine.operation_forward(operation, *x, save=False)[0]

    def _backward(self, saved: Any, grad: Array) -> Any:
        operation, kept = saved
        dx, more = engine.operation_backward(operation, kept, grad)
        return (dx, *more) if more else dx

    def _backward_last(self, saved: Any, grad: Array) -> None:
        operation, kept = saved
        if operation.weight_grad is not None:
            engine.operation_backward(operation, kept, grad, input_grad=False)


def total(a: Array, b: Array) -> Array:
    """The sum of two gradients of one value."""
    return a + b


# ---- arithmetic


def arithmetic(kind: str, x: Value, other: Any) -> Value:
    """x + other, x - other or x * other."""
    if _is_value(other):
        return _of_two(kind, x, other)
    if isinstance(other, (Parameter, np.ndarray)) and np.shape(other) != ():
        return _with_array(kind, x, other)
    if isinstance(other, Parameter):
        return _with_array(kind, x, other)
    if isinstance(other, np.ndarray):
        other = other.item()
    if isinstance(other, bool) or not isinstance(other, Real):
        raise TypeError(
            f"{x.tape.here}: x {_SIGNS[kind]} {type(other).__name__}: expected a value, a"
            " Parameter, an array or a number"
        )
    number = float(other)
    if kind == "multiply":
        return scale(x, number, 0.0)
    return scale(x, 1.0, -number if kind == "subtract" else number)


def scale(x: Value, factor: float, summand: float) -> Value:
    """factor x + summand."""
    step = Elementary(
        "scale", "* number" if summand == 0 else "+ number", numbers=(factor, summand)
    )
    return _step(x, step)


def _of_two(kind: str, x: Value, other: Value) -> Value:
    shape = _broadcast(x.shape, other.shape) if x.ndim == other.ndim else None
    if shape == x.shape:
        _check_lie(x, kind, other.shape, other.shape)
        return _step(x, Elementary(kind, _SIGNS[kind]), other)
    if shape is None or shape != other.shape:
        raise ValueError(
            f"{x.tape.here}: x {_SIGNS[kind]} y of shapes {x.shape} and {other.shape}: as many"
            " axes expected, and one of the two with sizes of 1 where they differ"
        )
    _check_lie(other, kind, x.shape, x.shape)
    if kind == "subtract":
        kind, x = "add", -x
    return _step(other, Elementary(kind, _SIGNS[kind]), x)


def _with_array(kind: str, x: Value, other: Parameter | Array) -> Value:
    name = "Parameter" if isinstance(other, Parameter) else "array"
    if not isinstance(other, Parameter) and other.dtype.kind != "f":
        raise TypeError(
            f"{x.tape.here}: x {_SIGNS[kind]} array of dtype {other.dtype}, expected floating"
            " numbers"
        )
    if isinstance(other, Parameter) and other.dtype != x.dtype:
        raise TypeError(
            f"{x.tape.here}: x {_SIGNS[kind]} Parameter of dtype {other.dtype}, x has {x.dtype}"
        )
    sizes = (1,) * (x.ndim - other.ndim) + other.shape
    if len(sizes) != x.ndim or sizes[0] != 1 or _broadcast(x.shape, sizes) != x.shape:
        raise ValueError(
            f"{x.tape.here}: x {_SIGNS[kind]} {name} of shape {other.shape}: it does not spread"
            f" over x of shape {x.shape}, the same for each sample"
        )
    _check_lie(x, kind, other.shape, sizes)
    return _step(x, Elementary(kind, f"{_SIGNS[kind]} {name}", held=other, sizes=sizes))


def _check_lie(x: Value, kind: str, shape: Shape, sizes: Shape) -> None:
    """The engine spreads over axes that lie side by side in memory, channels last in images."""
    same = [a == b for a, b in zip(x.shape, sizes, strict=True)]
    if x.ndim == 4:
        pixels = x.shape[2] * x.shape[3] == 1 or same[2] == same[3] or 1 in x.shape[2:]
        fits = pixels and (same[0] or same[1] or not (same[2] and same[3]) or x.shape[1] == 1)
    else:
        fits = all(same[1:]) or math.prod(sizes[1:]) == 1
    if not fits:
        raise ValueError(
            f"{x.tape.here}: x {_SIGNS[kind]} y of shapes {x.shape} and {shape}: of images the"
            " other may have sizes of 1 for the channels, or for height and width together; of"
            " anything else it is whole or has one number a sample"
        )


def _broadcast(left: Shape, right: Shape) -> Shape | None:
    """NumPy's rule for as many axes; the batches are equal or one of them is 1."""
    sizes = []
    for a, b in zip(left, right, strict=True):
        if a != b and 1 not in (a, b):
            return None
        sizes.append(b if a == 1 else a)
    return tuple(sizes)


# ---- shapes


def reshape(x: Value, shape: Sequence[Any]) -> Value:
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    here = f"{x.tape.here}: x.reshape"
    sizes = [index(here, "shape", size) for size in shape]
    wanted = f"{here}{tuple(sizes)} for x of shape {x.shape}"
    if not sizes or sizes[0] not in (x.shape[0], -1):
        raise ValueError(f"{wanted}: the first size must be that of the batch")
    own = sizes[1:]
    count = math.prod(x.shape[1:])
    if -1 in own:
        known = math.prod(size for size in own if size != -1)
        if known == 0 or count % known or own.count(-1) > 1 or sizes[0] == -1 != x.shape[0]:
            raise ValueError(f"{wanted}: -1 cannot stand for one size")
        own[own.index(-1)] = count // known
    if math.prod(own) != count or min(own, default=0) < 0:
        raise ValueError(f"{wanted}: a sample has {count} numbers")
    return _step(x, Elementary("reshape", "reshape", shape=tuple(own)))


def same(x: Value) -> Value:
    """A step that changes nothing."""
    return _step(x, Elementary("reshape", "same", shape=x.shape[1:]))


def flatten(x: Value, start_dim: int, end_dim: int) -> Value:
    start, end = _axis(x, "flatten", start_dim), _axis(x, "flatten", end_dim)
    if start > end:
        raise ValueError(
            f"{x.tape.here}: x.flatten({start_dim}, {end_dim}) for x of shape {x.shape}: the first"
            " axis comes after the last"
        )
    joined = math.prod(x.shape[start : end + 1])
    return reshape(x, (x.shape[0], *x.shape[1:start], joined, *x.shape[end + 1 :]))


def unflatten(x: Value, dim: int, sizes: Sequence[int]) -> Value:
    axis = _axis(x, "unflatten", dim)
    own = [index(f"{x.tape.here}: x.unflatten", "sizes", size) for size in sizes]
    if own.count(-1) == 1:
        known = math.prod(size for size in own if size != -1)
        if known > 0 and x.shape[axis] % known == 0:
            own[own.index(-1)] = x.shape[axis] // known
    if math.prod(own) != x.shape[axis] or min(own, default=0) < 0:
        raise ValueError(
            f"{x.tape.here}: x.unflatten({dim}, {tuple(sizes)}) for x of shape {x.shape}: the sizes"
            f" must make {x.shape[axis]}"
        )
    return reshape(x, (x.shape[0], *x.shape[1:axis], *own, *x.shape[axis + 1 :]))


def mean(x: Value, dim: Any, keepdim: bool, **numpy: Any) -> Value:
    unknown = numpy.keys() - {"axis", "keepdims"}
    if unknown:
        raise TypeError(f"{x.tape.here}: x.mean has no argument {sorted(unknown)[0]}")
    dim, keepdim = numpy.get("axis", dim), bool(numpy.get("keepdims", keepdim))
    if dim is None:
        raise ValueError(
            f"{x.tape.here}: x.mean() would join the samples of the batch: name the axes,"
            " x.mean((2, 3))"
        )
    axes = sorted(_axis(x, "mean", each) for each in (dim if np.iterable(dim) else (dim,)))
    if not axes or len(set(axes)) < len(axes):
        raise ValueError(f"{x.tape.here}: x.mean needs different axes, got {dim}")
    if math.prod(x.shape[axis] for axis in axes) == 0:
        raise ValueError(f"{x.tape.here}: x.mean over no numbers, x has shape {x.shape}")
    if x.ndim == 4 and axes[0] >= 2:
        height, width = (x.shape[axis] if axis in axes else 1 for axis in (2, 3))
        x = _pooled(x, (height, width))
    else:
        for start, end in reversed(_runs(axes)):
            sizes = x.shape[1:start], x.shape[start:end], x.shape[end:]
            outer, inner, rest = map(math.prod, sizes)
            x = _pooled(_shaped(x, (outer, inner, rest)), (inner, 1))
            x = _shaped(x, (*sizes[0], *[1] * (end - start), *sizes[2]))
    return (
        x
        if keepdim
        else _shaped(x, tuple(size for at, size in enumerate(x.shape) if at not in axes)[1:])
    )


def _pooled(x: Value, window: tuple[int, int]) -> Value:
    """The means of images in windows that do not overlap: an average pooling."""
    shape = x.shape[1], x.shape[2] // window[0], x.shape[3] // window[1]
    return _step(x, Elementary("avgpool2d", "mean", shape=shape, window=window))


def _shaped(x: Value, shape: Shape) -> Value:
    """Reshaped to samples of `shape`, where they are not."""
    return x if x.shape[1:] == shape else _step(x, Elementary("reshape", "reshape", shape=shape))


def _runs(axes: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending numbers as ranges (first, one past the last)."""
    runs: list[tuple[int, int]] = []
    for axis in axes:
        if runs and runs[-1][1] == axis:
            runs[-1] = runs[-1][0], axis + 1
        else:
            runs.append((axis, axis + 1))
    return runs


def concatenate(values: Sequence[Any], axis: int = 1) -> Any:
    """Values one after the other along axis 1, the channels of images or the features of rows.

    For the `forward` of a composed module; arrays are given to ``np.concatenate``.

    Parameters
    ----------
    values : sequence
        Of equal shapes but for axis 1.
    axis : int
        1.

    Raises
    ------
    TypeError, ValueError
        `values` is empty or mixes values with something else; shapes or axis do not fit.
    """
    values = list(values)
    first = next((each for each in values if _is_value(each)), None)
    if first is None:
        return np.concatenate(values, axis)
    here = f"{first.tape.here}: concatenate"
    for each in values:
        if not _is_value(each):
            raise TypeError(f"{here}: expected values alone, got {type(each).__name__}")
    if _axis(first, "concatenate", axis) != 1:
        raise ValueError(f"{here}: axis {axis}, only along axis 1, the channels or features")
    for each in values:
        if each.shape[2:] != first.shape[2:] or each.ndim != first.ndim:
            raise ValueError(
                f"{here}: shapes {[each.shape for each in values]} differ outside of axis 1"
            )
    # As many at a time as the engine takes.
    while len(values) > 1:
        some, values = values[:_MOST], values[_MOST:]
        shape = (sum(each.shape[1] for each in some), *first.shape[2:])
        step = Elementary("concatenate", "concatenate", shape=shape)
        values.insert(0, _step(some[0], step, *some[1:]))
    return values[0]


_MOST = 4


def _axis(x: Value, here: str, axis: Any) -> int:
    number = index(f"{x.tape.here}: x.{here}", "axis", axis)
    if not -x.ndim <= number < x.ndim:
        raise ValueError(
            f"{x.tape.here}: x.{here}: axis {number} is not one of x of shape {x.shape}"
        )
    if number % x.ndim == 0:
        raise ValueError(f"{x.tape.here}: x.{here}: axis {number} is the batch, which stays")
    return number % x.ndim


def _is_value(each: Any) -> bool:
    return hasattr(type(each), "tape")


def _step(x: Value, step: Elementary, *more: Value) -> Value:
    for each in more:
        if each.tape is not x.tape:
            raise TypeError(f"{x.tape.here}: {step.label} with a value of another run of forward")
    return x.tape.leaf(step, (x, *more))  # type: ignore[no-any-return]
