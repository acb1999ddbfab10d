"""JAX: every operation one jitted function, finished before the time is taken.

Images are NHWC and filters HWIO inside, which XLA's CPU backend runs faster than PyTorch's layout;
inputs are brought into it before, results back after the timed part.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.contestants.contestant import Operations, Runner
from benchmarks.contestants.jax_training import (
    build,
    epoch,
    optimizer_step,
    prediction,
    training_step,
)

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case

Function = Callable[..., Any]


def open_contestant(_variant: str, _threads: int) -> Operations:
    """The number of threads is the number of cores this process is pinned to."""
    makers = {
        "linear.forward": _linear_forward,
        "linear.dx": _linear_dx,
        "linear.dW+db": _linear_dw_db,
        "linear.forward+backward": _linear_forward_backward,
        "pool.forward": _pool_forward,
        "pool.backward": _pool_backward,
        "pool.forward+backward": _pool_forward_backward,
        "conv.forward": _conv_forward,
        "conv.backward data": _conv_backward_data,
        "conv.backward weights": _conv_backward_weights,
        "activation.forward": _activation_forward,
        "activation.backward": _activation_backward,
        "optim.step": optimizer_step,
        "step.train": training_step,
        "step.epoch": epoch,
        "build.train": build,
        "step.predict": prediction,
    }
    return Operations(jax.__version__, makers)


def _runner(
    function: Function, inputs: list[jax.Array], names: tuple[str, ...], *axes: tuple[int, ...]
) -> Runner:
    """A runner of ``function(*inputs)``; ``axes`` bring its first outputs to PyTorch's order."""

    def run() -> object:
        return jax.block_until_ready(function(*inputs))

    def result() -> dict[str, np.ndarray]:
        outputs = function(*inputs)
        arrays = [np.asarray(o) for o in (outputs if isinstance(outputs, tuple) else (outputs,))]
        arrays[: len(axes)] = [a.transpose(order) for a, order in zip(arrays, axes, strict=False)]
        return dict(zip(names, arrays, strict=True))

    return Runner(run, result)


def _arguments(arrays: Arrays, *names: str) -> list[jax.Array]:
    return [jnp.array(arrays[name]) for name in names]


# Linear


