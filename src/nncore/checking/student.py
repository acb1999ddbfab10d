"""`nncore.check`: a student's forward and backward beside a layer's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from nncore._core import engine
from nncore.checking import diagnoses, special
from nncore.checking.adapter import Student
from nncore.checking.diagnoses import Finding
from nncore.losses import LossFunction
from nncore.nn.arrays import Array
from nncore.nn.module import Module
from nncore.optim.optimizer import Optimizer


@dataclass
class CheckReport:
    """What `check` found; true where all agrees, and readable as text."""

    student: str
    like: str
    agreed: list[str] = field(default_factory=list)
    finding: Finding | None = None
    cause: str | None = None

    @property
    def passed(self) -> bool:
        return self.finding is None

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        head = f"check of {self.student} against {self.like}"
        if self.finding is None:
            return f"{head}: passed\n  {', '.join(self.agreed)}: all agree"
        lines = [f"{head}: FAILED", f"{self.finding.place}: {self.finding}"]
        if self.cause is not None:
            lines.append(f"the cause, it seems: {self.cause}")
        if self.agreed:
            lines.append(f"what agrees: {', '.join(self.agreed)}")
        return "\n  ".join(lines)


def check(
    student: Any,
    like: Any,
    x: Any = None,
    target: Any = None,
    *,
    backward: Callable[..., Any] | None = None,
    seed: int = 0,
    rtol: float = 1e-5,
    atol: float = 1e-7,
) -> CheckReport:
    """Compare code of one's own with a layer, a loss or an optimiser of nncore.

    Forward, backward and gradients are compared in double precision, first by one call, then by
    what goes wrong later: a second backward (gradients are added), a second call (nothing is
    kept), a smaller last batch, ties of max pooling, an update. The first wrong element is named,
    and the cause where it is a known one.

    Parameters
    ----------
    student : object or function
        An object with ``forward(x)`` and ``backward(grad)``, a Module, or a function. Parameters
        are found by their usual names (weight, W, bias, b, ...), their gradients too (w_gradient,
        dW, ...); functions get those that they take by name. Against an optimiser: a function
        (param, grad) that returns the new values or changes them in place.
    like : Module, loss or Optimizer
        What it should be like, with its options: ``nn.MaxPool2d(3, stride=2)``.
    x, target : array_like, optional
        Input (of a loss: predictions and target). By default random ones of a fitting shape.
    backward : function, optional
        Of a student that is a function: (x, grad) -> dx; of a loss (pred, target) -> dpred.
    seed : int
        Of all random numbers.
    rtol, atol : float
        What may differ.

    Returns
    -------
    CheckReport
        True where all agrees; `print` it.

    Raises
    ------
    TypeError, ValueError
        The student cannot be called at all, lacks a parameter, or `x` is needed.
    """
    own = Student(student, backward)
    report = CheckReport(own.name, type(like).__name__)
    if isinstance(like, Optimizer):
        findings = special.optimizer(own, like, seed)
    elif special.is_dropout(like):
        findings = special.dropout(own, like, seed)
    elif isinstance(like, LossFunction):
        findings = _loss(own, copy.deepcopy(like), x, target, seed)
    elif isinstance(like, Module):
        findings = _layer(own, like.astype(np.float64), x, seed)
    else:
        raise TypeError(
            f"check: like must be a layer, a loss or an optimizer, got {type(like).__name__}"
        )
    for finding in findings:
        if finding.wrong(rtol, atol):
            report.finding, report.cause = finding, diagnoses.cause(finding)
            break
        if finding.place not in report.agreed:
            report.agreed.append(finding.place)
    return report


# ---- layers


def _layer(own: Student, like: Module, x: Any, seed: int) -> Iterator[Finding]:
    given = _default_input(like, seed) if x is None else np.array(x, np.float64)
    values = {name: p.data.copy() for name, p in like.named_parameters()}
    own.orient(values, given, like(given))
    own.take(values)
    yield from _passes(own, like, given, seed, "")
    if not own.has_backward:
        yield from _forward(own, like, np.flip(given).copy(), "forward of a second call")
        return
    if any(own.gradient(name, value.shape) is not None for name, value in values.items()):
        yield from _passes(own, like, given, seed, " once more, gradients added")
    # On the object that has run: what it keeps shows.
    own.take(values)
    like.zero_grad()
    yield from _passes(own, like, np.flip(given).copy(), seed, " of a second call", before=given)
    if given.ndim > 1 and len(given) > 2:
        own.take(values)
        like.zero_grad()
        yield from _passes(own, like, given[:-1].copy(), seed, " of a smaller batch")
    if diagnoses.is_max_pool(like):
        yield from _passes(own, like, np.round(given), seed, " with ties")
    yield from _update(own, like, values)


def _passes(
    own: Student, like: Module, x: Array, seed: int, suffix: str, before: Array | None = None
) -> Iterator[Finding]:
    expected = like(x)
    grad = engine.stream_normal(seed, "grad", 0, expected.shape, np.float64, 0.0, 1.0)
    shared = {"like": like, "x": x, "grad": grad, "before": before}
    yield Finding.of(f"forward{suffix}", "y", expected, lambda: own.forward(x.copy()), **shared)
    dx = like.backward(grad, input_grad=True)
    if not own.has_backward:
        return
    place = f"backward{suffix}"
    found = Finding.of(place, "dx", dx, lambda: own.backward(grad), **shared)
    if found.got is not None or found.error is not None:
        yield found
    for name, p in like.named_parameters():
        got = own.gradient(name, p.shape)
        if got is not None:
            what = f"the gradient of {name}"
            yield Finding(place, what, p.grad.copy(), got, None, shared)


def _forward(own: Student, like: Module, x: Array, place: str) -> Iterator[Finding]:
    yield Finding.of(place, "y", like(x), lambda: own.forward(x.copy()), like=like, x=x)


def _update(own: Student, like: Module, values: dict[str, Array]) -> Iterator[Finding]:
    """The student's own step of gradient descent, without and with weight decay."""
    update = own.updater()
    if update is None:
        return
    grads = {name: own.gradient(name, value.shape) for name, value in values.items()}
    lr = 0.1
    for decay in (0.0, 0.5):
        before = {name: own.value(name, value.shape) for name, value in values.items()}
        try:
            update(lr, decay)
        except Exception as error:
            yield Finding("update", "the step", error=error)
            return
        for name, value in before.items():
            grad = grads[name]
            if grad is None or (decay and name == "bias"):
                continue
            expected = value - lr * (grad + decay * value)
            after = own.value(name, value.shape)
            if decay and np.allclose(after, value - lr * grad):
                continue  # it takes no weight decay
            extra = {"param": value, "grad": grad, "lr": lr, "decay": decay}
            yield Finding("update", name, expected, after, None, extra)


