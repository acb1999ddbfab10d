"""Module: what all layers, containers and models are.

The mathematics of a layer is a pair of functions that keep no books, `_forward(x) -> (y, saved)`
and `_backward(saved, grad) -> dx`. Everything else (parameters and their names, modes, records,
copies) is here and written once.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import DTypeLike

from nncore._core import engine
from nncore.nn import buffers, composed, hints, init, parts, records, state, structure
from nncore.nn.arrays import Array, element_type, element_type_of
from nncore.nn.hooks import HOOKED, Hookable
from nncore.nn.parameter import Parameter, ParameterIterator
from nncore.nn.parts import join
from nncore.nn.recording import records_kept
from nncore.nn.summary import Row, Summary, summarise
from nncore.nn.tracing import Value

# What changes without a change of structure; set past __setattr__.
_BOOKS = (
    *("_records", "_dtype_seen", "_mean", "_operation_seen", "_trace", "_buffers_seen"),
    *("_reads_mode", *parts.KEPT),
    *HOOKED,
)


class Module(Hookable, buffers.Buffered):
    """The base of layers and models.

    Attributes that are `Parameter`s or `Module`s belong to the module; their names make up the
    keys of `state_dict`. A layer of one's own defines the pair, in NumPy or in whatever computes
    arrays::

        class Square(nn.Module):
            def _forward(self, x):
                return x * x, x              # y, and what backward needs

            def _backward(self, saved, grad):
                return 2 * saved * grad      # dx; gradients of parameters are added to theirs

    A module that only composes others defines `forward` instead, and needs no backward of its
    own::

        class Block(nn.Module):
            def __init__(self, body):
                self.body = body
                self.scale = nn.Parameter(np.ones(()))

            def forward(self, x):
                return self.body(x) * self.scale + x

    It may have several inputs and return a tuple; see docs/composing.md.

    **Records.** In `train()` mode (the default) a call remembers what `backward` needs, in
    `eval()` mode it does not: such a model remembers nothing and may be used from many threads at
    once. `nncore.recording` and `nncore.no_record` override. `backward` consumes its record. Only
    the module that was called keeps a record, not the ones inside it. Inputs are kept by
    reference: do not change `x` before `backward`; outputs that are kept are returned read-only.
    """

    training: bool = True
    _composed: bool = False  # whether its mathematics is that of the modules in its `forward`
    _inlined: bool = False  # whether, called with a traced value, it runs its `forward`
    _reads_mode: bool = False  # whether what it computes depends on `training`

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        composed.settle(cls)
        if "_reads_mode" not in vars(cls) and not cls.__module__.startswith("nncore."):
            cls._reads_mode = True  # it may

    # ---- the mathematics, defined by each layer. With several inputs: _forward(x1, x2, ...) and
    # a tuple of dx; with several outputs: tuples of y and of grad.

    def _forward(self, x: Array) -> tuple[Array, Any]:
        """y, and what `_backward` needs."""
        raise NotImplementedError(
            f"{type(self).__name__}: define _forward(x) -> (y, saved)"
            " and _backward(saved, grad) -> dx, or forward(x) that composes other modules"
        )

    def _backward(self, saved: Any, grad: Array) -> Array:
        """dx; adds the gradients of the parameters to theirs."""
        raise NotImplementedError(f"{type(self).__name__}: define _backward(saved, grad) -> dx")

    def _forward_only(self, *x: Any, **_: Any) -> Array:
        """y alone, where no backward follows: a layer that can save work by that overrides it."""
        return self._forward(*x)[0]

    def _backward_last(self, saved: Any, grad: Array) -> None:
        """The gradients of the parameters alone: a layer that can do without dx overrides it."""
        if self._is_trained():
            self._backward(saved, grad)

    def _reset(self, seed: int, name: str) -> None:
        """Initialise the own parameters from the streams of `seed` and the module's `name`."""

    def extra_repr(self) -> str:
        """What `repr` shows between the brackets."""
        return ""

    # ---- calling

    def __call__(self, x: Any, *more: Any) -> Any:
        """The output for the batch `x` (or several inputs), in the model's dtype."""
        if isinstance(x, Value):
            return x.tape.call(self, (x, *more))
        inputs = (self._input(x), *map(self._input, more)) if more else (self._input(x),)
        keep = records_kept(self, 1 if self.training else 0)
        if keep == 0:
            return buffers.guarded(self, self._forward_only, *inputs)
        kept = records.room(self, keep)
        y, saved = buffers.guarded(self, self._forward, *inputs)
        kept.append((saved, records.kind(y)))
        return y

    def forward(self, x: Any, *more: Any) -> Any:
        """The same as calling the module."""
        if isinstance(x, Value):  # super().forward(x), from the `forward` of a subclass
            return x.tape.leaf(composed.inherited(self), (x, *more))
        return self(x, *more)

    @overload
    def backward(self, grad: Any, input_grad: Literal[True]) -> Any: ...
    @overload
    def backward(self, grad: Any, input_grad: bool | None = None) -> Any | None: ...
    def backward(self, grad: Any, input_grad: bool | None = None) -> Any | None:
        """Back-propagate: add to the gradients of all parameters, for the last recorded forward.

        Parameters
        ----------
        grad : array_like
            dC/dy, of the shape of the output; of several outputs a tuple.
        input_grad : bool, optional
            Whether to compute dC/dx. By default a single layer does, as a link in a chain that is
            called by hand, and a module made of others does not: nobody asks a model for the
            gradient of its data.

        Returns
        -------
        array or None
            dC/dx, of the shape of x, of several inputs a tuple; None without `input_grad`.

        Raises
        ------
        RuntimeError
            There is no record: no forward since the last backward, or it was not recorded.
        TypeError, ValueError
            `grad` is not of floating numbers; it has another shape than the output. The record
            stays.
        """
        saved, grad = records.take(self, grad)
        if input_grad is None:
            input_grad = next(self.children(), None) is None
        if input_grad:
            return self._backward(saved, grad)
        self._backward_last(saved, grad)
        return None

    def _input(self, x: Any) -> Array:
        """`x` in the dtype of the parameters: the one place of conversion, at the root."""
        if self._takes_indices(x):
            return x  # type: ignore[no-any-return]
        return engine.floating(x, self.dtype or element_type_of(x), type(self).__name__, "x")

    def _takes_indices(self, x: Any) -> bool:
        """Whether x may be indices as it is: the layer that is called with them knows."""
        return self._composed and isinstance(x, np.ndarray) and x.dtype.kind in "iu"

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The dtype of the parameters; None where there are none. TypeError when they differ."""
        seen = self.__dict__.get("_dtype_seen")
        version = structure.version()
        if seen is not None and seen[0] == version:
            found: np.dtype[Any] | None = seen[1]
            return found
        named: dict[str, Any] = dict(self.named_parameters()) or dict(buffers.floating(self))
        if len({parameter.dtype for parameter in named.values()}) > 1:
            listed = ", ".join(f"{name} {parameter.dtype}" for name, parameter in named.items())
            raise TypeError(f"{type(self).__name__}: parameters of different dtypes: {listed}")
        found = next(iter(named.values())).dtype if named else None
        self.__dict__["_dtype_seen"] = (version, found)
        return found

    # ---- what it is made of

    def __setattr__(self, name: str, value: Any) -> None:
        old = self.__dict__.get(name)
        if isinstance(old, Parameter) and not (value is None or isinstance(value, Parameter)):
            raise TypeError(
                f"{type(self).__name__}: {name} is a Parameter, got {type(value).__name__}:"
                f" write {name}.data[...] = value"
            )
        buffers.check_assignment(self, name, value)
        super().__setattr__(name, value)
        if name != "training" or self._reads_mode:
            structure.changed()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        structure.changed()

    def __getattr__(self, name: str) -> Any:
        hints.missing(self, name, hints.MODULE)

    def _own(self, kind: type) -> Iterator[tuple[str, Any]]:
        for name, value in list(self.__dict__.items()):
            if isinstance(value, kind):
                yield name, value

    def _paths(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """The module and all within it, a shared one as often as it is used."""
        yield prefix, self
        for name, child in self._own(Module):
            yield from child._paths(join(prefix, name))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """The module and all within it with their names ("" for itself), each once."""
        yield prefix, self
        for name, module in parts.modules(self):
            yield join(prefix, name), module

    def modules(self) -> Iterator["Module"]:
        """The module and all within it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules directly within it with their names, each once."""
        seen = set()
        for name, child in self._own(Module):
            if id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator["Module"]:
        """The modules directly within it, each once."""
        return (child for _, child in self.named_children())

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """All parameters with their names, each once, by the first of its names."""
        for name, parameter in parts.parameters(self):
            yield join(prefix, name), parameter

    def parameters(self) -> ParameterIterator:
        """All parameters, each once."""
        return ParameterIterator(self.named_parameters())

    def _is_trained(self) -> bool:
        return any(parameter.requires_grad for _, parameter in self._own(Parameter)) or any(
            child._is_trained() for _, child in self._own(Module)
        )

    # ---- modes

    def train(self, mode: bool = True) -> Self:
        """Training mode for this and all within: calls are recorded. Returns the module."""
        for module in self.modules():
            if module.training != mode:
                module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Evaluation mode for this and all within: nothing is recorded. Returns the module."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Train (or freeze) all parameters; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def freeze(self) -> Self:
        """Exclude all parameters from training; returns the module."""
        return self.requires_grad_(False)

    def unfreeze(self) -> Self:
        """Include all parameters in training; returns the module."""
        return self.requires_grad_(True)

    def zero_grad(self) -> None:
        """Fill all gradients with zeros."""
        for parameter in self.parameters():
            parameter.zero_grad()

    # ---- values

    def reset_parameters(self, seed: int | None = None) -> None:
        """Initialise all parameters anew.

        Each parameter takes its numbers from a stream of its own, given by `seed` and its name:
        what it gets does not depend on the other layers. Without a seed the operating system's
        entropy is used.
        """
        seed = init.seed_or_entropy(seed, type(self).__name__)
        for name, module in self.named_modules():
            module._reset(seed, name)

    def state_dict(self) -> dict[str, Array]:
        """All parameters and buffers by name, as copies: a snapshot, which training leaves alone.

        The names are PyTorch's. (PyTorch's `state_dict` refers to the live values instead.)
        """
        return state.state_dict(self)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> state.LoadResult:
        """Copy values into the parameters and buffers, by name; all or nothing.

        Parameters
        ----------
        state_dict : mapping of str to array_like
            NumPy arrays or PyTorch tensors, of any floating dtype that converts.
        strict : bool
            Whether every name must be there and no other. If not, what fits by name and shape is
            taken: the body of a network under another head.

        Returns
        -------
        LoadResult
            `missing_keys`, `unexpected_keys`, `taken`, `mismatched`; its text says the same.

        Raises
        ------
        ValueError, TypeError
            When strict, names are missing or unexpected, or shapes differ; in any case, values are
            no floating numbers. The message lists all of them, and nothing has been changed.
        """
        return state.load_state_dict(self, state_dict, strict)

    def copy_from(self, source: "Module", tau: float = 1.0) -> None:
        """Take over the values of a module of the same structure: w <- w + tau (source - w).

        In place: a small `tau` at each step makes this the moving average that target networks
        are (Polyak and Juditsky, 1992); buffers are copied as they are, unless tau is 0, since they
        are averages already or counters. TypeError or ValueError, and nothing changed, where
        `source` is no module, `tau` not in [0, 1], or names or shapes differ.
        """
        state.copy_from(self, source, tau)

    def astype(self, dtype: DTypeLike) -> Self:
        """A new model of dtype float32 or float64 with the same values; its gradients are zero."""
        wanted = element_type(dtype, type(self).__name__)
        # deepcopy takes from the memo what it would otherwise copy.
        memo: dict[int, Any] = {}
        for parameter in self.parameters():
            memo[id(parameter)] = Parameter(parameter.data, parameter.requires_grad, dtype=wanted)
        for _, buffer in buffers.floating(self):
            memo[id(buffer)] = buffer.astype(wanted)
        return copy.deepcopy(self, memo)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _BOOKS}

    # ---- showing

    def summary(self, input_shape: tuple[int, ...]) -> Summary:
        """A table of the layers: output shape, parameters, multiply-adds of one sample's forward.

        `input_shape` is that of one sample, for example ``(1, 28, 28)``.
        """
        return summarise(self, input_shape)

    def _rows(self, name: str, *inputs: Any) -> tuple[list[Row], Any]:
        """The rows of `summary` and the output, for an empty batch."""
        (x, *_), y = inputs, self._forward_only(*inputs)
        work = self._multiply_adds(x.shape[1:], y.shape[1:])
        return [Row(name, type(self).__name__, y.shape[1:], self, work)], y

    def _multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """Multiply-adds of the forward of one sample."""
        return 0

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [
            f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self._own(Module)
        ]
        if not lines:
            return f"{type(self).__name__}({extra})"
        return f"{type(self).__name__}({extra}\n" + "\n".join(lines) + "\n)"
