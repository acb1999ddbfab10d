"""JAX's training: one jitted function per step, its parameters and state donated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.contestants.contestant import OPTIMIZER_STEPS, TRAINING_STEPS, Runner

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case
    from benchmarks.cases.networks import Layer, Network

Tree = Any
"""A list of arrays, or the optimiser's state over such lists."""


def _update(case: Case) -> tuple[Callable[[Tree], Tree], Callable[..., tuple[Tree, Tree]]]:
    """The optimiser as two pure functions: its state at the start, and one step."""
    arguments: dict[str, float] = case.options["arguments"]
    lr = arguments["lr"]
    if case.options["optimizer"] == "Adam":
        return _adam_start, lambda *trees: _adam_step(*trees, lr)
    momentum = arguments.get("momentum", 0.0)
    if momentum:
        return _zeros, lambda *trees: _momentum_step(*trees, lr, momentum)

    def plain(parameters: Tree, gradients: Tree, state: Tree) -> tuple[Tree, Tree]:
        return jax.tree.map(lambda p, g: p - lr * g, parameters, gradients), state

    return lambda _: (), plain


def _zeros(parameters: Tree) -> Tree:
    return jax.tree.map(jnp.zeros_like, parameters)


def _momentum_step(
    parameters: Tree, gradients: Tree, velocity: Tree, lr: float, momentum: float
) -> tuple[Tree, Tree]:
    velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, gradients)
    return jax.tree.map(lambda p, v: p - lr * v, parameters, velocity), velocity


def _adam_start(parameters: Tree) -> Tree:
    return _zeros(parameters), _zeros(parameters), jnp.zeros((), jnp.int32)


def _adam_step(parameters: Tree, gradients: Tree, state: Tree, lr: float) -> tuple[Tree, Tree]:
    beta1, beta2, eps = 0.9, 0.999, 1e-8
    mean, square, count = state
    count = count + 1
    mean = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, mean, gradients)
    square = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, square, gradients)
    scale, root = lr / (1 - beta1**count), jnp.sqrt(1 - beta2**count)
    new = jax.tree.map(
        lambda p, m, v: p - scale * m / (jnp.sqrt(v) / root + eps), parameters, mean, square
    )
    return new, (mean, square, count)


class _Training:
    """Parameters and state that a jitted step takes over and gives back."""

    def __init__(self, case: Case, initial: dict[str, np.ndarray]):
        self._initial = initial
        self._start, self.update = _update(case)
        self.reset()

    def reset(self) -> None:
        self.parameters = [jnp.array(array) for array in self._initial.values()]
        self.state = self._start(self.parameters)

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.array(p) for name, p in zip(self._initial, self.parameters, strict=True)}


def optimizer_step(case: Case, arrays: Arrays) -> Runner:
    initial = {name: a for name, a in arrays.items() if not name.startswith("grad ")}
    gradients = [jnp.array(arrays[f"grad {name}"]) for name in initial]
    training = _Training(case, initial)
    step = jax.jit(training.update, donate_argnums=(0, 2))

    def run() -> None:
        training.parameters, training.state = step(training.parameters, gradients, training.state)
        jax.block_until_ready(training.parameters)

    def result() -> dict[str, np.ndarray]:
        training.reset()
        for _ in range(OPTIMIZER_STEPS):
            run()
        return training.arrays()

    return Runner(run, result, training.reset)


def _step_of(case: Case, update: Callable[..., tuple[Tree, Tree]]) -> Callable[..., Tree]:
    """One step as a pure function: (parameters, state, x, y) to (parameters, state, loss)."""
    network: Network = case.options["network"]
    names = list(network.weights())

    def loss_of(parameters: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
        logits = _forward(network, dict(zip(names, parameters, strict=True)), x)
        chosen = jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]
        return (jax.nn.logsumexp(logits, axis=1) - chosen).mean()

    def step(
        parameters: list[jax.Array], state: Tree, x: jax.Array, y: jax.Array
    ) -> tuple[Tree, Tree, jax.Array]:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
        return *update(parameters, gradients, state), loss

    return step


def _data(arrays: Arrays) -> tuple[jax.Array, jax.Array]:
    x = arrays["x"]
    return jnp.array(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x), jnp.array(
        arrays["y"], jnp.int32
    )


