"""A data set, batch by batch: by the compiled step or layer by layer, with the same bits."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore._core import engine
from nncore.compiler import Step, compile
from nncore.compiler.prepared import Batches
from nncore.losses import CrossEntropyLoss
from nncore.nn.arrays import Array
from nncore.nn.module import Module
from nncore.nn.recording import no_record
from nncore.optim import Optimizer
from nncore.training.meter import Meter
from nncore.training.samples import Samples

Order = NDArray[np.int64] | None


class Watcher(NamedTuple):
    """Who wants to know how far an epoch is: called with the number of whole batches."""

    note: Callable[[int], None]
    seconds: float  # between two calls


class Runner:
    """Runs a data set in batches. This one needs single batches, which its subclasses define.

    Losses are means over the batch; outputs are the model's.
    """

    def train(self, x: Array, y: Array) -> tuple[float, Array]:
        """Loss and output of a batch, then the update; none where the loss is not finite."""
        raise NotImplementedError

    def evaluate(self, x: Array, y: Array) -> tuple[float, Array]:
        """Loss and output of a batch; changes and records nothing."""
        raise NotImplementedError

    def predict(self, x: Array) -> Array:
        """Output of a batch; changes and records nothing."""
        raise NotImplementedError

    def epoch(
        self, data: Samples, order: Order, batch_size: int, meter: Meter, watcher: Watcher | None
    ) -> tuple[int, float] | None:
        """Train on all batches, counted by `meter`.

        Returns number (from 1) and loss of the batch whose loss was not finite: it was not trained
        on, and none after it. None if there is none.
        """
        for batch, (x, y) in enumerate(data.batches(batch_size, order), 1):
            loss, output = self.train(x, y)
            if not math.isfinite(loss):
                return batch, loss
            meter.add(loss, output, y)
            if watcher is not None:
                watcher.note(batch)
        return None

    def measure(self, data: Samples, batch_size: int, meter: Meter) -> None:
        """Count all batches; changes and records nothing."""
        for x, y in data.batches(batch_size):
            loss, output = self.evaluate(x, y)
            meter.add(loss, output, y)

    def outputs(self, x: Array, batch_size: int, like: Array) -> Array:
        """The outputs for all samples; `like` is one of them."""
        outputs = np.empty((len(x), *like.shape[1:]), like.dtype)
        for start in range(0, len(x), batch_size):
            outputs[start : start + batch_size] = self.predict(x[start : start + batch_size])
        return outputs


class CompiledRunner(Runner):
    """An epoch is one call of the compiled step, or one for each batch where it must be."""

    def __init__(self, step: Step, optimizer: Any) -> None:
        self._step, self._optimizer = step, optimizer
        self._prepared: dict[int, tuple[Samples, Batches]] = {}

    def train(self, x: Array, y: Array) -> tuple[float, Array]:
        # The update is a call of its own, so that a loss that is not finite stops before it.
        loss = self._step.gradients(x, y)
        if math.isfinite(loss):
            self._optimizer.step()
        return loss, self._step.output

    def epoch(
        self, data: Samples, order: Order, batch_size: int, meter: Meter, watcher: Watcher | None
    ) -> tuple[int, float] | None:
        if self._step.optimizer is None:
            return super().epoch(data, order, batch_size, meter, watcher)
        batches, counted = self._batches(data, batch_size), 0
        batches.order = order

        def note(done: int) -> None:
            nonlocal counted
            meter.add_batches(batches.losses, batches.sizes, batches.correct, counted, done)
            counted = done
            if watcher is not None and done > 0:
                watcher.note(done)

        finite = self._step._run_epoch(
            engine.STEP_TRAIN,
            batches,
            self._step._updates(""),
            stop_at_nonfinite=True,
            seconds=0.05 if watcher is None else watcher.seconds,
            progress=note,
        )
        done = len(self._step.losses)
        return None if finite else (done + 1, float(batches.losses[done]))

    def measure(self, data: Samples, batch_size: int, meter: Meter) -> None:
        batches = self._batches(data, batch_size)
        self._step._run_epoch(engine.STEP_EVALUATE, batches, [])
        meter.add_batches(batches.losses, batches.sizes, batches.correct, 0, len(batches))

    def outputs(self, x: Array, batch_size: int, like: Array) -> Array:
        batches = self._step._batches("Trainer", x, None, None, batch_size, targets=False)
        outputs = self._step._core.empty_output(len(x))
        self._step._run_epoch(engine.STEP_PREDICT, batches, [], output=outputs)
        return np.asarray(outputs)

    def _batches(self, data: Samples, batch_size: int) -> Batches:
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

    def __init__(self, model: Module, loss_fn: Any, optimizer: Any) -> None:
        self._model, self._loss_fn, self._optimizer = model, loss_fn, optimizer

    def train(self, x: Array, y: Array) -> tuple[float, Array]:
        output = self._model(x)
        loss = float(self._loss_fn(output, y))
        if math.isfinite(loss):
            self._model.zero_grad()
            self._model.backward(self._loss_fn.backward())
            self._optimizer.step()
        return loss, output

    def evaluate(self, x: Array, y: Array) -> tuple[float, Array]:
        with no_record():
            output = self._model(x)
            return float(self._loss_fn(output, y)), output

    def predict(self, x: Array) -> Array:
        with no_record():
            output: Array = self._model(x)
            return output


def compiled_or_eager(
    model: Module, loss_fn: Any, optimizer: Any, sample: tuple[int, ...], batch: int
) -> tuple[Runner, str]:
    """The compiled way, for up to `batch` samples of this shape; else the eager one, and why."""
    taken = optimizer if _is_plain(optimizer, model) else None
    try:
        step = compile(model, loss_fn, taken, input_shape=sample, max_batch=batch)
    except (TypeError, ValueError) as error:
        # What is wrong with the model itself, the eager way says as well, and names the layer.
        return EagerRunner(model, loss_fn, optimizer), str(error).removeprefix("compile: ")
    return CompiledRunner(step, optimizer), ""


def _is_plain(optimizer: Any, model: Module) -> bool:
    """Whether the engine may do its steps: nobody else's `step`, nobody else's parameters."""
    if not isinstance(optimizer, Optimizer) or "step" in vars(optimizer):
        return False
    own = set(model.parameters())
    held = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return type(optimizer).step is Optimizer.step and all(parameter in own for parameter in held)
