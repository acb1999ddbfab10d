"""Callbacks that write: CSV, loggers, checkpoints."""

import csv
import os
import signal
import threading
import time

import numpy as np
import pytest
from small_models import make_trainer, weights

from nncore import nn, optim
from nncore.training import Checkpoint, CSVLogger, LambdaCallback, Trainer
from nncore.training.fitting import Fit


class TestFiles:
    def test_csv(self, classes, tmp_path):
        path = tmp_path / "log.csv"
        trainer = make_trainer()
        seen = []
        trainer.fit(
            *classes, 2, verbose=0,
            callbacks=[
                CSVLogger(path),
                LambdaCallback(on_epoch_end=lambda *_, logs=None: seen.append(path.read_text())),
            ],
        )  # fmt: skip
        assert [text.count("\n") for text in seen] == [2, 3]
        trainer.fit(*classes, 1, validation_data=classes, verbose=0, callbacks=[CSVLogger(path)])
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["epoch"] for row in rows] == ["1", "2", "3"]
        assert [float(row["loss"]) for row in rows] == trainer.history.history["loss"]
        assert [row["val_loss"] == "" for row in rows] == [True, True, False]
        assert path.read_text() == expected_csv(trainer, tmp_path)

    def test_csv_separator(self, classes, tmp_path):
        make_trainer().fit(*classes, verbose=0, callbacks=[CSVLogger(tmp_path / "a", ";")])
        assert (tmp_path / "a").read_text().startswith("epoch;loss;")
        with pytest.raises(ValueError, match="separator must be one character"):
            CSVLogger("a", ", ")

    def test_a_logger(self, classes):
        class Tracker:
            def __init__(self):
                self.params, self.rows = {}, []

            def log_hyperparams(self, params):
                self.params = params

            def log_metrics(self, metrics, step):
                self.rows.append((step, metrics))

        tracker = Tracker()
        trainer = make_trainer()
        trainer.fit(*classes, 2, 10, verbose=0, logger=tracker)
        assert tracker.params["optimizer"] == "Adam"
        assert tracker.params["lr"] == 0.01
        assert (tracker.params["epochs"], tracker.params["batch_size"]) == (2, 10)
        assert [step for step, _ in tracker.rows] == [5, 10]
        assert tracker.rows[1][1]["epoch"] == 2
        assert tracker.rows[1][1]["loss"] == trainer.history.history["loss"][1]
        with pytest.raises(TypeError, match=r"logger must have the methods log_hyperparams"):
            trainer.fit(*classes, verbose=0, logger=object())

    def test_checkpoint_names_and_turns(self, classes, tmp_path):
        trainer = make_trainer()
        saving = Checkpoint(tmp_path / "at-{epoch:02d}.npz", every_epochs=2)
        trainer.fit(*classes, 5, verbose=0, callbacks=[saving])
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["at-02.npz", "at-04.npz", "at-05.npz"]

    def test_the_best_alone(self, classes, tmp_path, monkeypatch):
        left = iter([3, 2, 4, 1, 5])
        monkeypatch.setattr(Fit, "_validate", lambda self: {"val_loss": next(left)})
        trainer = make_trainer()
        saving = Checkpoint(tmp_path / "{epoch}.npz", monitor="val_loss", weights_only=True)
        trainer.fit(*classes, 5, validation_data=classes, verbose=0, callbacks=[saving])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["1.npz", "2.npz", "4.npz"]

    def test_what_cannot_be_saved_is_found_before_the_work(self, classes, tmp_path):
        trainer = make_trainer()
        before = weights(trainer.model)
        for path, error in ((tmp_path / "no" / "a.npz", OSError), (tmp_path / "a.pt", ValueError)):
            with pytest.raises(error):
                trainer.fit(*classes, verbose=0, callbacks=[Checkpoint(path)])
        assert weights(trainer.model) == before
        with pytest.raises(ValueError, match="exclude each other"):
            Checkpoint("a.npz", every_batches=2, monitor="loss")


def expected_csv(trainer, folder):
    trainer.history.to_csv(folder / "expected.csv")
    return (folder / "expected.csv").read_text()


def test_ctrl_c_in_the_midst_of_the_engine(tmp_path):
    """Heard within an epoch that is one call; what was saved, and is saved then, goes on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20000, 64)).astype(np.float32), rng.integers(0, 10, 20000)

    def make():
        model = nn.Sequential(nn.Linear(64, 256, seed=1), nn.ReLU(), nn.Linear(256, 10, seed=2))
        return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01), seed=0)

    trainer, path = make(), tmp_path / "run.npz"
    begun = threading.Event()
    timer = threading.Thread(
        target=lambda: (begun.wait(60), time.sleep(0.05), os.kill(os.getpid(), signal.SIGINT))
    )
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(
            x, y, 10**6, verbose=0,
            callbacks=[
                Checkpoint(path, every_epochs=2),
                LambdaCallback(on_epoch_end=lambda epoch, logs: epoch == 1 and begun.set()),
            ],
        )  # fmt: skip
    timer.join()
    signal.signal(signal.SIGINT, before)
    assert all(module.training for module in trainer.model.modules())
    done = len(trainer.history)
    assert done >= 2
    trainer.save_checkpoint(tmp_path / "now.npz")
    now, whole, saved = make(), make(), make()
    whole.fit(x, y, done + 1, verbose=0)
    now.load_checkpoint(tmp_path / "now.npz")
    now.fit(x, y, 1, verbose=0)
    saved.fit(x, y, done + 1, verbose=0, resume=path)
    assert weights(now.model) == weights(whole.model) == weights(saved.model)
