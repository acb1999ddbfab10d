"""PyTorch's optimisers and whole training steps, at their fastest settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.cases.step import SHIFT
from benchmarks.contestants.contestant import OPTIMIZER_STEPS, TRAINING_STEPS, Runner

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.case import Arrays, Case
    from benchmarks.cases.networks import Network


class _Optimizer:
    """A fused optimiser over tensors that can be put back to where they started."""

    def __init__(self, case: Case, parameters: dict[str, torch.Tensor]):
        self._parameters = parameters
        self._initial = {name: tensor.detach().clone() for name, tensor in parameters.items()}
        kind = getattr(torch.optim, case.options["optimizer"])
        arguments: dict[str, Any] = case.options["arguments"]
        self.optimizer = kind(parameters.values(), **arguments, fused=True)
        self._fresh = self.optimizer.state_dict()

    def reset(self) -> None:
        with torch.no_grad():
            for name, tensor in self._parameters.items():
                tensor.copy_(self._initial[name])
        self.optimizer.load_state_dict(self._fresh)

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: t.detach().numpy().copy() for name, t in self._parameters.items()}


def optimizer_step(case: Case, arrays: Arrays) -> Runner:
    """The update alone, the gradients given and kept."""
    tensors = {name: torch.from_numpy(array).clone() for name, array in arrays.items()}
    parameters = {n: t.requires_grad_() for n, t in tensors.items() if not n.startswith("grad ")}
    for name, parameter in parameters.items():
        parameter.grad = tensors[f"grad {name}"]
    state = _Optimizer(case, parameters)

    def result() -> dict[str, np.ndarray]:
        state.reset()
        for _ in range(OPTIMIZER_STEPS):
            state.optimizer.step()
        return state.arrays()

    return Runner(state.optimizer.step, result, state.reset)


def training_step(
    case: Case,
    arrays: Arrays,
    layout: torch.memory_format,
    prepare: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function,
) -> Runner | None:
    """Forward, loss, backward, update, gradients dropped; ``prepare`` may compile the loss."""
    network = case.options["network"]
    if layout is torch.channels_last and len(network.input_shape) != 3:
        return None
    x, y = torch.from_numpy(arrays["x"]).clone(), torch.from_numpy(arrays["y"]).clone()
    model = _model(network, arrays)
    if layout is torch.channels_last:
        x, model = x.contiguous(memory_format=layout), model.to(memory_format=layout)
    loss_fn = nn.CrossEntropyLoss()
    loss_of = prepare(lambda x, y: loss_fn(model(x), y))
    state = _Optimizer(case, dict(model.named_parameters()))
    optimizer = state.optimizer

    def run() -> torch.Tensor:
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    def result() -> dict[str, np.ndarray]:
        state.reset()
        losses = torch.stack([run().detach() for _ in range(TRAINING_STEPS)])
        return {"losses": losses.numpy(), **state.arrays()}

    return Runner(run, result, state.reset)


def recipe(
    case: Case,
    arrays: Arrays,
    layout: torch.memory_format,
    prepare: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function,
) -> Runner:
    """An epoch of batches: shuffled, moved, each trained on with the cycle's rate for it."""
    batch, rate = case.options["batch"], case.options["arguments"]["lr"]
    x, y = torch.from_numpy(arrays["x"]).clone(), torch.from_numpy(arrays["y"]).clone()
    count, places = len(x), 2 * SHIFT + 1
    # Padded once: moving a batch is one indexing.
    padded = functional.pad(x, (SHIFT,) * 4)
    windows = padded.unfold(2, x.shape[2], 1).unfold(3, x.shape[3], 1)
    model = _model(case.options["network"], arrays).to(memory_format=layout)
    loss_fn = nn.CrossEntropyLoss()
    loss_of = prepare(lambda x, y: loss_fn(model(x), y))
    state = _Optimizer(case, dict(model.named_parameters()))
    optimizer = state.optimizer

    def fit(batches: int, *, moved: bool) -> None:
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, count // batch)
        order = torch.randperm(count) if moved else torch.arange(count)
        for rows in order.split(batch)[:batches]:
            if moved:
                down, right = torch.randint(places, (2, len(rows)))
                images = windows[rows, :, down, right]
            else:
                images = x[rows]
            loss = loss_of(images.contiguous(memory_format=layout), y[rows])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            cycle.step()

    def result() -> dict[str, np.ndarray]:
        state.reset()
        fit(TRAINING_STEPS, moved=False)
        return state.arrays()

    return Runner(lambda: fit(count // batch, moved=True), result, state.reset, times=count / batch)


def prediction(case: Case, arrays: Arrays) -> Runner:
    model, x = _model(case.options["network"], arrays).eval(), torch.from_numpy(arrays["x"]).clone()
    return Runner(
        lambda: model(x),
        lambda: {"y": model(x).detach().numpy()},
        surroundings=torch.inference_mode,
    )


def _model(network: Network, arrays: Arrays) -> nn.Sequential:
    model = nn.Sequential(*(getattr(nn, la.kind)(**la.arguments) for la in network.layers))
    model.load_state_dict({name: torch.from_numpy(arrays[name]) for name in network.weights()})
    return model
