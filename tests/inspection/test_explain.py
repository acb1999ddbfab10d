"""A step under glass: every printed line is recomputed, by its formula and by hand."""

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from nncore import nn
from nncore.inspection import explain

X, Y, RATE = np.array([[0.5, -1.0]], np.float32), np.array([[1.0]], np.float32), 0.5


def by_hand(model):
    """The formulas of the notes in plain Python, named as `explain` names them."""
    (w1, b1), (w2, b2) = (
        (layer.weight.data.astype(float), layer.bias.data.astype(float))
        for layer in (model[0], model[2])
    )

    def sigma(z):
        return 1 / (1 + math.exp(-z))

    x, y = X[0].astype(float), float(Y[0, 0])
    z1 = [w1[i, 0] * x[0] + w1[i, 1] * x[1] + b1[i] for i in range(2)]
    a1 = [sigma(z) for z in z1]
    z2 = w2[0, 0] * a1[0] + w2[0, 1] * a1[1] + b2[0]
    a2 = sigma(z2)
    da2 = 2 * (a2 - y)
    dz2 = da2 * a2 * (1 - a2)
    da1 = [w2[0, i] * dz2 for i in range(2)]
    dz1 = [da1[i] * a1[i] * (1 - a1[i]) for i in range(2)]
    values = {"C": (a2 - y) ** 2, "z2[0]": z2, "a2[0]": a2, "dC/da2[0]": da2, "dC/dz2[0]": dz2}
    values |= {"dC/db2[0]": dz2, "new b2[0]": b2[0] - RATE * dz2}
    for i in range(2):
        values |= {f"z1[{i}]": z1[i], f"a1[{i}]": a1[i]}
        values |= {f"dC/da1[{i}]": da1[i], f"dC/dz1[{i}]": dz1[i], f"dC/db1[{i}]": dz1[i]}
        values |= {f"dC/dW2[0,{i}]": dz2 * a1[i], f"new W2[0,{i}]": w2[0, i] - RATE * dz2 * a1[i]}
        values |= {f"new b1[{i}]": b1[i] - RATE * dz1[i]}
        values |= {f"dC/dx[{i}]": sum(w1[k, i] * dz1[k] for k in range(2))}
        for j in range(2):
            values |= {f"dC/dW1[{i},{j}]": dz1[i] * x[j]}
            values |= {f"new W1[{i},{j}]": w1[i, j] - RATE * dz1[i] * x[j]}
    return values


def lines_of(text):
    """(symbol, formula, value) of each printed line that has a number."""
    joined = re.sub(r"\n +(= \S+$)", r" \1", text, flags=re.M)
    for line in joined.splitlines():
        if line.startswith("  "):
            symbol, *formula, value = line.strip().split(" = ")
            yield symbol.strip(), formula[0] if formula else "", float(value)


def test_every_printed_line_of_the_notes_network(notes_network):
    expected = by_hand(notes_network)
    printed = list(lines_of(str(explain(notes_network, X, Y, nn.MSELoss(), lr=RATE))))
    assert {symbol for symbol, _, _ in printed} == set(expected)
    assert len(printed) == len(expected)
    for symbol, formula, value in printed:
        assert value == pytest.approx(expected[symbol], rel=2e-6, abs=1e-7), symbol
        assert eval(formula, {"exp": math.exp}) == pytest.approx(value, rel=2e-6, abs=1e-7), symbol


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.Sigmoid])
@pytest.mark.parametrize("samples", [1, 3])
def test_formulas_of_other_networks(activation, samples):
    model = nn.Sequential(
        nn.Linear(3, 4, seed=1, dtype=np.float64),
        activation(),
        nn.Linear(4, 3, seed=2, dtype=np.float64),
    )
    x = np.random.default_rng(0).normal(size=(samples, 3))
    names = {"exp": math.exp, "log": math.log, "tanh": math.tanh, "max": max}
    for loss_fn, y in (
        (nn.CrossEntropyLoss(), np.array([2, 0, 1])[:samples]),
        (nn.MSELoss(), np.ones((samples, 3))),
    ):
        text = str(explain(model, x, y, loss_fn))
        printed = list(lines_of(text))
        assert len(printed) > 40
        for symbol, formula, value in printed:
            assert eval(formula, names) == pytest.approx(value, rel=1e-5, abs=1e-6), symbol


def test_nothing_is_changed(notes_network):
    notes_network(X)
    before = notes_network.state_dict()
    notes_network[0].weight.grad[...] = 3
    explain(notes_network.eval(), X, Y, nn.MSELoss())
    assert not notes_network.training
    np.testing.assert_array_equal(notes_network[0].weight.grad, 3)
    for name, value in notes_network.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert "_forward" not in vars(notes_network[0])


def test_frozen_weights_are_not_updated(notes_network):
    notes_network[0].freeze()
    text = str(explain(notes_network, X, Y, nn.MSELoss()))
    assert "new W2" in text
    assert "new W1" not in text
    assert "dC/dW1" not in text


def test_long_sections_are_cut_and_counted():
    model = nn.Sequential(nn.Linear(30, 20, seed=0), nn.GELU(), nn.Linear(20, 2, seed=1))
    story = explain(model, np.ones((1, 30), np.float32), [[0.0, 1.0]], nn.MSELoss(), most=10)
    assert max(len(section.lines) for section in story.sections) == 10
    assert "... and 590 more" in str(story)


def test_layers_without_a_formula_show_their_numbers(small_cnn, images):
    x, y = images
    text = str(explain(small_cnn, x[:1], y[:1], nn.CrossEntropyLoss(), most=3))
    assert "MaxPool2d" in text
    assert "new W1" in text


def test_the_page_stands_alone(notes_network):
    page = explain(notes_network, X, Y, nn.MSELoss()).html()
    assert "http" not in page
    found = []

    class Cells(HTMLParser):
        def handle_data(self, data):
            found.append(data)

    Cells().feed(page)
    assert "z1[0]" in found
    assert sum(cell.startswith("dC/d") for cell in found) > 10


def test_bad_arguments(notes_network):
    with pytest.raises(ValueError, match="lr must be a positive number, got 0"):
        explain(notes_network, X, Y, nn.MSELoss(), lr=0)
