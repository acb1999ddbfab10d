"""Metrics against scikit-learn; the same in one go and batch by batch."""

import math
import warnings

import numpy as np
import pytest
from small_models import make_model

from nncore import nn, optim
from nncore.training import Trainer, metrics

sklearn = pytest.importorskip("sklearn.metrics")


def scores(rng, n=200, classes=4):
    y = rng.integers(0, classes, n)
    return rng.standard_normal((n, classes)) + np.eye(classes)[y], y


NAMED = {
    "accuracy": (metrics.accuracy, lambda y, p: sklearn.accuracy_score(y, p)),
    "precision": (metrics.precision, lambda y, p: precision(y, p, "macro")),
    "recall": (metrics.recall, lambda y, p: recall(y, p, "macro")),
    "f1": (metrics.f1, lambda y, p: f1(y, p, "macro")),
    "confusion_matrix": (
        metrics.confusion_matrix,
        lambda y, p: sklearn.confusion_matrix(y, p, labels=range(4)),
    ),
}


def precision(y, p, average):
    return sklearn.precision_score(y, p, average=average, zero_division=0)


def recall(y, p, average):
    return sklearn.recall_score(y, p, average=average, zero_division=0)


def f1(y, p, average):
    return sklearn.f1_score(y, p, average=average, zero_division=0)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("missing", [False, True], ids=["all", "a class nobody has"])
def test_classes(rng, name, missing):
    ours, theirs = NAMED[name]
    output, y = scores(rng)
    if missing:
        output[:, 2] = -9
        y[y == 2] = 0
    assert np.allclose(ours(output, y), theirs(y, output.argmax(axis=1)))


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_averages(rng, name, average):
    output, y = scores(rng)
    expected = globals()[name](y, output.argmax(axis=1), average)
    assert getattr(metrics, name)(output, y, average) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
@pytest.mark.parametrize("form", ["one column", "flat", "floating targets", "probabilities"])
def test_two_classes(rng, name, form):
    y = rng.integers(0, 2, 100)
    logits = rng.standard_normal(100) + y - 0.5
    said = (logits > 0).astype(int)
    given, target, options = logits, y, {}
    if form == "one column":
        given, target = logits[:, None], y[:, None]
    elif form == "floating targets":
        target = y.astype(np.float32)
    elif form == "probabilities":
        given, options = 1 / (1 + np.exp(-logits)), {"threshold": 0.5}
    found = getattr(metrics, name)(given, target, "binary", **options)
    assert found == pytest.approx(globals()[name](y, said, "binary"))
    assert metrics.accuracy(given, target, **options) == pytest.approx((y == said).mean())


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_top_k(rng, k):
    output, y = scores(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # k = all classes is perfect by definition
        expected = sklearn.top_k_accuracy_score(y, output, k=k, labels=range(4))
    assert metrics.top_k_accuracy(output, y, k) == pytest.approx(expected)


@pytest.mark.parametrize("columns", [None, 1, 3])
def test_regression(rng, columns):
    shape = (50,) if columns is None else (50, columns)
    y = rng.standard_normal(shape) + 100
    output = y + 0.3 * rng.standard_normal(shape)
    expected = sklearn.r2_score(y, output)
    assert metrics.r2_score(output, y) == pytest.approx(expected, rel=1e-12)
    expected = sklearn.mean_absolute_error(y, output)
    assert metrics.mean_absolute_error(output, y) == pytest.approx(expected)


def test_regression_of_a_constant():
    y = np.ones(5)
    assert metrics.r2_score(y, y) == sklearn.r2_score(y, y) == 1.0
    assert metrics.r2_score(y + 1, y) == sklearn.r2_score(y, y + 1) == 0.0
    assert math.isnan(metrics.r2_score(y[:1], y[:1]))


def test_nothing():
    empty, labels = np.zeros((0, 3)), np.zeros(0, int)
    for function in (metrics.accuracy, metrics.f1, metrics.top_k_accuracy):
        assert math.isnan(function(empty, labels))
    assert metrics.f1(empty, labels, "micro") == 0.0
    assert math.isnan(metrics.mean_absolute_error(np.zeros(0), np.zeros(0)))
    assert metrics.confusion_matrix(empty, labels).tolist() == [[0] * 3] * 3


@pytest.mark.parametrize(
    "make", [*metrics._NAMED.values(), lambda: metrics.TopK(2), lambda: metrics._metric("", rmse)]
)
def test_batches_add_up_and_a_state_goes_on(rng, make):
    whole, parts, resumed = make(), make(), make()
    output, y = scores(rng)
    if whole.name in ("mae", "r2", "rmse"):
        y = output + rng.standard_normal(output.shape)
    whole.update(output, y)
    for start in (0, 70, 140):
        rows = slice(start, start + 70)
        parts.update(output[rows], y[rows])
        resumed.load_state_dict({k: v.copy() for k, v in parts.state_dict().items()})
    assert np.allclose(parts.compute(), whole.compute(), rtol=1e-12)
    assert np.array_equal(resumed.compute(), parts.compute())
    parts.reset()
    parts.update(output, y)
    assert np.array_equal(parts.compute(), whole.compute())


def rmse(output, y):
    return float(np.sqrt(np.mean((output - y) ** 2)))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: metrics.accuracy(np.zeros((2, 3)), np.zeros((2, 3))), ValueError, "0 or 1"),
        (lambda: metrics.accuracy(np.zeros((2, 3)), [0, 3]), IndexError, "from 0 to 2"),
        (lambda: metrics.accuracy(np.zeros((2, 3)), np.zeros(5)), ValueError, "not what it"),
        (lambda: metrics.r2_score(np.zeros((2, 1)), np.zeros(2)), ValueError, "not what it"),
        (lambda: metrics.f1(np.zeros((2, 3)), [0, 1], "weighted"), ValueError, "average must"),
        (lambda: metrics.f1(np.zeros((2, 3)), [0, 1], "binary"), ValueError, "two classes"),
        (lambda: metrics.top_k_accuracy(np.zeros((2, 3)), [0, 1], 0), ValueError, "k must be"),
        (lambda: metrics.metrics_of("f", ["nothing"]), ValueError, "no metric 'nothing'"),
        (lambda: metrics.metrics_of("f", ["f1", "f1"]), ValueError, "'f1' twice"),
        (lambda: metrics.metrics_of("f", [3]), TypeError, "got int"),
    ],
)
def test_errors(call, kind, message):
    if message == "0 or 1":
        call = lambda: metrics.accuracy(np.zeros((2, 3)), np.full((2, 3), 2))  # noqa: E731
    with pytest.raises(kind, match=message):
        call()


