"""`History`: columns of equal length, the best epoch, the table."""

import math

import numpy as np
import pytest
from small_models import make_trainer

from nncore.training import History


def history_of(*epochs: dict[str, float]) -> History:
    history = History()
    for values in epochs:
        history.append(values)
    return history


def test_columns():
    history = history_of({"loss": 2.0, "accuracy": 0.5}, {"loss": 1.0, "accuracy": 0.75})
    assert history.history == {"loss": [2.0, 1.0], "accuracy": [0.5, 0.75]}
    assert history.epochs == [1, 2]
    assert len(history) == 2
    assert history.values(2) == {"loss": 1.0, "accuracy": 0.75}


def test_what_was_not_measured_is_nan():
    history = history_of({"loss": 2.0}, {"loss": 1.0, "val_loss": 3.0}, {"loss": 0.5})
    assert np.isnan(history.history["val_loss"]).tolist() == [True, False, True]
    assert history.best_epoch == 2
    assert str(history).split("\n")[1].split() == ["1/3", "2.0000", "-"]


def test_best_epoch():
    assert History().best_epoch is None
    assert history_of({"loss": 2.0}, {"loss": 1.0}, {"loss": 1.0}).best_epoch == 2
    both = history_of({"loss": 2.0, "val_loss": 1.0}, {"loss": 1.0, "val_loss": 1.5})
    assert both.best_epoch == 1
    assert history_of({"loss": math.nan}, {"loss": 1.0}).best_epoch == 2


def test_table():
    history = history_of(
        {
            "loss": 1.23456,
            "accuracy": 0.5,
            "val_loss": 0.00012345,
            "val_accuracy": 1.0,
            "seconds": 0.126,
            "samples_per_second": 12345.6,
        },
        {
            "loss": 23456.7,
            "accuracy": 0.98765,
            "val_loss": 0.0,
            "val_accuracy": 0.0,
            "seconds": 123.4,
            "samples_per_second": 7,
        },
    )
    assert str(history).split("\n") == [
        "  epoch       loss   accuracy   val loss  val accuracy       time   samples/s",
        "    1/2     1.2346    50.00 %   1.23e-04      100.00 %     0.13 s      12,346",
        "    2/2   2.35e+04    98.77 %     0.0000        0.00 %      123 s           7",
    ]


def test_repr():
    assert repr(History()) == "History(0 epochs)"
    assert repr(history_of({"loss": 0.5})) == "History(1 epochs, the last: loss 0.5)"


def test_interrupted_append_leaves_equal_columns(monkeypatch):
    history = history_of({"loss": 1.0, "accuracy": 0.5})

    class Interrupting(dict):
        def get(self, name, default=None):
            if name == "accuracy":
                raise KeyboardInterrupt
            return super().get(name, default)

    with pytest.raises(KeyboardInterrupt):
        history.append(Interrupting(loss=2.0, accuracy=0.25))
    assert history.history == {"loss": [1.0], "accuracy": [0.5]}


def test_fit_fills_it(classes):
    trainer = make_trainer()
    history = trainer.fit(*classes, epochs=3, validation_data=classes, verbose=0)
    assert list(history.history) == [
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "seconds",
        "samples_per_second",
    ]
    assert all(
        len(column) == 3 and np.isfinite(column).all() for column in history.history.values()
    )
    assert all(type(value) is float for column in history.history.values() for value in column)
    assert history.history["val_loss"][-1] == trainer.evaluate(*classes, batch_size=32).loss
    assert len(str(history).split("\n")) == 4
    trainer.fit(*classes, verbose=0)
    assert len(history) == 4
