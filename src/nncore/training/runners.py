"""A batch of the training loop: by the compiled step or layer by layer, with the same bits."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore._core import engine
from nncore.compiler import Step, compile
from nncore.compiler.prepared import Batches
from nncore.losses import CrossEntropyLoss
from nncore.nn import buffers, structure
from nncore.nn.arrays import Array
from nncore.nn.module import Module
from nncore.nn.parameter import Parameter
from nncore.nn.recording import no_record
from nncore.optim import Optimizer
from nncore.training.kept import KeptSteps
from nncore.training.rule import Rule
from nncore.training.samples import Samples
from nncore.training.tally import Tally
from nncore.training.weighting import Weights, weighted

Order = NDArray[np.int64] | None


class Watcher(NamedTuple):
    """Who wants to know how far an epoch is: called with the number of whole batches."""

    note: Callable[[int], None]
    seconds: float  # between two calls


class Runner:
    """Runs batches. Subclasses define how the gradients of one are computed, and predictions.

    Losses are means over the batch; outputs are the model's.
    """

    def __init__(self, model: Module, loss_fn: Any, optimizer: Any, rule: Rule) -> None:
        self._model, self._loss_fn, self._optimizer, self._rule = model, loss_fn, optimizer, rule
        self._seen, self._listed = -1, list[Parameter]()
        # Of the batches that wait for their common update:
        self._batches = self._samples = 0
        # Buffers and counters as they were before the first of them; None: no batch has begun.
        self._before: list[tuple[Array, Array]] | None = None

    def end(self, kept: KeptSteps) -> None:
        """There are no more batches: what another runner can use goes to `kept`."""

    # ---- one batch

    def _gradients(self, x: Array, y: Array, weights: Weights | None) -> tuple[float, Array]:
        """Loss and output; adds the gradients, to cleared ones where no batch waits.

        Where the loss is not finite, what the gradients are does not matter.
        """
        raise NotImplementedError

    @property
    def _parameters(self) -> list[Parameter]:
        if self._seen != structure.version():
            self._seen, self._listed = structure.version(), list(self._model.parameters())
        return self._listed

    def _clear_unless_waiting(self) -> None:
        if self._batches == 0:
            for parameter in self._parameters:
                parameter.zero_grad()

    def _loss_and_grad(
        self, output: Array, y: Array, weights: Weights | None
    ) -> tuple[float, Array | None]:
        """The loss, and the gradient of the output; None where the loss is not finite."""
        if weights is None:
            loss = float(self._loss_fn(output, y))
        else:
            loss, grad = weighted(self._loss_fn, output, y, weights)
        if not math.isfinite(loss):
            return loss, None
        if weights is None:
            grad = self._loss_fn.backward()
        # Sums over batches are divided once, by all their samples.
        return loss, grad * self._share(len(y)) if self._rule.accumulate > 1 else grad

    def _share(self, samples: int) -> int:
        """What a batch counts beside others: as many as its samples where the loss is a mean."""
        return samples if getattr(self._loss_fn, "reduction", "mean") == "mean" else 1

    def train(self, x: Array, y: Array, weights: Weights | None, tally: Tally) -> float:
        """Gradients of a batch, and the update where it is due; returns the loss.

        Where that is not finite there is no update, and gradients that waited are dropped.
        """
        if self._before is None:
            self._before = buffers.kept(self._model)
        loss, output = self._gradients(x, y, weights)
        if not math.isfinite(loss):
            self.drop(tally)
            return loss
        tally.wait(loss, output, y)
        self._batches += 1
        self._samples += self._share(len(y))
        if self._batches == self._rule.accumulate:
            self.update(tally)
        return loss

    def update(self, tally: Tally) -> None:
        """The update by the batches that wait for it, if there are any."""
        if self._batches == 0:
            return
        if self._rule.accumulate > 1:
            for parameter in self._parameters:
                if parameter.requires_grad:
                    parameter.grad /= max(self._samples, 1)
        self._rule.clip(self._parameters)
        self._batches = self._samples = 0
        self._optimizer.step()
        self._before = None
        tally.settle()

    def drop(self, tally: Tally) -> None:
        """Forget the batches that wait for an update."""
        self.give_up()
        tally.drop()

    def give_up(self) -> None:
        """What was begun since the last update changes nothing, running statistics neither."""
        before, self._before = self._before, None
        if before is not None:
            buffers.put_back(before)
        self._batches = self._samples = 0

    def predict(self, x: Array) -> Array:
        """Output of a batch; changes and records nothing."""
        raise NotImplementedError

    def evaluate(self, x: Array, y: Array) -> tuple[float, Array]:
        """Loss and output of a batch; changes and records nothing."""
        output = self.predict(x)
        with no_record():
            return float(self._loss_fn(output, y)), output

    # ---- a data set

    def epoch(
        self,
        data: Samples,
        order: Order,
        batch_size: int,
        part: tuple[int, int],
        weights: Weights | None,
        tally: Tally,
        watcher: Watcher | None,
    ) -> tuple[int, float] | None:
        """Train on the batches `part` (begin, end) of an epoch, counted by `tally`.

        Returns number (from 0) and loss of the batch whose loss was not finite: it was not trained
        on, and none after it. None if there is none.
        """
        begin, end = part
        for batch, rows in enumerate(data.rows(batch_size, order, begin, end), begin):
            x, y = data.x[rows], data.y[rows]
            loss = self.train(x, y, None if weights is None else weights[rows], tally)
            if not math.isfinite(loss):
                return batch, loss
            if watcher is not None:
                watcher.note(batch + 1)
        return None

    def measure(self, data: Samples, batch_size: int, tally: Tally) -> None:
        """Count all batches; changes and records nothing."""
        for rows in data.rows(batch_size):
            x, y = data.x[rows], data.y[rows]
            loss, output = self.evaluate(x, y)
            tally.add(loss, output, y)

    def outputs(self, x: Array, batch_size: int, like: Array) -> Array:
        """The outputs for all samples; `like` is one of them."""
        outputs = np.empty((len(x), *like.shape[1:]), like.dtype)
        for start in range(0, len(x), batch_size):
            outputs[start : start + batch_size] = self.predict(x[start : start + batch_size])
        return outputs


class CompiledRunner(Runner):
    """Many batches are one call of the compiled step, or one for each where it must be."""

    def __init__(self, step: Step, loss_fn: Any, optimizer: Any, rule: Rule) -> None:
        super().__init__(step.model, loss_fn, optimizer, rule)
        self._step = step
        self._prepared: dict[int, tuple[Samples, Batches]] = {}

    def end(self, kept: KeptSteps) -> None:
        kept.give_back(self._step)

    def _gradients(self, x: Array, y: Array, weights: Weights | None) -> tuple[float, Array]:
        step = self._step
        if step.loss_fn is not None and weights is None and self._rule.accumulate == 1:
            # With an optimizer that is not the engine's: else `train` is one call.
            return step.gradients(x, y), step.output
        self._clear_unless_waiting()
        output = step.forward(x)
        loss, grad = self._loss_and_grad(output, y, weights)
        if grad is not None:
            step.backward(grad)
        return loss, output

    def _is_one_call(self, weights: Weights | None) -> bool:
        """Whether the engine does all of a batch, from its loss to the update."""
        whole = self._step.loss_fn is not None and self._step.optimizer is not None
        return whole and weights is None and self._rule.is_plain

    def train(self, x: Array, y: Array, weights: Weights | None, tally: Tally) -> float:
        if not self._is_one_call(weights):
            return super().train(x, y, weights, tally)
        loss: float = self._step._train_finite(x, y)
        if math.isfinite(loss):
            tally.add(loss, self._step.output, y)
        return loss

    def predict(self, x: Array) -> Array:
        return np.asarray(self._step.predict(x))

    def evaluate(self, x: Array, y: Array) -> tuple[float, Array]:
        if self._step.loss_fn is None:
            return super().evaluate(x, y)
        loss = self._step.evaluate(x, y)
        return loss, self._step.output

    def epoch(
        self,
        data: Samples,
        order: Order,
        batch_size: int,
        part: tuple[int, int],
        weights: Weights | None,
        tally: Tally,
        watcher: Watcher | None,
    ) -> tuple[int, float] | None:
        step = self._step
        if not self._is_one_call(weights):
            return super().epoch(data, order, batch_size, part, weights, tally, watcher)
        begin = part[0]
        batches = self._batches_of(data, batch_size).part(order, *part)
        outputs = step._core.empty_output(batches.samples) if tally.needs_output else None
        step._losses, counted = batches.losses[:0], 0

        def note(done: int) -> None:
            nonlocal counted
            if done > counted:
                between = slice(counted, done)
                correct = None if batches.correct is None else batches.correct[between]
                tally.add_batches(batches.losses[between], batches.sizes[between], correct)
                if outputs is not None:
                    rows = slice(counted * batch_size, done * batch_size)
                    taken = data.rows_between(batch_size, order, begin + counted, begin + done)
                    tally.add_outputs(outputs[rows], data.y[taken])
                counted = done
            if watcher is not None and done > 0:
                watcher.note(begin + done)

        try:
            finite = step._run_epoch(
                engine.STEP_TRAIN,
                batches,
                step._updates(""),
                output=outputs,
                stop_at_nonfinite=True,
                seconds=0.05 if watcher is None else watcher.seconds,
                progress=note,
            )
        finally:
            # What was done before an error counts too.
            watcher = None
            note(len(step.losses))
        return None if finite else (begin + counted, float(batches.losses[counted]))

    def measure(self, data: Samples, batch_size: int, tally: Tally) -> None:
        if self._step.loss_fn is None:
            super().measure(data, batch_size, tally)
            return
        batches = self._batches_of(data, batch_size)
        outputs = self._step._core.empty_output(batches.samples) if tally.needs_output else None
        self._step._run_epoch(engine.STEP_EVALUATE, batches, [], output=outputs)
        tally.add_batches(batches.losses, batches.sizes, batches.correct)
        if outputs is not None:
            tally.add_outputs(outputs, data.y)

    def outputs(self, x: Array, batch_size: int, like: Array) -> Array:
        batches = self._step._batches("Trainer", x, None, None, batch_size, targets=False)
        outputs = self._step._core.empty_output(len(x))
        self._step._run_epoch(engine.STEP_PREDICT, batches, [], output=outputs)
        return np.asarray(outputs)

    def _batches_of(self, data: Samples, batch_size: int) -> Batches:
        """The data as the step wants them: checked and laid out once."""
        kept = self._prepared.get(id(data))
        if kept is not None and kept[0] is data and kept[1].batch_size == batch_size:
            return kept[1]
        batches = self._step._batches("Trainer", data.x, data.y, None, batch_size)
        if isinstance(self._step.loss_fn, CrossEntropyLoss) and data.y.ndim == 1:
            batches.correct = np.zeros(len(batches), np.int64)
        self._prepared[id(data)] = data, batches
        return batches


class EagerRunner(Runner):
    """A batch goes through the layers one by one, as written by hand."""

    def _gradients(self, x: Array, y: Array, weights: Weights | None) -> tuple[float, Array]:
        self._clear_unless_waiting()
        output = self._model(x)
        loss, grad = self._loss_and_grad(output, y, weights)
        if grad is not None:
            self._model.backward(grad)
        return loss, output

    def predict(self, x: Array) -> Array:
        with no_record():
            output: Array = self._model(x)
            return output


def compiled_or_eager(
    model: Module,
    loss_fn: Any,
    optimizer: Any,
    sample: tuple[int, ...],
    batch: int,
    rule: Rule,
    kept: KeptSteps,
) -> tuple[Runner, str]:
    """The compiled way, for up to `batch` samples of this shape; else the eager one, and why."""
    taken = optimizer if _is_plain(optimizer, model) else None
    try:
        step = kept.take(model, loss_fn, taken, sample, batch)
        if step is None:
            step = compile(model, loss_fn, taken, input_shape=sample, max_batch=batch)
        return CompiledRunner(step, loss_fn, optimizer, rule), ""
    except (TypeError, ValueError) as error:
        # What is wrong with the model itself, the eager way says as well, and names the layer.
        reason = str(error).removeprefix("compile: ")
    try:
        # A loss of one's own: the two halves around it.
        step = compile(model, None, taken, input_shape=sample, max_batch=batch)
    except (TypeError, ValueError):
        eager = EagerRunner(model, loss_fn, optimizer, rule)
        return eager, f"runs layer by layer, not compiled: {reason}"
    return (
        CompiledRunner(step, loss_fn, optimizer, rule),
        f"calls the loss batch by batch: {reason}",
    )


def _is_plain(optimizer: Any, model: Module) -> bool:
    """Whether the engine may do its steps: nobody else's `step`, nobody else's parameters."""
    if not isinstance(optimizer, Optimizer) or "step" in vars(optimizer):
        return False
    own = set(model.parameters())
    held = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return type(optimizer).step is Optimizer.step and all(parameter in own for parameter in held)
