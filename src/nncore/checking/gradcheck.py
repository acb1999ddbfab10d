"""`nncore.gradcheck`: backward against numerical gradients of forward."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nncore._core import engine
from nncore.checking.slopes import slope
from nncore.checking.subject import SpoiltError, Subject
from nncore.nn.arguments import integer
from nncore.nn.arrays import Array


class GradcheckError(RuntimeError):
    """The check failed; `report` tells all about it."""

    def __init__(self, report: GradcheckReport) -> None:
        super().__init__(str(report))
        self.report = report


@dataclass
class Element:
    """One element's gradient, or that of several equal ones moved together."""

    name: str
    numerical: float
    analytic: float
    excess: float  # beyond what is allowed, in units of that

    def __str__(self) -> str:
        return f"{self.name}: numerical {self.numerical:.9g}, analytic {self.analytic:.9g}"


@dataclass
class GradcheckReport:
    """What `gradcheck` found; true where all is well, and readable as text."""

    module: str
    checked: int = 0
    differing: int = 0
    worst: Element | None = None
    left_out: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.problems and not self.differing

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        lines = [f"gradcheck of {self.module}: {'passed' if self.passed else 'FAILED'}"]
        lines += self.problems
        lines.append(f"{self.checked} elements compared, {self.differing} differ")
        if self.worst is not None:
            lines.append(f"the worst: {self.worst}")
        if self.left_out:
            shown = ", ".join(self.left_out[:4]) + (", ..." if len(self.left_out) > 4 else "")
            lines.append(
                f"{len(self.left_out)} left out, where forward is not differentiable: {shown}"
            )
        return "\n  ".join(lines + self.notes)

    def _add(self, element: Element) -> None:
        self.checked += 1
        self.differing += element.excess > 1
        if self.worst is None or element.excess > self.worst.excess:
            self.worst = element


def gradcheck(
    module: Any,
    x: Any,
    target: Any = None,
    *,
    eps: float = 1e-5,
    atol: float = 1e-7,
    rtol: float = 1e-5,
    max_elements: int = 200,
    seed: int = 0,
    raise_exception: bool = True,
) -> GradcheckReport:
    """Compare a module's backward with numerical gradients of its forward, in double precision.

    A copy of the module is run; the one that is given stays as it is. The gradient is that of a
    randomly weighted sum of all outputs, by central differences, for the input and every
    parameter. Where the slopes to both sides differ however short the step (a kink, a tie), the
    function has no gradient: such elements are left out and counted, but the analytic gradient
    must lie between the slopes, and equal elements moved together must agree. The two passes are
    also called again: gradients are added, nothing is kept from an earlier call, and what is
    given stays as it was.

    Parameters
    ----------
    module : Module or loss
        A layer, a container, a module of one's own, a loss function.
    x : array_like
        The input (of a loss: the predictions). Random numbers show most.
    target : array_like, optional
        Of a loss.
    eps : float
        The step, times the magnitude of the element where that is above 1.
    atol, rtol : float
        What gradients may differ by: atol + rtol times the larger one, and rounding.
    max_elements : int
        How many elements of each array are tried, chosen at random by `seed`.
    seed : int
        Of the weights and the choice.
    raise_exception : bool
        Whether a failure is an error; if not, look at the report.

    Returns
    -------
    GradcheckReport
        True where all is well; `print` it.

    Raises
    ------
    GradcheckError
        The gradients differ, or a pass misbehaves; names the worst element.
    TypeError, ValueError
        An argument is of another kind; forward gives NaN or infinity at x.
    """
    subject = Subject(module, x, target)
    integer("gradcheck", "max_elements", max_elements, 1)
    report = GradcheckReport(subject.name)
    gradients, weight = _passes(subject, report, seed)
    here = subject.value()
    for name, analytic in gradients.items():
        moved = subject.x if name == subject.input_name else subject.parameters[name].data
        check = _Comparison(report, subject, name, moved, analytic, weight, here, (eps, atol, rtol))
        check.elements(_chosen(moved.size, max_elements, seed, name))
    if raise_exception and not report:
        raise GradcheckError(report)
    return report


# ---- both passes, and how they behave


def _passes(subject: Subject, report: GradcheckReport, seed: int) -> tuple[dict[str, Array], Array]:
    """The gradients that backward gives, by name, for which random weights of the outputs."""
    given, values = subject.x.copy(), {n: p.data.copy() for n, p in subject.parameters.items()}
    untouched = copy.deepcopy(subject.module)
    y = subject.value()
    if not np.isfinite(y).all():
        raise ValueError("gradcheck: forward gives NaN or infinity at x: nothing to compare")
    if not np.array_equal(subject.value(), y):
        subject.random = True
        report.notes.append("forward differs from call to call: each was made on a fresh copy")
        y = subject.value()
    weight = engine.stream_uniform(seed, "weight", 0, y.shape, np.float64, 0.5, 1.5)
    weight *= np.where(
        engine.stream_uniform(seed, "sign", 0, y.shape, np.float64, 0, 1) < 0.5, -1, 1
    )
    try:
        subject.zero_grad()
        again, dx, grads = subject.backward(weight)
        if not np.allclose(again, y, rtol=1e-12, atol=1e-12):
            report.problems.append("forward gives another output where it records")
        gradients = _shaped(subject, report, dx, grads)
        if not subject.random:
            _again(subject, report, weight, gradients, untouched)
    except SpoiltError as error:
        report.problems.append(str(error))
        return {}, weight
    if not np.array_equal(subject.x, given):
        report.problems.append(f"{subject.input_name} is changed by a pass")
        subject.x[...] = given
    for name, p in subject.parameters.items():
        if not np.array_equal(p.data, values[name]):
            report.problems.append(f"{name} is changed by a pass")
            p.data[...] = values[name]
    return gradients, weight