@jax.jit
def _affine(x: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
    return x @ weight.T + bias


@jax.jit
def _affine_dx(grad: jax.Array, weight: jax.Array) -> jax.Array:
    return grad @ weight


@jax.jit
def _affine_dw_db(grad: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return grad.T @ x, grad.sum(0)


@jax.jit
def _affine_forward_backward(
    x: jax.Array, weight: jax.Array, bias: jax.Array, grad: jax.Array
) -> tuple[jax.Array, ...]:
    y, backward = jax.vjp(_affine, x, weight, bias)
    return y, *backward(grad)


def _linear_forward(_case: Case, arrays: Arrays) -> Runner:
    return _runner(_affine, _arguments(arrays, "x", "weight", "bias"), ("y",))


def _linear_dx(_case: Case, arrays: Arrays) -> Runner:
    return _runner(_affine_dx, _arguments(arrays, "grad", "weight"), ("dx",))


def _linear_dw_db(_case: Case, arrays: Arrays) -> Runner:
    return _runner(_affine_dw_db, _arguments(arrays, "grad", "x"), ("dw", "db"))


def _linear_forward_backward(_case: Case, arrays: Arrays) -> Runner:
    inputs = _arguments(arrays, "x", "weight", "bias", "grad")
    return _runner(_affine_forward_backward, inputs, ("y", "dx", "dw", "db"))


# Images

NHWC, NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
HWIO, OIHW = (2, 3, 1, 0), (3, 2, 0, 1)


def to_nhwc(image: np.ndarray) -> jax.Array:
    return jnp.array(image.transpose(NHWC))


def to_hwio(filters: np.ndarray) -> jax.Array:
    return jnp.array(filters.transpose(HWIO))


@functools.cache
def _pooling(kernel: int, stride: int, padding: int) -> Function:
    window, strides = (1, kernel, kernel, 1), (1, stride, stride, 1)
    pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return jax.jit(lambda x: lax.reduce_window(x, -jnp.inf, lax.max, window, strides, pads))


@functools.cache
def _pooling_backward(function: Function, *, with_forward: bool) -> Function:
    def backward(x: jax.Array, grad: jax.Array) -> Any:
        y, pull_back = jax.vjp(function, x)
        (dx,) = pull_back(grad)
        return (y, dx) if with_forward else dx

    return jax.jit(backward)


def _pool(case: Case) -> Function:
    return _pooling(*(case.options[name] for name in ("kernel_size", "stride", "padding")))


def _pool_forward(case: Case, arrays: Arrays) -> Runner:
    return _runner(_pool(case), [to_nhwc(arrays["x"])], ("y",), NCHW)


def _pool_backward(case: Case, arrays: Arrays) -> Runner:
    function = _pooling_backward(_pool(case), with_forward=False)
    return _runner(function, [to_nhwc(arrays["x"]), to_nhwc(arrays["grad"])], ("dx",), NCHW)


def _pool_forward_backward(case: Case, arrays: Arrays) -> Runner:
    function = _pooling_backward(_pool(case), with_forward=True)
    inputs = [to_nhwc(arrays["x"]), to_nhwc(arrays["grad"])]
    return _runner(function, inputs, ("y", "dx"), NCHW, NCHW)


@functools.cache
def _convolution(padding: int) -> Function:
    def convolve(x: jax.Array, weight: jax.Array) -> jax.Array:
        layout = ("NHWC", "HWIO", "NHWC")
        pads = [(padding, padding)] * 2
        return lax.conv_general_dilated(x, weight, (1, 1), pads, dimension_numbers=layout)

    return convolve


@functools.cache
def _convolution_forward(padding: int) -> Function:
    convolve = _convolution(padding)
    return jax.jit(lambda x, weight, bias: convolve(x, weight) + bias)


@functools.cache
def _convolution_dx(padding: int) -> Function:
    convolve = _convolution(padding)

    def dx(grad: jax.Array, x: jax.Array, weight: jax.Array) -> jax.Array:
        return jax.vjp(lambda x: convolve(x, weight), x)[1](grad)[0]

    return jax.jit(dx)


@functools.cache
def _convolution_dw_db(padding: int) -> Function:
    convolve = _convolution(padding)

    def dw_db(grad: jax.Array, x: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        dw = jax.vjp(lambda weight: convolve(x, weight), weight)[1](grad)[0]
        return dw, grad.sum((0, 1, 2))

    return jax.jit(dw_db)


def _conv_forward(case: Case, arrays: Arrays) -> Runner:
    inputs = [to_nhwc(arrays["x"]), to_hwio(arrays["weight"]), jnp.array(arrays["bias"])]
    return _runner(_convolution_forward(case.options["padding"]), inputs, ("y",), NCHW)


def _conv_backward_data(case: Case, arrays: Arrays) -> Runner:
    inputs = [to_nhwc(arrays["grad"]), to_nhwc(arrays["x"]), to_hwio(arrays["weight"])]
    return _runner(_convolution_dx(case.options["padding"]), inputs, ("dx",), NCHW)


def _conv_backward_weights(case: Case, arrays: Arrays) -> Runner:
    inputs = [to_nhwc(arrays["grad"]), to_nhwc(arrays["x"]), to_hwio(arrays["weight"])]
    return _runner(_convolution_dw_db(case.options["padding"]), inputs, ("dw", "db"), OIHW)


# Activations

_FORWARD = {
    "relu": jax.jit(lambda x: jnp.maximum(x, 0)),
    "sigmoid": jax.jit(jax.nn.sigmoid),
    "tanh": jax.jit(jnp.tanh),
}
_BACKWARD = {
    "relu": jax.jit(lambda grad, y: jnp.where(y > 0, grad, 0)),
    "sigmoid": jax.jit(lambda grad, y: grad * y * (1 - y)),
    "tanh": jax.jit(lambda grad, y: grad * (1 - y * y)),
}


def _activation_forward(case: Case, arrays: Arrays) -> Runner | None:
    if case.options["function"] not in _FORWARD:
        return None
    return _runner(_FORWARD[case.options["function"]], _arguments(arrays, "x"), ("y",))


def _activation_backward(case: Case, arrays: Arrays) -> Runner | None:
    name = case.options["function"]
    if name not in _BACKWARD:
        return None
    y = _FORWARD[name](jnp.array(arrays["x"]))
    return _runner(_BACKWARD[name], [jnp.array(arrays["grad"]), y], ("dx",))
