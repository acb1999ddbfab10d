"""nncore.check: students' code beside layers; the notes' faults and others are recognised."""

import numpy as np
import pytest
from student_layers import (
    AllOfTies,
    Average,
    BiasAsGradient,
    BiasForGradient,
    DecayWithoutRate,
    Dense,
    Dropout,
    FrozenBatch,
    HardCodedRow,
    KeepForDrop,
    LastOfTies,
    LastSample,
    MaskNotCleared,
    MeanOverBatch,
    MyDropout,
    NoBiasGradient,
    NoDivisor,
    Overlapping,
    Overwritten,
    Pool,
    ScaledBackwardOnly,
    StrideForKernel,
    Transposed,
    WrongShape,
    WrongSign,
)

import nncore as nc
from nncore import nn, optim

LINEAR = nn.Linear(5, 5)
POOL = nn.MaxPool2d(3, stride=2)
AVERAGE = nn.AvgPool2d(3, stride=1)


def test_right_code_passes():
    report = nc.check(Dense(), like=LINEAR)
    assert report
    assert str(report).startswith("check of Dense against Linear: passed\n  forward, backward, ")
    assert "backward once more, gradients added" in report.agreed
    assert "update" in report.agreed
    assert nc.check(Dense(4, 7), like=nn.Linear(4, 7))
    report = nc.check(Pool(), like=POOL)
    assert report
    assert "backward with ties" in report.agreed
    assert "backward of a smaller batch" in report.agreed
    assert nc.check(Average(), like=AVERAGE)


def test_functions_and_modules_pass(rng):
    assert nc.check(np.tanh, like=nn.Tanh())
    assert nc.check(np.tanh, like=nn.Tanh(), backward=lambda x, g: g * (1 - np.tanh(x) ** 2))
    assert nc.check(lambda x, weight, bias: x @ weight.T + bias, like=LINEAR)
    assert nc.check(nn.Linear(5, 5), like=LINEAR)
    assert nc.check(nn.Conv2d(2, 3, 3), like=nn.Conv2d(2, 3, 3))
    assert nc.check(nn.Sequential(nn.Tanh()), like=nn.Tanh(), x=rng.standard_normal((2, 3)))


def test_losses_pass_and_fail():
    def mse(pred, target):
        return ((pred - target) ** 2).mean()

    assert nc.check(
        mse, like=nn.MSELoss(), backward=lambda pred, target: 2 * (pred - target) / pred.size
    )
    report = nc.check(mse, like=nn.MSELoss(), backward=lambda pred, target: 2 * (pred - target))
    assert not report
    assert report.cause == "it is not divided by the number of elements, 20"

    def cross_entropy(pred, labels):
        p = np.exp(pred) / np.exp(pred).sum(axis=1, keepdims=True)
        return -np.log(p[np.arange(len(labels)), labels]).sum()

    report = nc.check(cross_entropy, like=nn.CrossEntropyLoss())
    assert report.cause == "it is not divided by the batch size, 5"


# ---- known faults

DROPOUT = Dropout()

CAUSES = [
    (BiasForGradient, LINEAR, "update: bias[0]", "the parameter itself is subtracted in the place"),
    (
        DecayWithoutRate,
        LINEAR,
        "update: weight[0, 0]",
        "weight decay is not scaled by the learning",
    ),
    (
        BiasAsGradient,
        LINEAR,
        "the gradient of bias[0]",
        "the bias itself stands in the place of its",
    ),
    (
        MaskNotCleared,
        POOL,
        "backward of a second call: dx",
        "the winner mask is not cleared between",
    ),
    (
        StrideForKernel,
        POOL,
        "backward: dx[0, 0",
        "computed with the stride in the place of the ker",
    ),
    (
        HardCodedRow,
        AVERAGE,
        "forward: y[0, 0, 0, 0]",
        "only row 1 of the output is right: a row is",
    ),
    (
        FrozenBatch,
        LINEAR,
        "forward of a smaller batch: y",
        "the batch size is frozen when the layer",
    ),
    (ScaledBackwardOnly, DROPOUT, "forward: y[0, ", "not divided by the keep probability, 0.75, f"),
    (KeepForDrop, DROPOUT, "share of zeros: p is 0.7", "p is taken as the probability to keep"),
    (
        Overwritten,
        LINEAR,
        "once more, gradients added: the gradient of",
        "is overwritten: each bac",
    ),
    (Transposed, LINEAR, "backward: dx[0, 0]", "a transposition is forgotten"),
    (LastSample, LINEAR, "backward: the gradient of weight[0, 0]", "the last sample is left out"),
    (WrongSign, LINEAR, "backward: dx[0, 0]", "the sign is wrong"),
    (
        MeanOverBatch,
        LINEAR,
        "the gradient of bias[0]",
        "divided by the batch size, 4, once too oft",
    ),
    (NoBiasGradient, LINEAR, "the gradient of bias[0]", "it is all zeros: not computed, or not st"),
    (WrongShape, LINEAR, "dx has shape (5, 4), expected shape (4, 5)", "the result is transposed"),
    (LastOfTies, POOL, "backward with ties: dx", "the last of the largest gets the gradient"),
    (AllOfTies, POOL, "backward with ties: dx", "every largest element gets the whole gradient"),
    (Overlapping, POOL, "backward: dx", "where windows overlap, gradients are overwritten"),
    (NoDivisor, AVERAGE, "forward: y[0, 0, 0, 0]", "not divided by the number of cells, 9"),
]


