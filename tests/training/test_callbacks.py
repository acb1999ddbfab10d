"""Callbacks: who is called when, what each of them does, and that nobody who is absent costs."""

import numpy as np
import pytest
from small_models import make_model, make_trainer, weights

from nncore import nn
from nncore.training import (
    Callback,
    LambdaCallback,
    runners,
)


class Recorder(Callback):
    """Notes every call."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append(("train", "begin"))

    def on_train_end(self, logs=None):
        self.calls.append(("train", "end", sorted(logs)))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("epoch", epoch, "begin"))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("epoch", epoch, "end", logs["loss"]))

    def on_test_begin(self, logs=None):
        self.calls.append(("test", "begin"))

    def on_test_end(self, logs=None):
        self.calls.append(("test", "end", sorted(logs)))


class BatchRecorder(Recorder):
    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(("batch", batch, "begin"))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("batch", batch, "end", sorted(logs)))


class TestHooks:
    def test_order(self, classes):
        recorder = BatchRecorder()
        trainer = make_trainer()
        trainer.fit(*classes, 2, 25, validation_data=classes, verbose=0, callbacks=recorder)
        logs = ["accuracy", "batch_loss", "loss"]
        losses = trainer.history.history["loss"]

        def epoch(n):
            return [
                ("epoch", n, "begin"),
                ("batch", 0, "begin"),
                ("batch", 0, "end", logs),
                ("batch", 1, "begin"),
                ("batch", 1, "end", logs),
                ("test", "begin"),
                ("test", "end", ["accuracy", "loss"]),
                ("epoch", n, "end", losses[n]),
            ]

        end = ("train", "end", sorted(trainer.history.history))
        assert recorder.calls == [("train", "begin"), *epoch(0), *epoch(1), end]
        assert recorder.params == {
            "epochs": 2,
            "steps": 2,
            "batch_size": 25,
            "samples": 50,
            "verbose": 0,
            "validation": True,
        }
        assert recorder.model is trainer.model

    @pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
    def test_batch_by_batch_has_the_same_bits(self, classes, compiled):
        found = set()
        for callbacks in ([], [Recorder()], [BatchRecorder()]):
            trainer = make_trainer()
            history = trainer.fit(
                *classes, 3, 7, validation_data=classes, verbose=0, compiled=compiled,
                callbacks=callbacks,
            ).history  # fmt: skip
            columns = (tuple(history[name]) for name in ("loss", "accuracy", "val_loss"))
            found.add((weights(trainer.model), *columns))
        assert len(found) == 1

    @pytest.mark.parametrize(("callback", "calls"), [(Recorder, 2), (BatchRecorder, 10), (None, 2)])
    def test_an_epoch_is_one_call_unless_somebody_listens(
        self, classes, monkeypatch, callback, calls
    ):
        parts, run = [], runners.CompiledRunner.epoch

        def note(self, *given):
            parts.append(given[3])
            return run(self, *given)

        monkeypatch.setattr(runners.CompiledRunner, "epoch", note)
        make_trainer().fit(
            *classes, 2, 10, verbose=0, callbacks=None if callback is None else [callback()]
        )
        assert len(parts) == calls
        assert parts[-1] == (4, 5) if calls == 10 else (0, 5)

    def test_hooks_set_on_the_object_count(self, classes):
        seen = []
        callback = Callback()
        callback.on_train_batch_end = lambda batch, logs: seen.append(batch)
        make_trainer().fit(*classes, batch_size=10, verbose=0, callbacks=[callback])
        assert seen == [0, 1, 2, 3, 4]

    def test_batch_losses_average_to_the_epochs(self, classes):
        seen = []
        show = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(dict(logs)))
        history = make_trainer().fit(*classes, batch_size=16, verbose=0, callbacks=[show])
        sizes = np.array([16, 16, 16, 2])
        mean = np.dot([logs["batch_loss"] for logs in seen], sizes) / 50
        assert mean == pytest.approx(history.history["loss"][0])
        assert seen[-1]["loss"] == history.history["loss"][0]

    def test_stopping_within_an_epoch(self, classes):
        trainer = make_trainer()

        def stop(batch, logs):
            trainer.stop_training = batch == 1

        trainer.fit(*classes, 5, 10, verbose=0, callbacks=[LambdaCallback(on_train_batch_end=stop)])
        assert trainer.steps == 2
        assert len(trainer.history) == 1
        trainer.fit(*classes, 1, 10, verbose=0)
        assert trainer.steps == 7

    @pytest.mark.parametrize(
        ("given", "kind", "message"),
        [
            ([Recorder], TypeError, "the class Recorder: write Recorder"),
            ([lambda: None], TypeError, "derived from nncore.training.Callback, got function"),
            (3, TypeError, "got int"),
        ],
    )
    def test_what_is_no_callback(self, classes, given, kind, message):
        with pytest.raises(kind, match=message):
            make_trainer().fit(*classes, verbose=0, callbacks=given)

    def test_twice_the_same(self, classes):
        recorder = Recorder()
        with pytest.raises(ValueError, match="twice"):
            make_trainer().fit(*classes, verbose=0, callbacks=[recorder, recorder])

    def test_lambda_callback_knows_the_hooks(self):
        with pytest.raises(TypeError, match="no hook on_batch_end, expected on_train_begin"):
            LambdaCallback(on_batch_end=print)
        with pytest.raises(TypeError, match="on_epoch_end must be a function"):
            LambdaCallback(on_epoch_end=3)


class TestWhenOneRaises:
    @pytest.mark.parametrize(
        "hook",
        ["on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end",
         "on_test_begin", "on_test_end", "on_epoch_end", "on_train_end"],
    )  # fmt: skip
    @pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
    def test_everything_is_as_after_an_interrupt(self, classes, hook, error):
        def fail(*_args, **_logs):
            raise error

        trainer = make_trainer(make_model(nn.ReLU()))
        trainer.model.eval()
        trainer.model[1].train()
        modes = [module.training for module in trainer.model.modules()]
        with pytest.raises(error):
            trainer.fit(
                *classes, 2, 25, validation_data=classes, verbose=0,
                callbacks=[LambdaCallback(**{hook: fail})],
            )  # fmt: skip
        assert [module.training for module in trainer.model.modules()] == modes
        assert all((parameter.grad == 0).all() for parameter in trainer.model.parameters())
        done = {"on_epoch_end": 1, "on_train_end": 2}.get(hook, 0)
        assert len(trainer.history) == done
        trainer.fit(*classes, verbose=0)
        assert len(trainer.history) == done + 1
