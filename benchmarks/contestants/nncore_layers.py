"""nncore's layers, any of them: the layer's pure pair, without the books that a Module keeps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.contestants.contestant import Runner
from nncore import nn
from nncore._core import engine
from nncore.nn.operation import Operation

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case


def layer_of(case: Case, arrays: Arrays) -> Any:
    """The layer with the case's weights."""
    layer = getattr(nn, case.options["layer"])(**case.options["arguments"])
    for name in ("weight", "bias"):
        if name in arrays:
            getattr(layer, name).data[...] = arrays[name]
    return layer.train(case.options.get("training", True))


def layer_forward(case: Case, arrays: Arrays) -> Runner:
    x = arrays["x"]
    if case.options["layer"] == "Add":
        other = arrays["other"]
        add = Operation("Add", "add", x.shape, x.shape, (other.shape,))
        forward = partial(engine.operation_forward, add, x, other)
    else:
        forward = partial(layer_of(case, arrays)._forward, x)
    return Runner(forward, lambda: compared(case, x, forward()[0]))


def layer_backward(case: Case, arrays: Arrays) -> Runner:
    layer, x, grad = layer_of(case, arrays), arrays["x"], arrays["grad"]
    _, saved = layer._forward(x)
    run = partial(layer._backward, saved, grad)

    def result() -> dict[str, np.ndarray]:
        layer.zero_grad()
        dx = run()
        if case.options["layer"] == "Dropout":
            return compared(case, grad, dx)
        found = {} if dx is None else {"dx": np.array(dx)}
        return found | {f"d{name}": p.grad.copy() for name, p in layer.named_parameters()}

    return Runner(run, result)


def compared(case: Case, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """What all must agree on: y, or of random zeros the factor on what is kept."""
    if case.options["layer"] != "Dropout":
        return {"y": np.array(y)}
    kept = y != 0
    return {"factor": np.array([np.median(y[kept] / x[kept])])}
