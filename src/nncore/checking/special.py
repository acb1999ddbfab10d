"""Comparisons of another kind: optimisers step by step, Dropout by what it keeps."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from nncore._core import engine
from nncore.checking.adapter import Student
from nncore.checking.diagnoses import Finding
from nncore.nn.parameter import Parameter
from nncore.optim.optimizer import Optimizer

STEPS = 4


def optimizer(own: Student, like: Optimizer, seed: int) -> Iterator[Finding]:
    """A few steps of one parameter; the rule has the numbers of the first group."""
    start = engine.stream_normal(seed, "param", 0, (3, 4), np.float64, 0.0, 1.0)
    parameter, values = Parameter(start), start.copy()
    group = {key: like.param_groups[0][key] for key in like.defaults}
    rule = type(like)([parameter], **group)
    shared = {"lr": float(group["lr"]), "decay": float(group.get("weight_decay", 0.0))}
    for step in range(STEPS):
        grad = engine.stream_normal(seed, "grad", step, (3, 4), np.float64, 0.0, 1.0)
        parameter.grad[...] = grad
        before = parameter.data.copy()
        rule.step()

        def run(given: Any, grad: Any) -> Any:
            result = own.given(given, grad)
            return np.array(given if result is None else result, np.float64)

        found = Finding.of(
            f"step {step + 1}",
            "param",
            parameter.data,
            partial(run, values.copy(), grad.copy()),
            param=before,
            grad=grad,
            **shared,
        )
        yield found
        values = parameter.data.copy()


def is_dropout(like: Any) -> bool:
    return type(like).__name__ == "Dropout" and hasattr(like, "p")


def dropout(own: Student, like: Any, seed: int) -> Iterator[Finding]:
    """Masks differ; what is kept, how much of it, and that backward has forward's mask do not."""
    p, x = float(like.p), np.ones((50, 80))
    grad = np.ones_like(x)
    first = Finding.of("forward", "y", x, lambda: own.forward(x.copy()))
    if first.got is None or first.got.shape != x.shape:
        yield first
        return
    kept = first.got != 0
    scale = 1 / (1 - p) if p < 1 else 0.0
    share = np.array(1 - float(kept.mean()))
    # Within five deviations of a fair coin the share of zeros is right.
    near = abs(float(share) - p) <= 5 * np.sqrt(p * (1 - p) / x.size)
    yield Finding.of(
        "share of zeros",
        "p",
        share if near else np.array(p),
        lambda: share,
        like=like,
        dropout=True,
    )
    extra = {"like": like, "dropout": True, "keep": 1 - p}
    yield Finding.of("forward", "y", kept * scale, lambda: first.got, **extra)
    if own.has_backward:
        yield Finding.of("backward", "dx", kept * scale, lambda: own.backward(grad), **extra)
