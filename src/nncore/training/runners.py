"""One batch, by the compiled step or layer by layer: the two ways have the same bits."""

import math
from typing import Any, Protocol

from nncore.compiler import Step, compile
from nncore.nn.arrays import Array
from nncore.nn.module import Module
from nncore.nn.recording import no_record


class Runner(Protocol):
    """What the loop asks for. Losses are means over the batch; outputs are the model's."""

    def train(self, x: Array, y: Array) -> tuple[float, Array]:
        """Loss and output of a batch, then the update; none where the loss is not finite."""

    def evaluate(self, x: Array, y: Array) -> tuple[float, Array]:
        """Loss and output of a batch; changes and records nothing."""

    def predict(self, x: Array) -> Array:
        """Output of a batch; changes and records nothing."""


class CompiledRunner:
    """A batch is one call of the compiled step."""

    def __init__(self, step: Step, optimizer: Any) -> None:
        self._step, self._optimizer = step, optimizer

    def train(self, x: Array, y: Array) -> tuple[float, Array]:
        # The update is a call of its own, so that a loss that is not finite stops before it.
        loss = self._step.gradients(x, y)
        if math.isfinite(loss):
            self._optimizer.step()
        return loss, self._step.output

    def evaluate(self, x: Array, y: Array) -> tuple[float, Array]:
        loss = self._step.evaluate(x, y)
        return loss, self._step.output

    def predict(self, x: Array) -> Array:
        return self._step.predict(x)


class EagerRunner:
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
            return self._model(x)


def compiled_or_eager(
    model: Module, loss_fn: Any, optimizer: Any, sample: tuple[int, ...], batch: int
) -> tuple[Runner, str]:
    """The compiled way, for up to `batch` samples of this shape; else the eager one, and why."""
    try:
        step = compile(model, loss_fn, input_shape=sample, max_batch=batch)
    except (TypeError, ValueError) as error:
        # What is wrong with the model itself, the eager way says as well, and names the layer.
        return EagerRunner(model, loss_fn, optimizer), str(error).removeprefix("compile: ")
    return CompiledRunner(step, optimizer), ""
