"""The table of layers: its numbers by hand, its lines."""

import numpy as np
import pytest

from nncore import nn


def notes_network():
    return nn.Sequential(
        nn.Conv2d(1, 12, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(600, 10),
    )


def test_numbers_of_the_notes_network():
    summary = notes_network().summary((1, 28, 28))
    assert [row.output_shape for row in summary.rows] == [
        (12, 24, 24),
        (12, 24, 24),
        (12, 12, 12),
        (24, 10, 10),
        (24, 10, 10),
        (24, 5, 5),
        (600,),
        (10,),
    ]
    assert [row.parameters for row in summary.rows] == [
        12 * 25 + 12, 0, 0, 24 * 12 * 9 + 24, 0, 0, 0, 6010
    ]  # fmt: skip
    assert [row.multiply_adds for row in summary.rows] == [
        12 * 24 * 24 * 25, 0, 0, 24 * 10 * 10 * 12 * 9, 0, 0, 0, 6000
    ]  # fmt: skip
    assert summary.parameters == summary.trainable == 312 + 2616 + 6010
    assert summary.multiply_adds == 172800 + 259200 + 6000


def test_text():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))
    expected = """\
Layer      Output shape  Parameters  Multiply-adds
--------------------------------------------------
0 Flatten  (N, 784)               0              0
1 Linear   (N, 32)           25,120         25,088
2 ReLU     (N, 32)                0              0
3 Linear   (N, 10)              330            320
--------------------------------------------------
Total                        25,450         25,408"""
    assert str(model.summary((1, 28, 28))) == expected
    assert repr(model.summary([1, 28, 28])) == expected
    model[1].freeze()
    assert str(model.summary((784,))).endswith("\nTrainable parameters: 330")


def test_nested_and_shared_layers():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(nn.Sequential(shared, nn.Tanh()), shared)
    summary = model.summary((4,))
    assert [(row.name, row.kind) for row in summary.rows] == [
        ("0.0", "Linear"),
        ("0.1", "Tanh"),
        ("1", "Linear"),
    ]
    assert summary.parameters == 20
    assert summary.multiply_adds == 32


def test_groups_and_single_layers():
    summary = nn.Conv2d(4, 6, 3, groups=2, bias=False).summary((4, 5, 7))
    assert summary.rows[0].output_shape == (6, 3, 5)
    assert summary.multiply_adds == 6 * 3 * 5 * 2 * 9
    assert str(summary).splitlines()[2].startswith("Conv2d  (N, 6, 3, 5)")
    assert nn.Linear(3, 2).summary((7, 3)).multiply_adds == 7 * 6


def test_pooling_and_activations():
    model = nn.Sequential(nn.AvgPool2d(3, 2, 1), nn.GELU(), nn.GlobalAvgPool2d(), nn.Softplus())
    summary = model.summary((5, 9, 12))
    shapes = [row.output_shape for row in summary.rows]
    assert shapes == [(5, 5, 6), (5, 5, 6), (5, 1, 1), (5, 1, 1)]
    assert summary.multiply_adds == summary.parameters == 0


def test_leaves_no_trace():
    model = notes_network()
    model.summary((1, 28, 28))
    with pytest.raises(RuntimeError):
        model.backward(np.zeros((0, 10)))


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        (784, TypeError, r"Sequential\.summary: input_shape must be the shape of one sample"),
        ((1, 28.0), TypeError, "input_shape must be an integer, got 28.0"),
        ((1, -1, 28), ValueError, "input_shape must be at least 0, got -1"),
        ((3, 28, 28), ValueError, "^Conv2d: x has 3 channels, weight expects 1"),
        ((784,), ValueError, r"^Conv2d: x has shape \(0, 784\)"),
    ],
)
def test_errors(shape, error, message):
    with pytest.raises(error, match=message):
        notes_network().summary(shape)