@pytest.mark.parametrize(
    ("student", "like", "place", "cause"), CAUSES, ids=lambda v: getattr(v, "__name__", "")
)
def test_the_first_wrong_element_and_the_cause(student, like, place, cause):
    report = nc.check(student(), like=like)
    assert not report
    text = str(report)
    assert text.startswith(f"check of {student.__name__} against {type(like).__name__}: FAILED\n")
    assert place in text
    assert cause in (report.cause or "")
    assert f"the cause, it seems: {report.cause}" in text


def test_dropout_as_it_should_be():
    assert nc.check(MyDropout(), like=DROPOUT)


# ---- optimisers


def rule(lr=0.1, **options):
    return optim.SGD([nn.Parameter([1.0])], lr=lr, **options)


def test_a_students_optimiser():
    assert nc.check(lambda p, g: p - 0.1 * g, like=rule())
    assert nc.check(lambda p, g: p - 0.1 * (g + 0.3 * p), like=rule(weight_decay=0.3))

    class Momentum:
        b = 0.0

        def __call__(self, p, g):
            self.b = 0.9 * self.b + g
            p -= 0.1 * self.b

    assert nc.check(Momentum(), like=rule(momentum=0.9))
    for step, options, cause in (
        (lambda p, g: p - 0.1 * p, {}, "the parameter itself is subtracted"),
        (lambda p, g: (1 - 0.3) * p - 0.1 * g, {"weight_decay": 0.3}, "weight decay is not scaled"),
        (lambda p, g: p + 0.1 * g, {}, "the gradient is added"),
        (lambda p, g: None, {}, "the parameter is not changed"),
    ):
        report = nc.check(step, like=rule(**options))
        assert not report
        assert report.finding.place == "step 1"
        assert cause in report.cause


# ---- what has no known cause, and errors


def test_an_unknown_fault_is_still_located():
    def wrong(x):
        y = np.tanh(x)
        y[2, 3] += 0.5
        return y

    report = nc.check(wrong, like=nn.Tanh())
    assert "y[2, 3] is" in str(report)
    assert "(1 of 24 elements differ)" in str(report)


def test_code_that_raises_is_quoted():
    report = nc.check(lambda x: x[7], like=nn.Tanh())
    assert "forward: y: it raises IndexError: index 7 is out of bounds" in str(report)


def test_errors():
    with pytest.raises(
        TypeError, match=r"student is the class Dense, expected an object: write De"
    ):
        nc.check(Dense, like=LINEAR)
    with pytest.raises(TypeError, match="must be a function or have forward"):
        nc.check(3, like=LINEAR)
    with pytest.raises(TypeError, match="like must be a layer, a loss or an optimizer, got str"):
        nc.check(np.tanh, like="tanh")
    with pytest.raises(ValueError, match="Pool has no weight: it should be called one of weight"):
        nc.check(Pool(), like=LINEAR)
    with pytest.raises(ValueError, match=r"Dense\.weights has shape \(3, 3\), expected \(5, 5\)"):
        nc.check(Dense(3, 3), like=LINEAR)
    with pytest.raises(ValueError, match="x must be given for Sequential"):
        nc.check(np.tanh, like=nn.Sequential(nn.Linear(2, 2)))
