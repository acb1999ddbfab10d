"""A step under glass: one forward and backward pass of a small network, every number shown.

The numbers are those that the kernels computed. What stands before each is the formula of the
lecture with the numbers in it, so that a reader can check it by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nncore import nn
from nncore.inspection.probe import Array, Call, full_pass, gradients_kept
from nncore.nn.module import Module


@dataclass(frozen=True)
class Line:
    """``symbol = formula = value``: the formula has numbers in it, in Python's notation."""

    symbol: str
    formula: str
    value: float


@dataclass
class Section:
    """A layer's part of one direction."""

    title: str
    rule: str  # the formula with symbols
    lines: list[Line] = field(default_factory=list)
    left_out: int = 0


@dataclass
class Explanation:
    """What `explain` returns: ``print`` it, or write ``html()`` to a file."""

    title: str
    sections: list[Section]
    loss: float

    def text(self) -> str:
        """Plain text, a line for each number."""
        from nncore.inspection.explain_text import render

        return render(self)

    def html(self) -> str:
        """A page of its own: no other files, no network."""
        from nncore.inspection.explain_html import render

        return render(self)

    __str__ = text


def explain(
    model: Module, x: Any, y: Any, loss_fn: Any, *, lr: float = 0.1, most: int = 40
) -> Explanation:
    """One step of gradient descent, number by number.

    Parameters
    ----------
    model : Module
        A `Sequential` of a few layers; nothing about it is changed.
    x, y : array_like
        One sample or a few, a batch axis first, and the targets.
    loss_fn : loss function
    lr : float
        The rate of the update w <- w - lr dC/dw that is shown.
    most : int
        Lines a section may have; the rest is counted.

    Returns
    -------
    Explanation
        z and a of each layer, C, then dC/da, dC/dz, dC/dW, dC/db from the last layer to the first,
        then the update.

    Raises
    ------
    TypeError, ValueError
        As the model and the loss do; `lr` is no positive number; the layers do not stand one after
        the other.
    """
    if not (isinstance(lr, (int, float)) and lr > 0):
        raise ValueError(f"explain: lr must be a positive number, got {lr!r}")
    losses: list[float] = []

    def seed(output: Array) -> Array:
        losses.append(float(loss_fn(output, y)))
        return np.asarray(loss_fn.backward())

    with gradients_kept(model):
        output, _, calls = full_pass(model, x, seed)
        for call, following in zip(calls, [call.x for call in calls[1:]] + [output], strict=True):
            if following is not call.y:
                raise ValueError(
                    f"explain: something else follows {call.name} than the next layer: expected"
                    " layers one after the other, as in a Sequential"
                )
        story = _Story(calls, output, np.asarray(y), losses[0], loss_fn, most)
        sections = [*story.forward(), *story.backward(), *story.update(lr)]
    shapes = " -> ".join(
        "x".join(map(str, a.shape[1:])) for a in (calls[0].x, *(call.y for call in calls))
    )
    count = len(calls[0].x)
    samples = "1 sample" if count == 1 else f"{count} samples"
    title = f"One step of gradient descent: {samples}, shapes {shapes}"
    return Explanation(title, sections, losses[0])