class TestInTraining:
    @pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
    def test_columns_in_training_and_validation(self, classes, compiled):
        x, y = classes
        model = make_model()
        before = model.state_dict()

        def share_of_zeros(output, y):
            return float((output.argmax(axis=1) == 0).mean())

        trainer = Trainer(
            model,
            nn.CrossEntropyLoss(),
            optim.SGD(model.parameters(), lr=1e-9),
            seed=0,
            metrics=["f1", "top2", "confusion_matrix", share_of_zeros, metrics.Recall("micro")],
        )
        history = trainer.fit(
            x, y, 2, 16, validation_data=(x[:20], y[:20]), verbose=0, compiled=compiled
        )
        names = ["f1", "top2", "share_of_zeros", "recall"]
        expected = ["loss", "accuracy", *names]
        assert list(history.history) == [
            *expected,
            *(f"val_{name}" for name in expected),
            "seconds",
            "samples_per_second",
        ]
        # The weights hardly change: training metrics are those of the whole set.
        model.load_state_dict(before)
        output = trainer.predict(x)
        assert history.history["f1"][0] == pytest.approx(metrics.f1(output, y))
        assert history.history["val_f1"][0] == pytest.approx(metrics.f1(output[:20], y[:20]))
        matrix = history.latest["confusion_matrix"]
        assert matrix.tolist() == metrics.confusion_matrix(output, y).tolist()
        measured = trainer.evaluate(x, y, compiled=compiled)
        assert measured.metrics["f1"] == pytest.approx(metrics.f1(output, y))
        assert "f1 0." in str(measured)

    def test_a_column_in_the_table(self, classes, capsys):
        model = make_model()
        trainer = Trainer(
            model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()), metrics=["f1", "r2"][:1]
        )
        trainer.fit(*classes, validation_data=classes)
        head, row = capsys.readouterr().out.splitlines()
        assert head.split("accuracy")[-1].split() == ["f1", "val", "f1", "time", "samples/s"]
        assert len(head) == len(row)

    def test_numbers(self, numbers):
        x, y = numbers
        model = nn.Sequential(nn.Linear(2, 1, seed=0))
        trainer = Trainer(
            model,
            nn.MSELoss(),
            optim.SGD(model.parameters(), lr=0.1),
            seed=0,
            metrics=["mae", "r2"],
        )
        history = trainer.fit(x, y, 30, 8, verbose=0)
        assert history.history["r2"][-1] > 0.99
        assert history.history["mae"][-1] < history.history["mae"][0]
