"""`nncore.compile` and the Step it returns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore._core import engine
from nncore.compiler.builder import Node, lower
from nncore.losses import CrossEntropyLoss
from nncore.nn import structure
from nncore.nn.module import Module
from nncore.optim.optimizer import Optimizer

Array = NDArray[Any]


def compile(
    model: Module,
    loss_fn: Any = None,
    optimizer: Optimizer | None = None,
    *,
    input_shape: tuple[int, ...] | None = None,
    max_batch: int | None = None,
) -> Step:
    """Compile a training step: forward, loss, backward and update in a single call without the GIL.

    Parameters
    ----------
    model
        A layer, or `Sequential`s of layers.
    loss_fn
        `CrossEntropyLoss` or `MSELoss`; without it the step can only `predict`.
    optimizer
        Without it the step can give `gradients` but not train.
    input_shape
        Shape of one sample, without the batch axis. Default: taken from the first batch.
    max_batch
        Samples to make room for. Default: the first batch; a larger one rebuilds the arena.

    Returns
    -------
    Step
        Results are bit for bit those of the model run by hand.

    Raises
    ------
    TypeError
        A layer or a loss has no compiled form.
    ValueError
        `input_shape` does not fit the model, or `max_batch` is not positive.
    """
    step = Step(model, loss_fn, optimizer, max_batch=max_batch)
    if input_shape is not None:
        step._build(tuple(int(size) for size in input_shape), max_batch or 1)
    return step


class Step:
    """A compiled training step; see `compile`. It owns no parameters and no optimiser state."""

    def __init__(
        self, model: Module, loss_fn: Any, optimizer: Optimizer | None, *, max_batch: int | None
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"compile: model must be a Module, got {type(model).__name__}")
        if optimizer is not None and not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"compile: optimizer must be an Optimizer, got {type(optimizer).__name__}"
            )
        if optimizer is not None and loss_fn is None:
            raise ValueError("compile: an optimizer needs a loss_fn to have gradients from")
        if max_batch is not None and max_batch < 1:
            raise ValueError(f"compile: max_batch must be positive, got {max_batch}")
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer
        self._max_batch = max_batch or 0
        self._dtype: np.dtype[Any] = model.dtype or np.dtype(np.float32)
        self._nodes: list[Node] = []
        self._core: Any = None
        self._input_shape: tuple[int, ...] | None = None
        self._built_for = -1

    def __call__(self, x: ArrayLike, y: ArrayLike) -> float:
        """Train on one batch: gradients zeroed, forward, loss, backward, update; returns the loss.

        Gradients read zero afterwards. An empty batch changes nothing and returns NaN.
        """
        if self.optimizer is None:
            raise RuntimeError("Step: compiled without an optimizer: use step.gradients(x, y)")
        updates = self.optimizer._compiled_updates(clear_grad=True)
        if self._built_for == structure.version():
            loss = self._core.run_ready(engine.STEP_TRAIN, x, y, updates)
            if loss is not None:
                return loss  # type: ignore[no-any-return]
        inputs, target = self._prepare(x, y)
        return float(self._core.run(engine.STEP_TRAIN, inputs, target, updates))

    def gradients(self, x: ArrayLike, y: ArrayLike) -> float:
        """The same without the update: the gradients stay in each `Parameter.grad`."""
        inputs, target = self._prepare(x, y)
        return float(self._core.run(engine.STEP_GRADIENTS, inputs, target, []))

    def evaluate(self, x: ArrayLike, y: ArrayLike) -> float:
        """The loss of one batch; nothing is changed."""
        inputs, target = self._prepare(x, y)
        return float(self._core.run(engine.STEP_EVALUATE, inputs, target, []))

    def predict(self, x: ArrayLike, out: Array | None = None) -> Array:
        """The model's output for one batch, in `out` if given."""
        inputs = self._prepare_input(x)
        self._core.run(engine.STEP_PREDICT, inputs, None, [])
        return self._output(len(inputs), out)

    @property
    def output(self) -> Array:
        """A copy of the model's output in the last run (logits where the loss is cross-entropy)."""
        if self._core is None:
            raise RuntimeError("Step: output asked for before the first batch")
        return self._output(self._core.last_batch, None)

    @property
    def memory(self) -> int:
        """Bytes of the arena: all activations, their gradients, saved state and workspace."""
        return int(self._core.arena_bytes) if self._core is not None else 0

    # -- preparation ---------------------------------------------------------------------------

    def _prepare(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        if self.loss_fn is None:
            raise RuntimeError("Step: compiled without a loss_fn: use step.predict(x)")
        inputs = self._prepare_input(x)
        layer = type(self.loss_fn).__name__
        shape = (len(inputs), *self._nodes[-1].x_shape[1:])
        if isinstance(self.loss_fn, CrossEntropyLoss):
            target = engine.labels(y, layer, "target")
            if target.shape != shape[:1]:
                raise ValueError(f"{layer}: target has shape {target.shape}, expected {shape[:1]}")
            return inputs, target
        target = engine.floating(y, self._dtype, layer, "target")
        if target.shape != shape:
            raise ValueError(f"{layer}: target has shape {target.shape}, pred has shape {shape}")
        return inputs, _canonical(target)

    def _prepare_input(self, x: ArrayLike) -> Array:
        first = self._nodes[0].label if self._nodes else type(self.model).__name__
        inputs: Array = engine.floating(x, self._dtype, first, "x")
        sample = inputs.shape[1:]
        if self._core is not None and sample != self._input_shape:
            wanted = "x".join(str(size) for size in self._input_shape or ())
            hint = ""
            if self._input_shape is not None and (1, *sample) == self._input_shape:
                hint = ": add the channel axis, x[:, None]"
            raise ValueError(
                f"{first}: x has samples of shape {sample}, the step was built for {wanted}{hint}"
            )
        if inputs.ndim == 0:
            raise ValueError(f"{first}: x is a single number, expected a batch")
        if (
            self._core is None
            or len(inputs) > self._core.capacity
            or self._built_for != structure.version()
        ):
            self._build(sample, len(inputs))
        return _canonical(inputs)

    def _build(self, sample: tuple[int, ...], batch: int) -> None:
        capacity = max(batch, self._max_batch, 1)
        version = structure.version()
        self._dtype = self.model.dtype or np.dtype(np.float32)
        nodes = lower(self.model, self.loss_fn, sample, capacity)
        core = engine.Step(nodes, self._dtype)
        self._nodes, self._core, self._input_shape = nodes, core, sample
        self._max_batch, self._built_for = capacity, version

    def _output(self, n: int, out: Array | None) -> Array:
        last = len(self._nodes) - (2 if self.loss_fn is not None else 1)
        shape = (n, *self._nodes[last].y_shape[1:])
        if out is not None and (out.shape != shape or out.dtype != self._dtype):
            raise ValueError(
                f"Step: out has shape {out.shape} and dtype {out.dtype},"
                f" expected {shape} and {self._dtype}"
            )
        return np.asarray(self._core.value(last, n, out))

    def __repr__(self) -> str:
        if self._core is None:
            return f"Step({type(self.model).__name__}, not built: the first batch tells the shapes)"
        rows = [f"{'operation':<16}{'output':<22}{'flops':>14}"]
        for index, node in enumerate(self._nodes):
            shape = "x".join(str(size) for size in node.y_shape)
            rows.append(f"{node.kind:<16}{shape:<22}{self._core.flops(index):>14,}")
        rows.append(f"arena {self.memory:,} bytes for {self._core.capacity} samples")
        return "\n".join(rows)


def _canonical(x: Array) -> Array:
    """The memory order the engine reads: channels-last for images, row-major for the rest."""
    return np.asarray(engine.as_channels_last(x) if x.ndim == 4 else engine.row_major(x))