def _shaped(
    subject: Subject, report: GradcheckReport, dx: Any, grads: dict[str, Array]
) -> dict[str, Array]:
    """The gradients that can be compared: of the right shape, of what is trained."""
    gradients: dict[str, Array] = {}
    if subject.differentiable:
        name, shape = subject.input_name, subject.x.shape
        if not isinstance(dx, np.ndarray) or dx.shape != shape:
            got = f"shape {dx.shape}" if isinstance(dx, np.ndarray) else f"a {type(dx).__name__}"
            report.problems.append(f"{name}: backward returns {got}, expected shape {shape}")
        else:
            gradients[name] = np.array(dx, np.float64)
    for name, grad in grads.items():
        if subject.parameters[name].requires_grad:
            gradients[name] = grad
        elif grad.any():
            report.problems.append(f"{name}: backward adds to the gradient of a frozen parameter")
    return gradients


def _again(
    subject: Subject,
    report: GradcheckReport,
    weight: Array,
    first: dict[str, Array],
    untouched: Any,
) -> None:
    """Once more from the gradients that are there; and where another input was the first one."""
    name = subject.input_name
    second = _gradients(subject, weight)
    for key, grad in first.items():
        twice = second.get(key)
        if twice is None or key == name:
            continue
        if not _close(twice, 2 * grad):
            what = (
                "is overwritten: backward must add to it"
                if _close(twice, grad)
                else "is not twice as large after two equal passes: something is kept between them"
            )
            report.problems.append(f"{key}: the gradient {what}")
    module, x = subject.module, subject.x
    subject.module = copy.deepcopy(untouched)
    try:
        subject.x = np.ascontiguousarray(x[tuple(slice(None, None, -1) for _ in x.shape)])
        _gradients(subject, weight)
    except (ValueError, TypeError, IndexError):
        pass  # an input that it does not take is no fault
    subject.x = x
    subject.zero_grad()
    third = _gradients(subject, weight)
    subject.module = module
    kept = [key for key in first if key in third and not _close(third[key], first[key])]
    kept += [name] * (name in first and name not in kept and not _close(second[name], first[name]))
    for key in kept:
        report.problems.append(
            f"{key}: the gradient depends on earlier calls: something is kept, perhaps a mask that"
            " is not cleared"
        )


def _gradients(subject: Subject, weight: Array) -> dict[str, Array]:
    _, dx, grads = subject.backward(weight)
    return {subject.input_name: np.array(dx, np.float64), **grads} if dx is not None else grads


def _close(a: Array, b: Array) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True)


# ---- element by element


def _chosen(size: int, most: int, seed: int, name: str) -> list[int]:
    if size <= most:
        return list(range(size))
    return sorted(engine.stream_permutation(seed, name, 0, size)[:most].tolist())


@dataclass
class _Comparison:
    """Of one array's gradient with numerical ones."""

    report: GradcheckReport
    subject: Subject
    name: str
    moved: Array
    analytic: Array
    weight: Array
    here: Array  # the output
    bounds: tuple[float, float, float]  # eps, atol, rtol

    def elements(self, chosen: list[int]) -> None:
        kinks: list[int] = []
        for at in chosen:
            if not self._compare([at], self._label(at)):
                kinks.append(at)
        self.report.left_out += [self._label(at) for at in kinks]
        for together in self._equal(kinks):
            labels = ", ".join(self._label(at) for at in together[:3])
            more = ", ..." if len(together) > 3 else ""
            self._compare(together, f"{labels}{more}, equal and moved together")

    def _compare(self, places: list[int], label: str) -> bool:
        """Whether there is a slope; counted if so, and in any case if it lies out of bounds."""
        eps, atol, rtol = self.bounds
        direction = np.zeros(self.moved.shape)
        direction.flat[places] = 1.0
        step = eps * max(1.0, float(np.abs(self.moved.flat[places[0]])))
        found = slope(self.subject.value, self.here, self.moved, direction, self.weight, step)
        analytic = math.fsum(float(self.analytic.flat[at]) for at in places)
        allowed = atol + rtol * max(abs(found.central), abs(analytic)) + found.noise
        excess = found.distance(analytic) / allowed
        if found.smooth or excess > 1:
            self.report._add(Element(label, found.central, analytic, excess))
        return found.smooth

    def _equal(self, places: list[int]) -> Iterator[list[int]]:
        groups: dict[float, list[int]] = {}
        for at in places:
            groups.setdefault(float(self.moved.flat[at]), []).append(at)
        return (group for group in groups.values() if len(group) > 1)

    def _label(self, at: int) -> str:
        index = ", ".join(str(int(i)) for i in np.unravel_index(at, self.moved.shape))
        return f"{self.name}[{index}]" if self.moved.ndim else self.name
