"""A parameter: what training changes, and the gradient by which it does."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nncore.nn import hints, structure
from nncore.nn.arrays import Array, element_type, element_type_of, value, zeros


class Parameter:
    """An array that is trained, with its gradient.

    `data` and `grad` are C-ordered arrays, aligned to 64 bytes, of equal shape and dtype. They
    stay the same objects for the parameter's life: loading, initialisation and optimisers write
    into them, so that views (``torch.from_numpy(p.data)``, a slice) stay valid. Change them in
    place: ``p.data[...] = x``, ``p.data *= 0.5``. Backward passes add to `grad`; `zero_grad`
    clears it.

    Parameters
    ----------
    data : array_like
        The initial value; copied. float32 and float64 arrays keep their dtype, lists of floats
        become float32.
    requires_grad : bool
        False freezes the parameter: backward leaves `grad` alone, optimisers leave `data` alone.
    dtype : dtype, optional
        float32 or float64, where it shall not be that of `data`.

    Raises
    ------
    TypeError
        `data` is not of floating numbers.
    """

    __slots__ = ("__weakref__", "_data", "_grad", "_requires_grad", "_seen")

    _data: Array
    _grad: Array
    _requires_grad: bool
    _seen: bool  # somebody may hold the array of the gradient

    def __init__(
        self, data: Any, requires_grad: bool = True, *, dtype: DTypeLike | None = None
    ) -> None:
        wanted = element_type_of(data) if dtype is None else element_type(dtype, "Parameter")
        self._set(value(data, wanted, "Parameter", "data"), requires_grad)

    @classmethod
    def zeros(cls, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> "Parameter":
        """A parameter of zeros: what layers begin with before they are initialised."""
        parameter = cls.__new__(cls)
        wanted = element_type(dtype, "Parameter")
        parameter._data = zeros(shape, wanted, "Parameter")
        parameter._grad = zeros(shape, wanted, "Parameter")
        parameter._requires_grad = True
        parameter._seen = False
        return parameter

    def _set(self, data: Array, requires_grad: bool) -> None:
        self._data = zeros(data.shape, data.dtype, "Parameter")
        self._data[...] = data
        self._grad = zeros(data.shape, data.dtype, "Parameter")
        self._requires_grad = bool(requires_grad)
        self._seen = False

    @property
    def data(self) -> Array:
        """The value; the same array for life."""
        return self._data

    @data.setter
    def data(self, value: Array) -> None:
        self._same("data", value, self._data)

    @property
    def grad(self) -> Array:
        """The sum of all backward passes since it was cleared; the same array for life.

        Unlike PyTorch's it is never None: zeros before the first backward, and for a frozen
        parameter.
        """
        self._seen = True
        structure.gradient_taken()
        return self._grad

    @grad.setter
    def grad(self, value: Array) -> None:
        self._same("grad", value, self._grad)

    def _same(self, name: str, value: Any, own: Array) -> None:
        # `p.data -= x` ends in an assignment of the same array; any other array would break the
        # promise.
        if value is own:
            return
        if value is None:
            raise AttributeError(f"Parameter.{name} is always an array: write p.zero_grad()")
        raise AttributeError(f"Parameter.{name} stays the same array: write p.{name}[...] = value")

    @property
    def requires_grad(self) -> bool:
        """Whether it is trained."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value != self._requires_grad:
            self._requires_grad = bool(value)
            structure.changed()

    def requires_grad_(self, requires_grad: bool = True) -> "Parameter":
        """Set `requires_grad`; returns the parameter."""
        self.requires_grad = requires_grad
        return self

    @property
    def target(self) -> Array | None:
        """Where a backward pass adds to: `grad`, or None when frozen."""
        structure.gradient_taken()
        return self._grad if self._requires_grad else None

    def zero_grad(self) -> None:
        """Fill the gradient with zeros."""
        self._grad.fill(0)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._data.dtype

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self._data, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        frozen = "" if self._requires_grad else ", requires_grad=False"
        return f"Parameter({self._data!r}{frozen})"

    def __getattr__(self, name: str) -> Any:
        hints.missing(self, name, hints.PARAMETER)

    # Copies in memory take the value and leave the gradient, as PyTorch's do.

    def __getstate__(self) -> tuple[Array, bool]:
        return self._data, self._requires_grad

    def __setstate__(self, state: tuple[Array, bool]) -> None:
        self._set(*state)


class ParameterIterator(Iterator[Parameter]):
    """The parameters of a module, one after the other; `named()` gives them with their names.

    Optimisers take the names from it, to say which parameter they complain about.
    """

    def __init__(self, pairs: Iterator[tuple[str, Parameter]]) -> None:
        self._pairs = pairs

    def __next__(self) -> Parameter:
        return next(self._pairs)[1]

    def named(self) -> Iterator[tuple[str, Parameter]]:
        """The rest of them as (name, parameter)."""
        return self._pairs