def _default_input(like: Module, seed: int) -> Array:
    shapes: dict[str, tuple[int, ...]] = {"Linear": (4, getattr(like, "in_features", 0))}
    name = type(like).__name__
    images = ("Conv2d", "MaxPool2d", "AvgPool2d", "GlobalAvgPool2d", "Flatten")
    if name in images or "Pool2d" in name:
        shapes[name] = (3, getattr(like, "in_channels", 2), 7, 9)
    elif name not in shapes and any(True for _ in like.parameters()):
        raise ValueError(f"check: x must be given for {name}")
    return engine.stream_normal(seed, "x", 0, shapes.get(name, (4, 6)), np.float64, 0.0, 1.0)


# ---- losses


def _loss(own: Student, like: Any, pred: Any, target: Any, seed: int) -> Iterator[Finding]:
    if pred is None:
        shape = (5, 4)
        pred = engine.stream_normal(seed, "x", 0, shape, np.float64, 0.0, 1.0)
        if target is None:
            target = np.arange(shape[0]) % shape[1]
            try:  # labels first: a loss of labels may take probabilities as well
                like(pred, target)
            except (TypeError, ValueError):
                target = engine.stream_normal(seed, "target", 0, shape, np.float64, 0.0, 1.0)
    if target is None:
        raise ValueError("check: target must be given with x")
    pred, target = np.array(pred, np.float64), np.array(target)
    for suffix, rows in (("", len(pred)), (" of a smaller batch", len(pred) - 1)):
        p, t = pred[:rows].copy(), target[:rows].copy()
        expected = np.array(float(like(p, t)))
        shared = {"like": like, "x": p}
        yield Finding.of(
            f"forward{suffix}", "the loss", expected, partial(own.forward, p, t), **shared
        )
        dx = like.backward()
        if own.has_backward:
            yield Finding.of(f"backward{suffix}", "dpred", dx, lambda: own.backward(None), **shared)