def training_step(case: Case, arrays: Arrays) -> Runner:
    training = _Training(case, {name: arrays[name] for name in case.options["network"].weights()})
    x, y = _data(arrays)
    jitted = jax.jit(_step_of(case, training.update), donate_argnums=(0, 1))

    def run() -> jax.Array:
        training.parameters, training.state, loss = jitted(
            training.parameters, training.state, x, y
        )
        return loss.block_until_ready()

    def result() -> dict[str, np.ndarray]:
        training.reset()
        losses = np.array([run() for _ in range(TRAINING_STEPS)])
        return {"losses": losses, **training.arrays()}

    return Runner(run, result, training.reset)


def build(case: Case, arrays: Arrays) -> Runner:
    """Tracing and compiling alone, of a function that was never seen before."""
    training = _Training(case, {name: arrays[name] for name in case.options["network"].weights()})
    x, y = _data(arrays)

    def run() -> Any:
        jitted = jax.jit(_step_of(case, training.update), donate_argnums=(0, 1))
        return jitted.lower(training.parameters, training.state, x, y).compile()

    def result() -> dict[str, np.ndarray]:
        training.reset()
        step, losses = run(), []
        for _ in range(TRAINING_STEPS):
            training.parameters, training.state, loss = step(
                training.parameters, training.state, x, y
            )
            losses.append(loss)
        return {"losses": np.array(losses), **training.arrays()}

    return Runner(run, result, training.reset)


def epoch(case: Case, arrays: Arrays) -> Runner:
    """All batches in one jitted call: a scan over them, parameters and state donated."""
    training = _Training(case, {name: arrays[name] for name in case.options["network"].weights()})
    step = _step_of(case, training.update)
    size = case.options["batch"]
    x, y = (a.reshape(-1, size, *a.shape[1:]) for a in _data(arrays))

    def scan(parameters: Tree, state: Tree, xs: jax.Array, ys: jax.Array) -> Tree:
        def one(carry: tuple[Tree, Tree], batch: tuple[jax.Array, jax.Array]) -> Tree:
            *carried, loss = step(*carry, *batch)
            return tuple(carried), loss

        return lax.scan(one, (parameters, state), (xs, ys))

    jitted = jax.jit(scan, donate_argnums=(0, 1))

    def run(xs: jax.Array, ys: jax.Array) -> jax.Array:
        (training.parameters, training.state), losses = jitted(
            training.parameters, training.state, xs, ys
        )
        return losses.block_until_ready()

    def result() -> dict[str, np.ndarray]:
        training.reset()
        losses = np.array(run(x[:TRAINING_STEPS], y[:TRAINING_STEPS]))
        return {"losses": losses, **training.arrays()}

    return Runner(lambda: run(x, y), result, training.reset, times=len(x))


def prediction(case: Case, arrays: Arrays) -> Runner:
    network: Network = case.options["network"]
    weights = {name: jnp.array(arrays[name]) for name in network.weights()}
    x = jnp.array(arrays["x"])
    jitted = jax.jit(lambda weights, x: _forward(network, weights, x))

    def run() -> jax.Array:
        return jitted(weights, x).block_until_ready()

    return Runner(run, lambda: {"y": np.array(run())})


def _forward(network: Network, weights: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    for position, layer in enumerate(network.layers):
        names = (f"{position}.weight", f"{position}.bias")
        x = _layer(layer, x, [weights[name] for name in names if name in weights])
    return x


def _layer(layer: Layer, x: jax.Array, weights: list[jax.Array]) -> jax.Array:
    """One layer; images are NHWC, weights in PyTorch's order."""
    a = layer.arguments
    match layer.kind:
        case "Linear":
            return x @ weights[0].T + weights[1]
        case "Conv2d":
            pads = [(a.get("padding", 0),) * 2] * 2
            y = lax.conv_general_dilated(
                x, weights[0], (1, 1), pads, dimension_numbers=("NHWC", "OIHW", "NHWC")
            )
            return y + weights[1]
        case "MaxPool2d":
            window = (1, a["kernel_size"], a["kernel_size"], 1)
            return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
        case "ReLU":
            return jnp.maximum(x, 0)
        case "Tanh":
            return jnp.tanh(x)
        case "Flatten":  # in PyTorch's order, which the weights after it expect
            return x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        case kind:
            raise NotImplementedError(f"no JAX form of layer {kind}")
