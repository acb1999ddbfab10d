"""NumPy: ``nncore.reference``, the same mathematics in vectorised NumPy, in float32.

Where an output array that is there already makes NumPy faster, it gets one. The variant
``per-sample`` is the lecture notes' loop over the batch in the backward pass of Linear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.contestants import numpy_training as training
from benchmarks.contestants.contestant import Operations, Runner
from benchmarks.contestants.numpy_layers import layer_backward, layer_forward
from nncore import reference

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case

PER_SAMPLE = "per-sample"


def open_contestant(variant: str, _threads: int) -> Operations:
    """The number of threads comes from the environment, before NumPy is imported."""
    per_sample = variant == PER_SAMPLE
    linear_backward = (
        reference.linear_backward_per_sample if per_sample else reference.linear_backward
    )
    makers: dict[str, Callable[[Case, Arrays], Runner | None]] = {
        "linear.forward+backward": lambda _, a: _linear_forward_backward(a, linear_backward),
        "step.train": lambda case, a: training.training_step(case, a, linear_backward),
    }
    if not per_sample:
        makers |= {
            "linear.forward": _linear_forward,
            "linear.dx": _linear_dx,
            "linear.dW+db": _linear_dw_db,
            "pool.forward": _pool_forward,
            "pool.backward": _pool_backward,
            "pool.forward+backward": _pool_forward_backward,
            "average.forward": _average_forward,
            "average.backward": _average_backward,
            "conv.forward": _conv_forward,
            "activation.forward": _activation_forward,
            "activation.backward": _activation_backward,
            "layer.forward": layer_forward,
            "layer.backward": layer_backward,
            "optim.step": training.optimizer_step,
        }
    return Operations(np.__version__, makers)


def _runner(compute: Callable[[], object], *names: str) -> Runner:
    def result() -> dict[str, np.ndarray]:
        outputs = compute()
        arrays = outputs if isinstance(outputs, tuple) else (outputs,)
        return dict(zip(names, arrays, strict=True))

    return Runner(compute, result)


# Linear


def _linear_forward(_: Case, arrays: Arrays) -> Runner:
    x, bias, transposed = arrays["x"], arrays["bias"], arrays["weight"].T
    y = np.empty((len(x), len(bias)), x.dtype)

    def compute() -> np.ndarray:
        np.matmul(x, transposed, out=y)
        return np.add(y, bias, out=y)

    return _runner(compute, "y")


def _linear_dx(_: Case, arrays: Arrays) -> Runner:
    grad, weight = arrays["grad"], arrays["weight"]
    dx = np.empty((len(grad), weight.shape[1]), grad.dtype)
    return _runner(lambda: np.matmul(grad, weight, out=dx), "dx")


def _linear_dw_db(_: Case, arrays: Arrays) -> Runner:
    grad, transposed, x = arrays["grad"], arrays["grad"].T, arrays["x"]
    dw = np.empty((grad.shape[1], x.shape[1]), x.dtype)
    db = np.empty(grad.shape[1], x.dtype)

    def compute() -> tuple[np.ndarray, np.ndarray]:
        return np.matmul(transposed, x, out=dw), np.sum(grad, axis=0, out=db)

    return _runner(compute, "dw", "db")


def _linear_forward_backward(arrays: Arrays, backward: Callable[..., object]) -> Runner:
    x, weight, bias, grad = (arrays[name] for name in ("x", "weight", "bias", "grad"))

    def compute() -> tuple[np.ndarray, ...]:
        return reference.linear(x, weight, bias), *backward(grad, x, weight)

    return _runner(compute, "y", "dx", "dw", "db")


# Images


def _pool_arguments(case: Case) -> tuple[int, int, int]:
    options = case.options
    return options["kernel_size"], options["stride"], options["padding"]


def _pool_forward(case: Case, arrays: Arrays) -> Runner:
    x, arguments = arrays["x"], _pool_arguments(case)
    return _runner(lambda: reference.max_pool2d(x, *arguments)[0], "y")


def _pool_backward(case: Case, arrays: Arrays) -> Runner:
    x, grad, arguments = arrays["x"], arrays["grad"], _pool_arguments(case)
    _, index = reference.max_pool2d(x, *arguments)
    shape = x.shape
    return _runner(lambda: reference.max_pool2d_backward(grad, index, shape, *arguments), "dx")


def _pool_forward_backward(case: Case, arrays: Arrays) -> Runner:
    x, grad, arguments = arrays["x"], arrays["grad"], _pool_arguments(case)

    def compute() -> tuple[np.ndarray, np.ndarray]:
        y, index = reference.max_pool2d(x, *arguments)
        return y, reference.max_pool2d_backward(grad, index, x.shape, *arguments)

    return _runner(compute, "y", "dx")


def _average_forward(case: Case, arrays: Arrays) -> Runner:
    x, arguments = arrays["x"], _pool_arguments(case)
    return _runner(lambda: reference.avg_pool2d(x, *arguments), "y")


def _average_backward(case: Case, arrays: Arrays) -> Runner:
    grad, shape, arguments = arrays["grad"], arrays["x"].shape, _pool_arguments(case)
    return _runner(lambda: reference.avg_pool2d_backward(grad, shape, *arguments), "dx")


def _conv_forward(case: Case, arrays: Arrays) -> Runner:
    x, weight, bias = arrays["x"], arrays["weight"], arrays["bias"]
    padding = case.options["padding"]
    return _runner(lambda: reference.conv2d(x, weight, bias, padding=padding), "y")


# Activations


_FROM_OUTPUT = ("relu", "sigmoid", "tanh", "exp")


def _activation_forward(case: Case, arrays: Arrays) -> Runner | None:
    name, x = case.options["function"], arrays["x"]
    if name.startswith("gelu"):
        return None  # NumPy has no erf: a million calls of math.erfc
    y = np.empty_like(x)
    into_y: dict[str, Callable[[], object]] = {
        "relu": lambda: np.maximum(x, 0, out=y),
        "tanh": lambda: np.tanh(x, out=y),
        "exp": lambda: np.exp(x, out=y),
        "log": lambda: np.log(x, out=y),
    }
    function = getattr(reference, name)
    return _runner(into_y.get(name, lambda: function(x)), "y")


def _activation_backward(case: Case, arrays: Arrays) -> Runner | None:
    name, grad, x = case.options["function"], arrays["grad"], arrays["x"]
    if name.startswith("gelu"):
        return None
    kept = getattr(reference, name)(x) if name in _FROM_OUTPUT else x
    backward = getattr(reference, f"{name}_backward")
    return _runner(lambda: backward(grad, kept), "dx")
