"""PyTorch's optimisers and whole training steps, at their fastest settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmarks.contestants.contestant import OPTIMIZER_STEPS, TRAINING_STEPS, Runner

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.case import Arrays, Case
    from benchmarks.cases.networks import Network


class Optimizer:
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
    state = Optimizer(case, parameters)

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
    model = model_of(network, arrays)
    if layout is torch.channels_last:
        x, model = x.contiguous(memory_format=layout), model.to(memory_format=layout)
    loss_fn = nn.CrossEntropyLoss()
    loss_of = prepare(lambda x, y: loss_fn(model(x), y))
    state = Optimizer(case, dict(model.named_parameters()))
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


def prediction(case: Case, arrays: Arrays) -> Runner:
    model, x = (
        model_of(case.options["network"], arrays).eval(),
        torch.from_numpy(arrays["x"]).clone(),
    )
    return Runner(
        lambda: model(x),
        lambda: {"y": model(x).detach().numpy()},
        surroundings=torch.inference_mode,
    )


def model_of(network: Network, arrays: Arrays) -> nn.Sequential:
    model = nn.Sequential(*(getattr(nn, la.kind)(**la.arguments) for la in network.layers))
    model.load_state_dict({name: torch.from_numpy(arrays[name]) for name in network.weights()})
    return model