class _Story:
    """Tells a pass in the words of the lecture: z = W a + b, a = sigma(z), C."""

    def __init__(
        self, calls: list[Call], output: Array, target: Array, loss: float, loss_fn: Any, most: int
    ) -> None:
        self._calls, self._output, self._target = calls, output, target
        self._loss, self._loss_fn, self._most = loss, loss_fn, most
        self._symbols = list(_symbols(calls))
        # Of a single sample the sample axis says nothing.
        self._sample = 1 if len(output) == 1 else 0

    def forward(self) -> Iterator[Section]:
        """z and a, layer by layer, then C."""
        for at, (call, (before, after)) in enumerate(zip(self._calls, self._symbols, strict=True)):
            section = Section(f"Forward: {_titled(call, at)}", "")
            if isinstance(call.layer, nn.Linear):
                section.rule = f"{after} = W{_number(after)} {before} + b{_number(after)}"
                self._fill(section, self._linear(call, before, after))
            else:
                symbol, formula = _known(call.layer)
                section.rule = f"{after} = {symbol}({before})"
                self._fill(section, _elementwise(call, after, formula, self._sample))
            yield section
        yield self._loss_section()

    def backward(self) -> Iterator[Section]:
        """dC/da, dC/dz, dC/dW, dC/db from the loss to the first layer."""
        last = self._symbols[-1][1]
        section = Section(f"Backward: {type(self._loss_fn).__name__}", f"dC/d{last}")
        grad = self._calls[-1].grad_y
        if grad is not None:
            section.rule, formula = _loss_derivative(
                self._loss_fn, self._output, self._target, last
            )
            self._fill(section, _each(grad, f"dC/d{last}", formula, self._sample))
        yield section
        for at in reversed(range(len(self._calls))):
            call, (before, after) = self._calls[at], self._symbols[at]
            if call.grad_y is None or call.grad_x is None:
                continue
            title = f"Backward: {_titled(call, at)}"
            if isinstance(call.layer, nn.Linear):
                yield from self._linear_backward(call, title, before, after)
            else:
                symbol, _ = _known(call.layer)
                rule = f"dC/d{before} = dC/d{after} * {symbol}'({before})"
                section = Section(title, rule)
                derivative = _derivative(call)
                self._fill(section, _each(call.grad_x, f"dC/d{before}", derivative, self._sample))
                yield section

    def update(self, lr: float) -> Iterator[Section]:
        """w <- w - lr dC/dw."""
        for call, (_, after) in zip(self._calls, self._symbols, strict=True):
            own = [(n, p) for n, p in call.layer.named_parameters() if p.requires_grad]
            for name, parameter in own:
                symbol = f"{'W' if name == 'weight' else name[0]}{_number(after)}"
                section = Section(
                    f"Update: {call.name} {name}", f"{symbol} <- {symbol} - lr * dC/d{symbol}"
                )

                def formula(index: tuple[int, ...], p: Any = parameter) -> str:
                    return f"{_show(p.data[index])} - {_show(lr)} * {_show(p.grad[index])}"

                new = parameter.data - parameter.dtype.type(lr) * parameter.grad
                self._fill(section, _each(new, f"new {symbol}", formula))
                yield section

    def _loss_section(self) -> Section:
        last = self._symbols[-1][1]
        rule, formula = _loss_formula(self._loss_fn, self._output, self._target, last)
        section = Section(f"Forward: {type(self._loss_fn).__name__}", rule)
        section.lines.append(Line("C", formula, self._loss))
        return section

    def _linear(self, call: Call, before: str, after: str) -> Iterator[Line]:
        weight, bias = call.layer.weight.data, call.layer.bias
        for index in np.ndindex(call.y.shape):
            *row, unit = index
            x = call.x[tuple(row)]
            terms = [f"{_show(w)} * {_show(v)}" for w, v in zip(weight[unit], x, strict=True)]
            if bias is not None:
                terms.append(_show(bias.data[unit]))
            yield Line(
                f"{after}{_at(index[self._sample :])}",
                " + ".join(terms) or "0",
                float(call.y[index]),
            )

    def _linear_backward(
        self, call: Call, title: str, before: str, after: str
    ) -> Iterator[Section]:
        layer, n = call.layer, _number(after)
        dy = call.grad_y.reshape(-1, call.grad_y.shape[-1])  # type: ignore[union-attr]
        x = call.x.reshape(-1, call.x.shape[-1])

        def of_weight(index: tuple[int, ...]) -> str:
            out, inp = index
            return " + ".join(
                f"{_show(d[out])} * {_show(v[inp])}" for d, v in zip(dy, x, strict=True)
            )

        def of_bias(index: tuple[int, ...]) -> str:
            return " + ".join(_show(d[index]) for d in dy)

        def of_input(index: tuple[int, ...]) -> str:
            *row, inp = index
            grads = call.grad_y[tuple(row)]  # type: ignore[index]
            column = layer.weight.data[:, inp]
            return " + ".join(
                f"{_show(w)} * {_show(d)}" for w, d in zip(column, grads, strict=True)
            )

        if layer.weight.requires_grad:
            section = Section(
                title, f"dC/dW{n}[i,j] = sum over samples of dC/d{after}[i] * {before}[j]"
            )
            self._fill(section, _each(layer.weight.grad, f"dC/dW{n}", of_weight))
            yield section
        if layer.bias is not None and layer.bias.requires_grad:
            section = Section(title, f"dC/db{n}[i] = sum over samples of dC/d{after}[i]")
            self._fill(section, _each(layer.bias.grad, f"dC/db{n}", of_bias))
            yield section
        section = Section(title, f"dC/d{before}[j] = sum over i of W{n}[i,j] * dC/d{after}[i]")
        lines = _each(call.grad_x, f"dC/d{before}", of_input, self._sample)  # type: ignore[arg-type]
        self._fill(section, lines)
        yield section

    def _fill(self, section: Section, lines: Iterator[Line]) -> None:
        for line in lines:
            if len(section.lines) < self._most:
                section.lines.append(line)
            else:
                section.left_out += 1


Formula = Callable[[tuple[int, ...]], str]


def _symbols(calls: list[Call]) -> Iterator[tuple[str, str]]:
    """The names of what goes into each layer and comes out: x, z1, a1, z2, ..."""
    before, number = "x", 0
    for call in calls:
        if isinstance(call.layer, nn.Linear) or not before.startswith("z"):
            number += 1
        weighted = next(call.layer.parameters(), None) is not None
        after = f"{'z' if weighted else 'a'}{number}"
        yield before, after
        before = after


