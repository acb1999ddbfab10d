"""`Trainer`: what it refuses, and what it leaves behind after an error."""

import math

import numpy as np
import pytest
from small_models import Double, make_model, make_trainer, weights

import nncore as nc
from nncore import nn, optim
from nncore._core import engine
from nncore.training import Trainer, runners

COMPILED = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])


class TestArguments:
    @pytest.mark.parametrize(
        ("changed", "kind", "message"),
        [
            ({"epochs": 0}, ValueError, "epochs must be positive, got 0"),
            ({"epochs": -1}, ValueError, "epochs must be positive, got -1"),
            ({"epochs": 1.0}, TypeError, "epochs must be an integer, got 1.0"),
            ({"epochs": True}, TypeError, "epochs must be an integer, got True"),
            ({"epochs": None}, TypeError, "epochs must be an integer, got None"),
            ({"batch_size": 0}, ValueError, "batch_size must be positive, got 0"),
            ({"batch_size": -5}, ValueError, "batch_size must be positive, got -5"),
            ({"batch_size": 32.0}, TypeError, "batch_size must be an integer, got 32.0"),
            ({"batch_size": False}, TypeError, "batch_size must be an integer, got False"),
            ({"batch_size": "32"}, TypeError, "batch_size must be an integer"),
            ({"shuffle": "yes"}, TypeError, "shuffle must be True or False"),
            ({"compiled": 2}, TypeError, "compiled must be True or False"),
            ({"verbose": 3}, ValueError, "verbose must be 0, 1 or 2, got 3"),
            ({"verbose": -1}, ValueError, "verbose must be 0, 1 or 2, got -1"),
            ({"verbose": "auto"}, TypeError, "verbose must be 0, 1 or 2, got 'auto'"),
            ({"y": np.arange(49) % 3}, ValueError, "x has 50 samples, y has 49"),
            ({"y": None}, TypeError, "y is None, expected the labels"),
            ({"y": 3}, ValueError, "y is a single number"),
            ({"y": ["a"] * 50}, TypeError, r"y has dtype <U1.*numpy.unique"),
            ({"y": np.zeros(50, complex)}, TypeError, "y has dtype complex128"),
            ({"y": np.ma.masked_array(np.zeros(50, int))}, TypeError, "y is a masked array"),
            ({"y": [[1], [1, 2]] * 25}, TypeError, "y cannot be made an array"),
            ({"y": (i for i in range(50))}, TypeError, "y is a generator, expected an array"),
            ({"y": np.zeros((50, 2), np.float32)}, ValueError, "target has shape"),
            ({"y": np.zeros((50, 1), int)}, ValueError, "target"),
            ({"y": np.r_[np.zeros(49, int), 3]}, IndexError, r"y\[49\] is 3.*0 to 2.*3 outputs"),
            ({"y": np.r_[np.zeros(7, int), -1, np.zeros(42, int)]}, IndexError, r"y\[7\] is -1"),
            (
                {"y": np.full(50, 2**64 - 1, np.uint64)},
                IndexError,
                r"y\[0\] is 18446744073709551615",
            ),
            ({"x": None}, TypeError, "x is None"),
            ({"x": 1.5}, ValueError, "x is a single number"),
            ({"x": np.zeros((0, 4)), "y": []}, ValueError, "x has no samples"),
            (
                {"x": np.zeros((50, 4), np.uint8)},
                TypeError,
                r"uint8, expected float32: scale it.*255",
            ),
            (
                {"x": np.zeros((50, 4), bool)},
                TypeError,
                r"bool, expected float32: convert it, x.astype\(np.float32\)",
            ),
            (
                {"x": np.zeros((50, 4), object)},
                TypeError,
                r"object, expected float32: write x.astype\(np.float32\)",
            ),
            (
                {"x": np.zeros((50, 4), np.float16)},
                TypeError,
                r"float16, expected float32: write x.astype\(np.float32\)",
            ),
            ({"x": np.zeros((50, 4), complex)}, TypeError, "complex128, .* write x.real"),
            ({"x": np.zeros((50, 5))}, ValueError, "Linear: x has 5 features, weight expects 4"),
            (
                {"x": (row for row in np.zeros((50, 4)))},
                TypeError,
                r"x is a generator.*concatenate",
            ),
            ({"x": iter(np.zeros((50, 4)))}, TypeError, "x is a .*iterator"),
            ({"x": {1.0, 2.0}}, TypeError, "x is a set"),
            (
                {"validation_data": 0.2},
                TypeError,
                r"validation_data must be a pair \(x, y\), got float",
            ),
            ({"validation_data": ([],)}, TypeError, r"validation_data must be a pair .*1 of them"),
            (
                {"validation_data": (np.zeros((2, 4)), [0, 7])},
                IndexError,
                r"validation_data: y\[1\] is 7",
            ),
            (
                {"validation_data": (np.zeros((2, 4)), [0.5, 1.5])},
                TypeError,
                "target has dtype",
            ),
            (
                {"validation_data": (np.zeros((2, 4)), [0])},
                ValueError,
                "validation_data: x has 2 samples, y has 1",
            ),
            ({"validation_data": (np.zeros((2, 9)), [0, 0])}, ValueError, "9 features"),
        ],
    )
    @COMPILED
    def test_is_refused_before_anything_changes(self, classes, changed, kind, message, compiled):
        model = make_model(Double())
        model.eval()
        model[2].train()
        trainer = make_trainer(model)
        before = weights(model), [module.training for module in model.modules()]
        arguments = {
            "x": classes[0],
            "y": classes[1],
            "verbose": 0,
            "compiled": compiled,
            **changed,
        }
        with pytest.raises(kind, match=message):
            trainer.fit(**arguments)
        assert (weights(model), [module.training for module in model.modules()]) == before
        assert len(trainer.history) == 0

    def test_numpy_integers_are_integers(self, classes):
        history = make_trainer().fit(
            *classes, epochs=np.int64(2), batch_size=np.uint8(25), verbose=np.int32(0)
        )
        assert len(history) == 2

    @pytest.mark.parametrize(
        ("change", "kind", "message"),
        [
            (lambda m, c, o: (m.state_dict(), c, o), TypeError, "model must be a Module, got dict"),
            (lambda m, c, o: (nn.Linear, c, o), TypeError, "got the class Linear"),
            (lambda m, c, o: (m, "mse", o), TypeError, "loss_fn must be a loss function, got str"),
            (
                lambda m, c, o: (m, nn.CrossEntropyLoss, o),
                TypeError,
                "class CrossEntropyLoss: write",
            ),
            (lambda m, c, o: (m, c, "adam"), TypeError, "optimizer must be an Optimizer, got str"),
            (lambda m, c, o: (m, c, optim.Adam), TypeError, "class Adam: write Adam"),
            (lambda m, c, o: (make_model(), c, o), ValueError, "none of the model's parameters"),
            (lambda m, c, o: (m.astype(np.float64), c, o), ValueError, "none of the model's param"),
        ],
    )
    def test_parts_that_do_not_belong_together(self, change, kind, message):
        model = make_model()
        parts = change(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
        with pytest.raises(kind, match=f"Trainer: .*{message}"):
            Trainer(*parts)

    def test_fit_needs_an_optimizer(self, classes):
        with pytest.raises(RuntimeError, match="has no optimizer"):
            Trainer(make_model(), nn.CrossEntropyLoss()).fit(*classes)


class TestAfterAnError:
    @COMPILED
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_loss_that_is_not_finite(self, classes, compiled, value):
        x, y = classes
        trainer, expected = make_trainer(), make_trainer()
        expected.fit(x[:20], y[:20], batch_size=10, shuffle=False, verbose=0)
        trainer.model.eval()
        x[25, 0] = value
        with pytest.raises(
            FloatingPointError,
            match=r"(nan|inf) in epoch 1, batch 3 of 5 \(step 3\): x of sample 25 holds NaN",
        ):
            trainer.fit(x, y, batch_size=10, shuffle=False, verbose=0, compiled=compiled)
        # The two batches before it count, the one with the NaN does not.
        assert weights(trainer.model) == weights(expected.model)
        assert len(trainer.history) == 0
        assert not any(module.training for module in trainer.model.modules())
        assert all((parameter.grad == 0).all() for parameter in trainer.model.parameters())
        trainer.fit(x[:20], y[:20], verbose=0)
        assert math.isfinite(trainer.history.history["loss"][0])

    @COMPILED
    def test_a_loss_that_is_not_a_number_from_finite_data(self, classes, compiled):
        class Ignoring(nn.CrossEntropyLoss):
            """All labels ignored: a mean over nothing."""

            def _forward(self, pred, target):
                _, saved = super()._forward(pred, target)
                return math.nan, saved

        trainer = make_trainer()
        trainer.loss_fn = Ignoring()
        before = weights(trainer.model)
        with pytest.raises(
            FloatingPointError,
            match=r"nan in epoch 1, batch 1 of 2 .* outputs are finite, the loss of them is not",
        ):
            trainer.fit(*classes, verbose=0, compiled=compiled)
        assert weights(trainer.model) == before

    @COMPILED
    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
    def test_interrupted(self, classes, monkeypatch, compiled, error):
        kind = runners.CompiledRunner if compiled else runners.EagerRunner
        epoch, calls = kind.epoch, []

        def note(batch):
            if batch == 3:
                raise error

        def interrupted(self, *given):
            calls.append(1)
            if len(calls) == 3:
                given = *given[:-1], runners.Watcher(note, 0.0)
            return epoch(self, *given)

        monkeypatch.setattr(kind, "epoch", interrupted)
        trainer, plain = make_trainer(), make_trainer()
        trainer.model.eval()
        with pytest.raises(error):
            trainer.fit(*classes, 4, 10, validation_data=classes, verbose=0, compiled=compiled)
        monkeypatch.undo()
        assert trainer.history.epochs == [1, 2]
        assert {len(column) for column in trainer.history.history.values()} == {2}
        assert not any(module.training for module in trainer.model.modules())
        assert all((parameter.grad == 0).all() for parameter in trainer.model.parameters())
        plain.fit(*classes, 2, 10, verbose=0, compiled=compiled)
        assert trainer.history.history["loss"] == plain.history.history["loss"]
        # The weights are those after the last whole batch.
        third = engine.stream_permutation(5, "shuffle", 2, 50)[:30]
        loss_fn = nn.CrossEntropyLoss()
        for rows in third.reshape(3, 10):
            loss_fn(plain.model(classes[0][rows]), classes[1][rows])
            plain.model.backward(loss_fn.backward())
            plain.optimizer.step()
            plain.model.zero_grad()
        assert weights(trainer.model) == weights(plain.model)
        # And it goes on with the third epoch.
        trainer.fit(*classes, 1, 10, verbose=0, compiled=compiled)
        assert trainer.history.epochs == [1, 2, 3]

    def test_interrupted_while_validating(self, classes, monkeypatch):
        def interrupt(self, *given):
            raise KeyboardInterrupt

        monkeypatch.setattr(runners.CompiledRunner, "measure", interrupt)
        trainer = make_trainer()
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(*classes, validation_data=classes, verbose=0)
        assert len(trainer.history) == 0
        assert all(module.training for module in trainer.model.modules())

    @COMPILED
    def test_modes_come_back_one_by_one(self, classes, compiled):
        model = make_model(nn.Sequential(nn.ReLU()))
        model[0].eval()
        model[3].eval()
        before = [module.training for module in model.modules()]
        assert len(set(before)) == 2
        trainer = make_trainer(model)
        trainer.fit(*classes, validation_data=classes, verbose=0, compiled=compiled)
        trainer.evaluate(*classes, compiled=compiled)
        trainer.predict(classes[0], compiled=compiled)
        assert [module.training for module in model.modules()] == before

    def test_modes_within(self, classes):
        seen = []

        class Spy(Double):
            def _forward(self, x):
                seen.append(self.training)
                return super()._forward(x)

        trainer = make_trainer(make_model(Spy()))
        seen.clear()
        trainer.fit(*classes, epochs=2, batch_size=50, validation_data=classes, verbose=0)
        # Both data sets are tried on a sample first, then a batch and a validation twice.
        assert seen == [False, False, *[True, False] * 2]

    def test_a_stopped_step_can_be_used_again(self, classes):
        """What the loop leaves of its compiled step does not disturb one of the user's."""
        trainer = make_trainer()
        step = nc.compile(trainer.model, trainer.loss_fn, trainer.optimizer)
        first = step(*classes)
        trainer.fit(*classes, verbose=0)
        assert step(*classes) < first


def test_an_optimizer_from_before_a_layer_was_replaced():
    trainer = make_trainer()
    trainer.model[2] = nn.Linear(8, 3)
    x, y = np.zeros((4, 4), np.float32), np.zeros(4, int)
    with pytest.raises(ValueError, match=r"does not hold 2\.weight, 2\.bias, but"):
        trainer.fit(x, y, verbose=0)
    trainer.model.freeze()  # nothing new is to learn
    trainer.model[0].unfreeze()
    trainer.fit(x, y, verbose=0)
