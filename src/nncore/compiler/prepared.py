"""What a Step does before the engine runs: arrays checked and laid out, the arena built."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore._core import conversion, engine
from nncore.compiler.builder import Graph, lower
from nncore.losses import EngineLoss
from nncore.nn import structure
from nncore.nn.arguments import integer
from nncore.nn.embedding import as_indices
from nncore.nn.module import Module
from nncore.nn.operation import Shape
from nncore.nn.parameter import Parameter
from nncore.optim.optimizer import Optimizer

Array = NDArray[Any]
# A data set for the engine: a dense array, and whether its images lie (C, H, W).
Rows = tuple[Array, bool]
# A batch, or one for each input of a model that has several.
Inputs = ArrayLike | tuple[ArrayLike, ...]


class Batches:
    """The data of an epoch, checked, and room for what is measured on the way."""

    def __init__(
        self,
        x: tuple[Rows, ...],  # of each input
        target: Rows | None,
        order: NDArray[np.int64] | None,
        batch_size: int,
        labels: bool,  # whether the target is
    ) -> None:
        self.x, self.target, self.order, self.batch_size = x, target, order, batch_size
        self.labels = labels
        self.samples = len(x[0][0]) if order is None else len(order)
        self.losses = np.full(-(-self.samples // batch_size), np.nan)
        # How many outputs of each batch are largest at the label; counted where it is an array.
        self.correct: NDArray[np.int64] | None = None

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The samples of each batch."""
        starts = np.arange(len(self)) * self.batch_size
        return np.minimum(self.samples - starts, self.batch_size)

    def part(self, order: NDArray[np.int64] | None, begin: int, end: int) -> Batches:
        """Batches `begin` to `end` of an epoch over the same data in another (checked) order."""
        rows = slice(begin * self.batch_size, end * self.batch_size)
        x, target = self.x, self.target
        if order is None:
            x = tuple((array[rows], channels_first) for array, channels_first in x)
            target = None if target is None else (target[0][rows], target[1])
        else:
            order = order[rows]
        part = Batches(x, target, order, self.batch_size, self.labels)
        if self.correct is not None:
            part.correct = np.zeros(len(part), np.int64)
        return part

    def __len__(self) -> int:
        return len(self.losses)