def _number(symbol: str) -> str:
    return symbol.lstrip("za")


def _titled(call: Call, at: int) -> str:
    return f"layer {at + 1}, {type(call.layer).__name__} ({call.name})"


def _elementwise(call: Call, symbol: str, formula: str, axes: int) -> Iterator[Line]:
    x, y = call.x, call.y
    for index in np.ndindex(y.shape):
        numbers = formula.format(z=_show(x[index])) if x.shape == y.shape and formula else ""
        yield Line(f"{symbol}{_at(index[axes:])}", numbers, float(y[index]))


def _each(values: Array, symbol: str, formula: Formula | None, axes: int = 0) -> Iterator[Line]:
    """A line for each value; the first `axes` axes are not shown."""
    for index in np.ndindex(values.shape):
        numbers = formula(index) if formula else ""
        yield Line(f"{symbol}{_at(index[axes:])}", numbers, float(values[index]))


def _known(layer: Module) -> tuple[str, str]:
    """A function's name, and its formula in Python for an input z; empty where there is none."""
    formulas: dict[type, tuple[str, str]] = {
        nn.Sigmoid: ("sigma", "1 / (1 + exp(-{z}))"),
        nn.Tanh: ("tanh", "tanh({z})"),
        nn.ReLU: ("relu", "max({z}, 0)"),
    }
    return formulas.get(type(layer), (type(layer).__name__, ""))


def _derivative(call: Call) -> Formula | None:
    """dC/dz = dC/da * sigma'(z), with the derivative had from a as the kernels do."""
    y, grad = call.y, call.grad_y
    if grad is None:
        return None
    if isinstance(call.layer, nn.Sigmoid):
        return lambda i: f"{_show(grad[i])} * {_show(y[i])} * (1 - {_show(y[i])})"
    if isinstance(call.layer, nn.Tanh):
        return lambda i: f"{_show(grad[i])} * (1 - {_show(y[i])} ** 2)"
    if isinstance(call.layer, nn.ReLU):
        return lambda i: f"{_show(grad[i])} * {1 if y[i] > 0 else 0}"
    return None


def _loss_formula(loss_fn: Any, output: Array, target: Array, symbol: str) -> tuple[str, str]:
    if isinstance(loss_fn, nn.MSELoss):
        summed = getattr(loss_fn, "reduction", "mean") == "sum"
        terms = [
            f"({_show(a)} - {_show(t)}) ** 2" for a, t in zip(output.flat, target.flat, strict=True)
        ]
        text = " + ".join(terms)
        if summed:
            return f"C = sum of ({symbol} - y)^2", text
        return f"C = mean of ({symbol} - y)^2", f"({text}) / {output.size}"
    if isinstance(loss_fn, nn.CrossEntropyLoss) and _is_plain(loss_fn):
        rows = [
            f"log({' + '.join(f'exp({_show(v)})' for v in row)}) - {_show(row[label])}"
            for row, label in zip(output, target, strict=True)
        ]
        rule = f"C = mean over samples of log(sum over j of exp({symbol}[j])) - {symbol}[label]"
        return rule, f"({' + '.join(rows)}) / {len(rows)}"
    return f"C = {type(loss_fn).__name__}({symbol}, y)", ""


def _loss_derivative(
    loss_fn: Any, output: Array, target: Array, symbol: str
) -> tuple[str, Formula | None]:
    if isinstance(loss_fn, nn.MSELoss):
        summed = getattr(loss_fn, "reduction", "mean") == "sum"
        count = 1 if summed else output.size
        share = "" if summed else f" / {count}"
        return (
            f"dC/d{symbol} = 2 ({symbol} - y)" + ("" if summed else " / number of outputs"),
            lambda i: f"2 * ({_show(output[i])} - {_show(target[i])}){share}",
        )
    if isinstance(loss_fn, nn.CrossEntropyLoss) and _is_plain(loss_fn):

        def formula(index: tuple[int, ...]) -> str:
            row, unit = index
            whole = " + ".join(f"exp({_show(v)})" for v in output[row])
            hit = " - 1" if unit == target[row] else ""
            return f"(exp({_show(output[index])}) / ({whole}){hit}) / {len(output)}"

        return f"dC/d{symbol} = (softmax({symbol}) - onehot(label)) / samples", formula
    return f"dC/d{symbol}", None


def _is_plain(loss_fn: Any) -> bool:
    return (
        getattr(loss_fn, "weight", None) is None
        and not getattr(loss_fn, "label_smoothing", 0.0)
        and getattr(loss_fn, "reduction", "mean") == "mean"
    )


def _at(index: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, index)) + "]"


def _show(value: Any) -> str:
    """Seven digits, in brackets where negative: as precise as float32 is."""
    text = f"{float(value):.7g}"
    return f"({text})" if text.startswith("-") else text
