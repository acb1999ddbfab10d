"""Callbacks that watch: early stopping, learning rates, losses that are no numbers."""

import numpy as np
import pytest
from small_models import Double, make_model, make_trainer, weights

from nncore import nn, optim
from nncore.training import (
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
    TerminateOnNaN,
    Trainer,
)
from nncore.training.fitting import Fit


@pytest.fixture
def losses(monkeypatch):
    """Validation losses as given, one an epoch."""

    def give(values):
        left = iter(values)
        monkeypatch.setattr(Fit, "_validate", lambda self: {"val_loss": next(left)})

    return give


class TestEarlyStopping:
    @pytest.mark.parametrize(
        ("values", "options", "epochs", "best"),
        [
            ([3, 2, 1, 0], {}, 4, 4),
            ([3, 2, 2, 1], {}, 3, 2),
            ([3, 2, 4, 1, 5, 5, 5], {"patience": 2}, 6, 4),
            ([3, 2.95, 2.9, 2.85], {"min_delta": 0.2, "patience": 2}, 3, 1),
            ([3, 9, 9, 2, 2.5], {"start_from_epoch": 2, "patience": 2}, 5, 4),
            ([1, 2, 2, 1], {"mode": "max"}, 3, 2),
            ([np.nan, 2, np.nan], {}, 1, None),
        ],
    )
    def test_when(self, classes, losses, values, options, epochs, best):
        losses(values)
        stopping = EarlyStopping(**options)
        trainer = make_trainer()
        trainer.fit(*classes, len(values), validation_data=classes, verbose=0, callbacks=[stopping])
        assert len(trainer.history) == epochs
        assert stopping.best_epoch == best
        assert stopping.stopped_epoch == (epochs if trainer.stop_training else None)

    def test_restores_the_best_weights(self, classes, losses):
        losses([3, 1, 2, 2])
        kept = {}
        trainer = make_trainer()
        keep = LambdaCallback(
            on_epoch_end=lambda epoch, logs: kept.setdefault(epoch, weights(trainer.model))
        )
        stopping = EarlyStopping(patience=2, restore_best_weights=True)
        trainer.fit(*classes, 9, validation_data=classes, verbose=0, callbacks=[keep, stopping])
        assert len(trainer.history) == 4
        assert weights(trainer.model) == kept[1]
        assert kept[1] != kept[3]

    def test_needs_what_it_monitors(self, classes):
        trainer = make_trainer()
        before = weights(trainer.model)
        with pytest.raises(ValueError, match="monitors val_loss, but there is no validation"):
            trainer.fit(*classes, verbose=0, callbacks=[EarlyStopping()])
        assert weights(trainer.model) == before
        with pytest.raises(ValueError, match="'gain', measured are loss, accuracy, seconds"):
            trainer.fit(*classes, verbose=0, callbacks=[EarlyStopping("gain")])

    @pytest.mark.parametrize(
        ("options", "kind"),
        [
            ({"monitor": 3}, TypeError),
            ({"mode": "best"}, ValueError),
            ({"patience": -1}, ValueError),
            ({"min_delta": "a"}, TypeError),
            ({"restore_best_weights": "no"}, TypeError),
        ],
    )
    def test_arguments(self, options, kind):
        with pytest.raises(kind, match="EarlyStopping"):
            EarlyStopping(**options)

    def test_accuracy_rises(self, classes):
        stopping = EarlyStopping("accuracy")
        make_trainer().fit(*classes, 20, 5, verbose=0, callbacks=[stopping])
        assert stopping.best > 0.8


