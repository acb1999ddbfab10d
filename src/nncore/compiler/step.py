"""`nncore.compile` and the Step it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore._core import engine
from nncore.compiler import table
from nncore.compiler.prepared import Array, Batches, Inputs, Prepared, canonical, each
from nncore.nn import structure
from nncore.nn.module import Module
from nncore.optim.optimizer import Optimizer


def compile(
    model: Module,
    loss_fn: Any = None,
    optimizer: Optimizer | None = None,
    *,
    input_shape: tuple[int, ...] | tuple[tuple[int, ...], ...] | None = None,
    max_batch: int | None = None,
    threads: int | None = None,
) -> Step:
    """Compile a training step: forward, loss, backward and update in a single call without the GIL.

    Parameters
    ----------
    model
        A layer, or `Sequential`s of layers.
    loss_fn
        A loss of `nncore.nn`, its reduction a mean or a sum. Without it the step can `predict`, and
        train by gradients that come from elsewhere: `forward`, `backward`, `update`.
    optimizer
        Without it the step can give `gradients` but not train. It may hold parameters besides the
        model's.
    input_shape
        Shape of one sample, without the batch axis; a tuple of shapes for a model of several
        inputs. Default: taken from the first batch.
    max_batch
        Samples to make room for. Default: the first batch; a larger one rebuilds the arena.
    threads
        Threads this step may use at most. Default: as many as the process (`set_num_threads`).

    Returns
    -------
    Step
        Results are bit for bit those of the model run by hand.

    Raises
    ------
    TypeError
        A layer or a loss has no compiled form.
    ValueError
        `input_shape` does not fit the model, or `max_batch` or `threads` is not positive.
    """
    step = Step(model, loss_fn, optimizer, max_batch=max_batch, threads=threads)
    if input_shape is not None:
        several = len(input_shape) > 0 and all(isinstance(size, tuple) for size in input_shape)
        shapes: Any = input_shape if several else (input_shape,)
        step._build(tuple(tuple(int(size) for size in shape) for shape in shapes), 1)
    return step


class Step(Prepared):
    """A compiled training step; see `compile`. It owns no parameters and no optimiser state.

    One thread at a time may use it, a second one gets a `RuntimeError`: `clone` gives it a step of
    its own over the same weights. Changes of the model's structure (frozen parameters, replaced
    layers) are noticed by themselves; where the optimiser holds the old layer and not the new one,
    that is a ValueError. After any error parameters, buffers and optimiser state are as they
    were before the call, or, in `epoch`, after the last whole batch.
    """

    def clone(self) -> Step:
        """A step of the same model, loss and optimiser with an arena of its own."""
        other = Step(
            self.model,
            self.loss_fn,
            self.optimizer,
            max_batch=self._max_batch or None,
            threads=self._threads or None,
        )
        other._known, other._known_at = self._known, self._known_at
        if self._input_shapes:
            other._build(self._input_shapes, 1)
        return other

    # ---- one batch

    def _train(self, mode: int, x: Inputs, y: ArrayLike) -> float:
        """What a call does where something has to be prepared first."""
        updates = self._updates("gradients(x, y)")
        inputs, target = self._prepare(x, y)
        self._look_at_gradients()
        loss = float(self._core.run(mode, inputs, target, updates))
        self._clear_strangers()
        return loss

    def gradients(self, x: Inputs, y: ArrayLike) -> float:
        """The same without the update: the gradients stay in each `Parameter.grad`."""
        structure.gradient_taken()
        inputs, target = self._prepare(x, y)
        return float(self._core.run(engine.STEP_GRADIENTS, inputs, target, []))

    def evaluate(self, x: Inputs, y: ArrayLike) -> float:
        """The loss of one batch; nothing is changed."""
        inputs, target = self._prepare(x, y)
        return float(self._core.run(engine.STEP_EVALUATE, inputs, target, []))

    def _predict(self, x: Inputs, out: Array | None) -> Any:
        """The same of a prediction."""
        inputs = self._prepare_inputs(x)
        if out is not None:
            shapes = self._graph.output_shapes
            outs = out if len(shapes) > 1 else (out,)
            if len(outs) != len(shapes):
                raise ValueError(f"Step: out has {len(outs)} arrays, the model {len(shapes)} heads")
            for array, given in zip(outs, shapes, strict=True):
                shape = (len(inputs[0]), *given[1:])
                if array.shape != shape or array.dtype != self._dtype:
                    raise ValueError(
                        f"Step: out has shape {array.shape} and dtype {array.dtype},"
                        f" expected {shape} and {self._dtype}"
                    )
        return self._core.predict(inputs, out)

    # ---- the two halves, for a loss of one's own

    def forward(self, x: Inputs) -> Any:
        """The model's output for one batch, with everything kept that `backward` needs.

        A tuple of outputs where the model has several heads. Each forward serves one backward; any
        other call in between takes it away. `x` is copied.
        """
        inputs = self._prepare_inputs(x)
        return self._core.forward(inputs)

    def backward(self, grad: Inputs, input_grad: bool = False, parameter_grad: bool = True) -> Any:
        """Back-propagate: add to the gradients of all parameters, for the last `forward`.

        Parameters
        ----------
        grad : array_like
            dC/dy, of the shape of the output; a tuple of them for several heads.
        input_grad : bool
            Whether to compute dC/dx.
        parameter_grad : bool
            Whether to add to the gradients of the parameters: not, where only dC/dx is wanted, as
            by an actor from its critic.

        Returns
        -------
        array or None
            dC/dx, of the shape of x, a tuple for several inputs; None without `input_grad`.

        Raises
        ------
        RuntimeError
            There was no `forward` since the last backward, or another call came in between.
        TypeError, ValueError
            `grad` is not of floating numbers; it has another shape than the output. The forward
            still waits.
        """
        recorded = -1 if self._core is None else self._core.recorded
        if recorded < 0:
            raise RuntimeError(
                "Step: backward has no recorded forward: call step.forward(x) first; each serves"
                " one backward, and other calls of the step take it away"
            )
        shapes = self._graph.output_shapes
        grads = each(grad) if len(shapes) == 1 else grad
        if not isinstance(grads, tuple) or len(grads) != len(shapes):
            raise ValueError(f"Step.backward: expected a tuple of {len(shapes)} gradients")
        taken = []
        for given, sample in zip(grads, shapes, strict=True):
            array: Array = engine.floating(given, self._dtype, "Step.backward", "grad")
            shape = (recorded, *sample[1:])
            if array.shape != shape:
                raise ValueError(f"Step.backward: grad has shape {array.shape}, expected {shape}")
            taken.append(canonical(array))
        structure.gradient_taken()
        return self._core.backward(tuple(taken), bool(input_grad), bool(parameter_grad))

    def update(self) -> None:
        """Let the optimiser change its parameters by their gradients, which read zero afterwards.

        That takes in parameters that belong to no layer of the model. A `forward` that waits for
        its backward is given up, since the weights it was made with are gone.
        """
        updates = self._updates("backward(grad)")
        if self._core is not None:
            if self._core.running:
                raise RuntimeError("Step: update while the step is running in another thread")
            self._core.forget()
        engine.run_updates(updates, "Step")
        self._clear_strangers()

    # ---- many batches

    def epoch(
        self,
        x: Inputs,
        y: ArrayLike,
        order: ArrayLike | None = None,
        batch_size: int = 32,
        *,
        error_if_nonfinite: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> NDArray[np.float64]:
        """Train on a whole data set, batch by batch, in C: as ``step(x[rows], y[rows])`` for each.

        Parameters
        ----------
        x : array_like
            Inputs, one row a sample; a tuple of arrays for several. Images of dtype uint8 are
            scaled on the way: byte b reads as b / 255, divided in the model's dtype. Other dtypes
            than the model's are converted first.
        y : array_like
            Labels or targets, as the loss wants them.
        order : array_like of int, optional
            Row numbers, in the order in which they are taken; any number of them. Copied. Default:
            all rows as they lie.
        batch_size : int
            Samples a step; the last batch takes what is left.
        error_if_nonfinite : bool
            Whether a loss that is infinite or NaN ends the epoch, before its batch changes
            anything.
        progress : callable, optional
            Called with (whole batches done, batches in all), about twenty times a second and at
            the end, also in the midst of a large batch: it must not touch the model, its gradients
            or a clone of this step.

        Returns
        -------
        array of float64
            The loss of each batch, each taken before its update. `losses` has them too.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C is heard twenty times a second, in large batches between their operations. As
            after an error of `progress`: parameters and optimiser are as after the last whole
            batch, gradients are zero, and `losses` has the losses of the whole batches.
        IndexError
            A label or an index is out of range: found before its batch changes anything. A row
            number of `order` is: found before anything is run.
        FloatingPointError
            `error_if_nonfinite`: names loss and batch.
        TypeError, ValueError
            As for a single batch.
        """
        updates = self._updates("evaluate(x, y)")
        data = self._batches("Step.epoch", x, y, order, batch_size)
        batches = len(data)
        finite = self._run_epoch(
            engine.STEP_TRAIN,
            data,
            updates,
            stop_at_nonfinite=error_if_nonfinite,
            progress=None if progress is None else lambda done: progress(done, batches),
        )
        self._clear_strangers()
        if not finite:
            at = len(self._losses)
            raise FloatingPointError(
                f"Step.epoch: the loss is {data.losses[at]} in batch {at + 1} of {batches}: often"
                " the learning rate is too large, or the data hold NaN or infinity"
            )
        return data.losses

    @property
    def losses(self) -> NDArray[np.float64]:
        """The losses of the whole batches of the last `epoch`, finished or not."""
        return self._losses

    def _run_epoch(
        self,
        mode: int,
        data: Batches,
        updates: list[engine.Update],
        *,
        output: Array | None = None,
        stop_at_nonfinite: bool = False,
        seconds: float = 0.05,
        progress: Callable[[int], object] | None = None,
    ) -> bool:
        """All batches; returns whether all losses were finite, where that is looked at."""
        self._read_labels(data.labels)
        self._make_room([rows for rows, _ in data.x], min(data.batch_size, data.samples))
        self._look_at_gradients()
        core = self._core

        def report(done: int) -> None:
            self._losses = data.losses[:done]
            if progress is not None:
                progress(done)

        try:
            return bool(
                core.epoch(
                    mode,
                    data.x,
                    data.target,
                    data.order,
                    data.samples,
                    data.batch_size,
                    updates,
                    data.losses,
                    data.correct,
                    output,
                    stop_at_nonfinite=stop_at_nonfinite,
                    seconds=seconds,
                    progress=report,
                )
            )
        finally:
            self._losses = data.losses[: core.batches_done]

    # ---- looking

    @property
    def output(self) -> Any:
        """A copy of the model's output in the last run (logits where the loss is cross-entropy).

        A tuple where it has several heads.
        """
        if self._core is None:
            raise RuntimeError("Step: output asked for before the first batch")
        return self._core.output()

    @property
    def memory(self) -> int:
        """Bytes of the arena: all activations, their gradients, saved state and workspace."""
        return int(self._core.arena_bytes) if self._core is not None else 0

    def __repr__(self) -> str:
        if self._core is None:
            return f"Step({type(self.model).__name__}, not built: the first batch tells the shapes)"
        held = self.optimizer
        needed = held is None or held.max_grad_norm is not None or held.error_if_nonfinite
        plain = held is not None and held._is_plain
        return table.show(self._graph.nodes, self._core, updates=not needed, plain=plain)