class Prepared(engine.Caller):
    """The part of a Step that prepares; it knows the engine's step, and when to build it anew."""

    optimizer: Optimizer | None

    def __init__(
        self,
        model: Module,
        loss_fn: Any,
        optimizer: Optimizer | None,
        *,
        max_batch: int | None = None,
        threads: int | None = None,
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"compile: model must be a Module, got {type(model).__name__}")
        if optimizer is not None and not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"compile: optimizer must be an Optimizer, got {type(optimizer).__name__}"
            )
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer
        self._max_batch = 0 if max_batch is None else integer("compile", "max_batch", max_batch, 1)
        self._threads = 0 if threads is None else integer("compile", "threads", threads, 1)
        self._dtype: np.dtype[Any] = model.dtype or np.dtype(np.float32)
        self._graph = Graph([], 1, ())
        self._core = None
        self._input_shapes: tuple[Shape, ...] = ()  # of one sample, of each input; before: none
        self._built_for = -1
        # Whether targets are labels: a loss may take them and others.
        self._labels: bool = getattr(loss_fn, "reads_labels", False)
        self._losses: NDArray[np.float64] = np.empty(0)
        self._gradients_seen = -1
        self._strangers_of: Any = None
        self._strangers = []
        self._known: set[Parameter] = set(model.parameters())
        self._known_at = structure.version()

    # ---- the optimiser

    def _updates(self, instead: str) -> list[engine.Update]:
        """The engine's updates, with the numbers that the optimiser has now."""
        if self.optimizer is None:
            raise RuntimeError(f"Step: compiled without an optimizer: use step.{instead}")
        if self._known_at != structure.version():
            self._look_for_replaced(self.optimizer)
        return self.optimizer._compiled_updates(clear_grad=True)

    def _look_for_replaced(self, optimizer: Optimizer) -> None:
        """Refuse to go on where a layer was replaced and the optimiser still holds the old one."""
        version, own = structure.version(), {p: n for n, p in self.model.named_parameters()}
        held = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        gone = (held & self._known) - own.keys()
        fresh = [n for p, n in own.items() if p.requires_grad and p not in held | self._known]
        if gone and fresh:
            raise ValueError(
                f"Step: {', '.join(fresh)} came with a new layer and the optimizer does not hold"
                " them, but parameters that are gone: make a new optimizer and step, or"
                " optimizer.add_param_group({'params': layer.parameters()})"
            )
        self._known, self._known_at = set(own), version

    def _look_at_gradients(self) -> None:
        """Tell the engine, before it trains, whether somebody else holds arrays of gradients."""
        version = structure.gradients_version()
        if self._core is not None and self._gradients_seen != version:
            self._gradients_seen = version
            self._core.unseen(not any(p._seen for n in self._graph.nodes for p in n.parameters))

    def _clear_strangers(self) -> None:
        """Clear the gradients of the model's parameters that the optimiser does not hold."""
        if self.optimizer is not None and self.optimizer._plan is not self._seen:
            self._seen = self.optimizer._plan
            groups = self.optimizer.param_groups
            known = structure.version(), [len(group["params"]) for group in groups]
            if known != self._strangers_of:
                held = {parameter for group in groups for parameter in group["params"]}
                parameters = self.model.parameters()
                self._strangers = [p for p in parameters if p.requires_grad and p not in held]
                self._strangers_of = known
        for parameter in self._strangers:
            parameter.zero_grad()

    # ---- one batch

    def _prepare(self, x: Inputs, y: ArrayLike) -> tuple[tuple[Array, ...], Array]:
        self._need_loss(y)
        inputs = self._prepare_inputs(x)
        target = self._prepare_target(y, len(inputs[0]))
        return inputs, target if target.ndim == 1 else canonical(target)

    def _need_loss(self, y: ArrayLike) -> None:
        """The loss is there, and targets like y are what the step reads: else it is built anew."""
        if self.loss_fn is None:
            raise RuntimeError(
                "Step: compiled without a loss_fn: use step.predict(x), or step.forward(x) and"
                " step.backward(grad)"
            )
        if isinstance(self.loss_fn, EngineLoss):
            self._read_labels(self.loss_fn._reads(y))

    def _read_labels(self, labels: bool) -> None:
        """Targets are labels from now on, or not."""
        if labels != self._labels:
            self._labels, self._built_for = labels, -1

    def _prepare_target(self, y: ArrayLike, count: int) -> Array:
        """The labels, or the target array, of so many samples."""
        shape = (count, *self._graph.nodes[-1].x_shape[1:])
        if self._labels:
            return self.loss_fn._labels(y, shape)  # type: ignore[no-any-return]
        return self.loss_fn._target(y, shape, self._dtype)  # type: ignore[no-any-return]

    def _prepare_inputs(self, x: Inputs) -> tuple[Array, ...]:
        arrays = [self._array(array) for array in each(x)]
        self._make_room(arrays, len(arrays[0]) if arrays[0].ndim else 0)
        return tuple(canonical(array) for array in self._read(arrays))

    def _array(self, x: Any) -> Array:
        """x as an array; whole numbers stay what they are where the model may look them up."""
        if self.model._takes_indices(x):
            return self.model._input(x)
        return engine.floating(x, self._dtype, self._first, "x")

    def _read(self, arrays: list[Array], bytes_too: bool = False) -> list[Array]:
        """The arrays of all inputs in the dtypes that the operations which read them want."""
        indices = self._graph.indices
        return [
            as_indices(array, indices[source].label)
            if source in indices
            else array
            if bytes_too and array.dtype == np.uint8
            else engine.floating(array, self._dtype, self._first, "x")
            for source, array in enumerate(arrays)
        ]

    # ---- many batches

    def _batches(
        self, here: str, x: Any, y: Any, order: Any, batch_size: Any, *, targets: bool = True
    ) -> Batches:
        """Everything about an epoch that can be wrong, checked; the arena large enough."""
        batch_size = integer(here, "batch_size", batch_size, 1)
        arrays: list[Array] = [
            np.asarray(array)
            if isinstance(array, np.ndarray) and array.dtype == np.uint8
            else self._array(array)
            for array in each(x)
        ]
        rows = len(arrays[0]) if arrays[0].ndim else 0
        taken = None if order is None else conversion.row_order(order, rows, here)
        if targets:
            self._need_loss(y)
        samples = rows if taken is None else len(taken)
        self._make_room(arrays, min(batch_size, samples))
        target = engine.sample_rows(self._prepare_target(y, rows)) if targets else None
        x = tuple(engine.sample_rows(array) for array in self._read(arrays, bytes_too=True))
        return Batches(x, target, taken, batch_size, self._labels)

    # ---- the engine's step

    @property
    def _first(self) -> str:
        """Who complains about x."""
        return self._graph.nodes[0].label if self._graph.nodes else type(self.model).__name__

    def _make_room(self, inputs: list[Array], batch: int) -> None:
        """A step for samples like these and batches of this size, built anew where it is not."""
        for array in inputs:
            if array.ndim == 0:
                raise ValueError(f"{self._first}: x is a single number, expected a batch")
            if len(array) != len(inputs[0]):
                raise ValueError(
                    f"{self._first}: the inputs have {len(inputs[0])} and {len(array)} samples"
                )
        samples = tuple(array.shape[1:] for array in inputs)
        if self._core is not None and samples != self._input_shapes:
            self._refuse(samples)
        if (
            self._core is None
            or batch > self._core.capacity
            or self._built_for != structure.version()
        ):
            self._build(samples, batch)

    def _is_for(self, sample: Shape, batch: int) -> bool:
        """Whether it stands ready for batches of so many samples of this shape."""
        return (
            self._core is not None
            and not self._core.running
            and self._built_for == structure.version()
            and self._input_shapes == (sample,)
            and self._core.capacity >= batch
        )

    def _refuse(self, samples: tuple[Shape, ...]) -> None:
        """Say which shapes the step was built for."""
        if len(samples) != len(self._input_shapes):
            raise ValueError(
                f"{self._first}: x is {len(samples)} arrays, the step was built for"
                f" {len(self._input_shapes)}"
            )
        for sample, shape in zip(samples, self._input_shapes, strict=True):
            if sample != shape:
                wanted = "x".join(str(size) for size in shape)
                hint = ": add the channel axis, x[:, None]" if (1, *sample) == shape else ""
                raise ValueError(
                    f"{self._first}: x has samples of shape {sample}, the step was built for"
                    f" {wanted}{hint}"
                )

    def _build(self, samples: tuple[Shape, ...], batch: int) -> None:
        if self._core is not None and self._core.running:
            raise RuntimeError(
                "Step: already running in another thread: use a step.clone() for each thread"
            )
        capacity = max(batch, self._max_batch, 1)
        version = structure.version()
        self._dtype = self.model.dtype or np.dtype(np.float32)
        graph = lower(self.model, self.loss_fn, samples, capacity, self._labels)
        core = engine.Step(
            graph.nodes, self._dtype, self._threads, sources=graph.sources, outputs=graph.outputs
        )
        self._graph, self._core, self._input_shapes = graph, core, samples
        self._max_batch, self._built_for = capacity, version
        self._gradients_seen = -1


def each(x: Any) -> tuple[Any, ...]:
    """The arrays of all inputs: a tuple of arrays is several, all else is one."""
    several = type(x) is tuple and x and all(isinstance(array, np.ndarray) for array in x)
    return tuple(x) if several else (x,)


def canonical(x: Array) -> Array:
    """The memory order the engine reads: channels-last for images, row-major for the rest."""
    return np.asarray(engine.as_channels_last(x) if x.ndim == 4 else engine.row_major(x))