class TestLearningRates:
    def test_scheduler_callback(self, classes):
        seen = []

        def schedule(epoch, rate):
            seen.append((epoch, rate))
            return 0.1 / (epoch + 1)

        trainer = make_trainer()
        history = trainer.fit(*classes, 3, verbose=0, callbacks=[LearningRateScheduler(schedule)])
        assert history.history["lr"] == [0.1, 0.05, 0.1 / 3]
        assert seen == [(0, 0.01), (1, 0.1), (2, 0.05)]

    def test_reduce_on_plateau(self, classes, losses):
        losses([3, 3, 3, 3, 3, 3, 3, 2])
        reduce = ReduceLROnPlateau(patience=2, factor=0.5, cooldown=1, min_lr=0.004)
        trainer = make_trainer()
        history = trainer.fit(*classes, 8, validation_data=classes, verbose=0, callbacks=reduce)
        rates = [0.01] * 3 + [0.005] * 2 + [0.004] * 3  # as Keras counts its cooldown
        assert history.history["lr"] == pytest.approx(rates)

    @pytest.mark.parametrize("factor", [0, 1, 2, "a"])
    def test_factor(self, factor):
        with pytest.raises((ValueError, TypeError), match="ReduceLROnPlateau: factor"):
            ReduceLROnPlateau(factor=factor)

    @pytest.mark.parametrize(("interval", "steps"), [("epoch", 3), ("batch", 15)])
    def test_a_scheduler_of_the_trainer(self, classes, interval, steps):
        class Halving:
            def __init__(self, optimizer):
                self.optimizer, self.calls = optimizer, 0

            def step(self):
                self.calls += 1
                for group in self.optimizer.param_groups:
                    group["lr"] *= 0.5

        def by_hand(model):
            """The same schedule in a loop of batches."""
            own = optim.SGD(model.parameters(), lr=0.1)
            scheduler = Halving(own)
            trainer = Trainer(model, nn.CrossEntropyLoss(), own, seed=5)
            update = LambdaCallback(
                **{
                    "on_epoch_end" if interval == "epoch" else "on_train_batch_end": (
                        lambda at, logs: scheduler.step()
                    )
                }
            )
            trainer.fit(*classes, 3, 10, verbose=0, callbacks=[update])
            return weights(model)

        model = make_model()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        scheduler = Halving(optimizer)
        trainer = Trainer(
            model, nn.CrossEntropyLoss(), optimizer, seed=5, scheduler=scheduler,
            scheduler_interval=interval,
        )  # fmt: skip
        history = trainer.fit(*classes, 3, 10, verbose=0)
        assert scheduler.calls == steps
        expected = [0.1, 0.05, 0.025] if interval == "epoch" else [0.1 / 2**n for n in (0, 5, 10)]
        assert history.history["lr"] == pytest.approx(expected)
        assert weights(model) == by_hand(make_model())

    def test_a_scheduler_that_takes_a_value(self, classes):
        class Watching:
            seen: list[float] = []  # noqa: RUF012

            def step(self, value):
                self.seen.append(value)

        model = make_model()
        parts = model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)
        trainer = Trainer(*parts, scheduler=Watching())
        trainer.fit(*classes, 2, validation_data=classes, verbose=0)
        trainer.fit(*classes, 1, verbose=0)
        history = trainer.history.history
        assert trainer.scheduler.seen == [*history["val_loss"][:2], history["loss"][2]]
        with pytest.raises(ValueError, match="it cannot step by batch"):
            Trainer(*parts, scheduler=Watching(), scheduler_interval="batch")
        with pytest.raises(ValueError, match="must be 'epoch' or 'batch'"):
            Trainer(*parts, scheduler_interval="step")
        with pytest.raises(TypeError, match="must have a method step"):
            Trainer(*parts, scheduler=3)


class TestTerminateOnNaN:
    def test_ends_quietly_and_says_where(self, classes, capsys):
        x, y = classes
        x[25, 0] = np.inf
        callback = TerminateOnNaN()
        trainer = make_trainer()
        history = trainer.fit(x, y, 3, 10, shuffle=False, callbacks=[callback])
        assert len(history) == 0
        assert trainer.steps == 2
        assert "epoch 1, batch 3 of 5 (step 3): x of sample 25 holds" in callback.message
        assert callback.message in capsys.readouterr().out

    @pytest.mark.parametrize("extra", [(), (Double(),)], ids=["compiled", "eager"])
    def test_names_the_first_layer(self, classes, extra):
        x, y = classes
        model = make_model(*extra)
        model[2].weight.data[...] = 3e38
        x[7] = 3e38
        callback = TerminateOnNaN()
        with np.errstate(over="ignore"):
            make_trainer(model).fit(x, y, verbose=0, callbacks=[callback], shuffle=False)
        assert "Linear (0) is not finite for sample 7" in callback.message
        assert not any("_forward_only" in vars(module) for module in model.modules())

    def test_names_a_parameter(self, classes):
        model = make_model()
        model[2].bias.data[1] = np.nan
        callback = TerminateOnNaN()
        make_trainer(model).fit(*classes, verbose=0, callbacks=[callback])
        assert "the parameter 2.bias holds NaN" in callback.message
