"""nncore's optimisers and whole training steps, by hand and compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import nncore
from benchmarks.contestants.contestant import OPTIMIZER_STEPS, TRAINING_STEPS, Runner
from nncore import nn, optim

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case
    from benchmarks.cases.networks import Network


class Model:
    """A network with its optimiser, built anew whenever it goes back to the initial weights."""

    def __init__(self, case: Case, network: Network, weights: Arrays):
        self._case, self._network, self._weights = case, network, weights
        self.reset()

    def reset(self) -> None:
        layers = (getattr(nn, la.kind)(**la.arguments) for la in self._network.layers)
        self.model = nn.Sequential(*layers)
        self.model.load_state_dict(self._weights)
        kind, arguments = self._case.options["optimizer"], self._case.options["arguments"]
        self.optimizer = getattr(optim, kind)(self.model.parameters(), **arguments)

    def arrays(self) -> Arrays:
        return {name: np.array(p.data) for name, p in self.model.named_parameters()}


class _Updating(Model):
    """The optimiser alone, the gradients given and kept."""

    def __init__(self, case: Case, arrays: Arrays):
        self._gradients = arrays
        network = case.options["network"]
        super().__init__(case, network, {name: arrays[name] for name in network.weights()})

    def reset(self) -> None:
        super().reset()
        for name, parameter in self.model.named_parameters():
            parameter.grad[...] = self._gradients[f"grad {name}"]

    def run(self) -> None:
        self.optimizer.step()

    def result(self) -> Arrays:
        self.reset()
        for _ in range(OPTIMIZER_STEPS):
            self.run()
        return self.arrays()


class Training(Model):
    """Forward, loss, backward, update, gradients cleared."""

    def __init__(self, case: Case, arrays: Arrays):
        network = case.options["network"]
        self._x, self._y = arrays["x"], arrays["y"]
        self._loss_fn = nn.CrossEntropyLoss()
        super().__init__(case, network, {name: arrays[name] for name in network.weights()})

    def run(self) -> Any:
        loss = self._loss_fn(self.model(self._x), self._y)
        self.model.backward(self._loss_fn.backward())
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def result(self) -> Arrays:
        self.reset()
        losses = np.array([self.run() for _ in range(TRAINING_STEPS)])
        return {"losses": losses, **self.arrays()}


class _CompiledTraining(Training):
    """The same in one call."""

    def reset(self) -> None:
        super().reset()
        self._step = nncore.compile(self.model, self._loss_fn, self.optimizer)

    def run(self) -> Any:
        return self._step(self._x, self._y)


def optimizer_step(case: Case, arrays: Arrays) -> Runner:
    state = _Updating(case, arrays)
    return Runner(state.run, state.result, state.reset)


def training_step(case: Case, arrays: Arrays, *, compiled: bool) -> Runner:
    state = (_CompiledTraining if compiled else Training)(case, arrays)
    return Runner(state.run, state.result, state.reset)


class _Epoch(_CompiledTraining):
    """A data set in one call."""

    def run(self) -> Any:
        return self._step.epoch(self._x, self._y, batch_size=self._case.options["batch"])

    def result(self) -> Arrays:
        """Of the first batches only: in a thousand steps roundings grow."""
        self.reset()
        some = TRAINING_STEPS * self._case.options["batch"]
        losses = self._step.epoch(
            self._x[:some], self._y[:some], batch_size=self._case.options["batch"]
        )
        return {"losses": losses, **self.arrays()}


def epoch(case: Case, arrays: Arrays) -> Runner:
    state = _Epoch(case, arrays)
    batches = len(arrays["x"]) / case.options["batch"]
    return Runner(state.run, state.result, state.reset, times=batches)


class _Build(_CompiledTraining):
    """What comes before the first step: everything but the layers themselves."""

    def run(self) -> Any:
        return nncore.compile(
            self.model,
            self._loss_fn,
            self.optimizer,
            input_shape=self._x.shape[1:],
            max_batch=len(self._x),
        )

    def result(self) -> Arrays:
        self._step = self.run()
        losses = np.array([self._step(self._x, self._y) for _ in range(TRAINING_STEPS)])
        return {"losses": losses, **self.arrays()}


def build(case: Case, arrays: Arrays) -> Runner:
    state = _Build(case, arrays)
    return Runner(state.run, state.result, state.reset)


def prediction(case: Case, arrays: Arrays, *, compiled: bool) -> Runner:
    network = case.options["network"]
    model = nn.Sequential(*(getattr(nn, la.kind)(**la.arguments) for la in network.layers))
    model.load_state_dict({name: arrays[name] for name in network.weights()})
    model.eval()
    predict, x = nncore.compile(model).predict if compiled else model, arrays["x"]
    return Runner(lambda: predict(x), lambda: {"y": np.array(predict(x))})
