"""The table of vectors."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nncore._core import engine
from nncore.nn import init
from nncore.nn.arguments import flag, index, integer
from nncore.nn.arrays import Array, element_type
from nncore.nn.operation import Layer, Operation, Shape
from nncore.nn.parameter import Parameter


class Embedding(Layer):
    """Rows of a table: y[i] = weight[x[i]], x of whole numbers.

    Backward: dweight[x[i]] += dy[i], in the order of i, but not of `padding_idx`; whole numbers
    have no gradient, so `backward` returns None.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows of the table and their size.
    padding_idx : int, optional
        A row that is zero at first and gets no gradient; negative ones count from the end.
    max_norm, norm_type, scale_grad_by_freq, sparse
        Only as they are by default.
    dtype : dtype
        float32 or float64.
    seed : int, optional
        Of the initial values, normally distributed with mean 0 and deviation 1 as PyTorch's;
        without it they come from the operating system's entropy.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)

    Raises
    ------
    TypeError, ValueError
        At construction: an argument out of range. At a call: x is not of whole numbers.
    IndexError
        At a call: a number is negative, or not below num_embeddings: which, and where.

    Notes
    -----
    Shapes: x (...), y (..., embedding_dim); compiled, x (N,) or (N, length), an input of the model.
    Source: Bengio and others, "A neural probabilistic
    language model" (2003).
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        *,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        self.num_embeddings = integer("Embedding", "num_embeddings", num_embeddings, 0)
        self.embedding_dim = integer("Embedding", "embedding_dim", embedding_dim, 0)
        self.padding_idx = None
        if padding_idx is not None:
            at = index("Embedding", "padding_idx", padding_idx)
            if not -self.num_embeddings <= at < self.num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx must be a row of {num_embeddings}, got {padding_idx}"
                )
            self.padding_idx = at % self.num_embeddings
        if max_norm is not None:
            raise ValueError(f"Embedding: max_norm must be None, got {max_norm!r}")
        if norm_type != 2:
            raise ValueError(f"Embedding: norm_type must be 2, got {norm_type!r}")
        for name, value in (("scale_grad_by_freq", scale_grad_by_freq), ("sparse", sparse)):
            if flag("Embedding", name, value):
                raise ValueError(f"Embedding: {name} must be False, got True")
        wanted = element_type(dtype, "Embedding")
        self.weight = Parameter.zeros((self.num_embeddings, self.embedding_dim), wanted)
        self._reset(init.seed_or_entropy(seed, "Embedding"), "")

    def _reset(self, seed: int, name: str) -> None:
        stream = f"{name}.weight" if name else "weight"
        weight = self.weight
        weight.data[...] = engine.stream_normal(seed, stream, 0, weight.shape, weight.dtype, 0, 1)
        if self.padding_idx is not None:
            weight.data[self.padding_idx] = 0

    def _operation(self, shape: Shape) -> Operation:
        return Operation(
            "Embedding",
            "embedding",
            shape,
            (*shape, self.embedding_dim),
            channels=self.embedding_dim,
            entries=self.num_embeddings,
            padding_entry=-1 if self.padding_idx is None else self.padding_idx,
        ).hold((self.num_embeddings, self.embedding_dim), self.weight, None)

    def _takes_indices(self, x: Any) -> bool:
        return True

    def _input(self, x: Any) -> Array:
        return as_indices(x, "Embedding")

    # By hand the axes of x do not matter.

    def _forward(self, x: Array) -> tuple[Array, Any]:
        operation = self._planned((x.size,))
        return self._looked_up(operation, x, True)

    def _forward_only(self, x: Array) -> Array:
        return self._looked_up(self._planned((x.size,)), x, False)[0]

    def _looked_up(self, operation: Operation, x: Array, save: bool) -> tuple[Array, Any]:
        try:
            y, kept = engine.operation_forward(operation, x.reshape(-1), save=save)
        except IndexError:
            at = np.argwhere((x < 0) | (x >= self.num_embeddings))[0]
            where = ", ".join(map(str, at))
            raise IndexError(
                f"Embedding: x[{where}] is {x[tuple(at)]}, expected 0 to {self.num_embeddings - 1}"
            ) from None
        return y.reshape((*x.shape, self.embedding_dim)), (operation, kept)

    def _backward(self, saved: Any, grad: Array) -> Array:
        self._backward_last(saved, grad)
        return None  # type: ignore[return-value]

    def _backward_last(self, saved: Any, grad: Array) -> None:
        operation, kept = saved
        if operation.weight_grad is not None:
            rows = grad.reshape(operation.y_shape)
            engine.operation_backward(operation, kept, rows, input_grad=False)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


def as_indices(x: Any, layer: str) -> Array:
    """`x` as a C-ordered int64 array.

    Raises
    ------
    TypeError
        It is not of whole numbers.
    IndexError
        A number beyond int64.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{layer}: x is a masked array, expected a plain one: use x.filled(value)")
    if hasattr(x, "detach"):
        x = x.detach().cpu()
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise TypeError(f"{layer}: x cannot be made an array: {error}") from None
    if array.size == 0 and not hasattr(x, "dtype"):
        array = array.astype(np.int64)  # an empty list has no dtype of its own
    if array.dtype.kind not in "iu":
        raise TypeError(f"{layer}: x has dtype {array.dtype}, expected whole numbers, int64")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise IndexError(f"{layer}: x holds {array.max()}, which is beyond int64")
    return np.require(array, np.int64, ["C", "A"])
