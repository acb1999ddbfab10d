"""`evaluate`, `report`, `predict`: what they compute, and that they change nothing."""

import math

import numpy as np
import pytest
from small_models import Double, make_model, make_trainer, weights

from nncore import nn
from nncore.training import Evaluation, GeneralizationReport, Trainer

COMPILED = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])


def softmax_risk(logits: np.ndarray, y: np.ndarray) -> float:
    logits = logits.astype(np.float64)
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]))


class TestEvaluate:
    @COMPILED
    @pytest.mark.parametrize("batch_size", [1, 7, 50, 256])
    def test_is_the_mean_over_all_samples(self, classes, compiled, batch_size):
        x, y = classes
        trainer = make_trainer()
        found = trainer.evaluate(x, y, batch_size=batch_size, compiled=compiled)
        logits = trainer.model(x)
        assert found.empirical_risk == pytest.approx(softmax_risk(logits, y), rel=1e-5)
        assert found.loss == found.empirical_risk
        assert found.accuracy == np.mean(logits.argmax(axis=1) == y)
        assert found.error_rate == 1 - found.accuracy
        assert found.samples == 50

    def test_both_ways_agree(self, classes):
        trainer = make_trainer()
        assert trainer.evaluate(*classes, compiled=True) == trainer.evaluate(
            *classes, compiled=False
        )

    def test_right_answers_are_counted_as_numpy_does(self, classes, dtype):
        """The first of equal outputs is the largest, a NaN larger than all; counted in C."""
        x, y = classes
        for spoil in ("ties", "first", "last", "all"):
            model = make_model(dtype=dtype)
            if spoil == "ties":
                model[2].weight.data[...] = 0
                model[2].bias.data[...] = [1, 2, 2]
            else:
                rows = {"first": 0, "last": 2, "all": slice(None)}[spoil]
                model[2].weight.data[rows] = np.nan
            trainer = make_trainer(model)
            found = trainer.evaluate(x, y, batch_size=7)
            assert found.accuracy == trainer.evaluate(x, y, batch_size=7, compiled=False).accuracy
            assert found.accuracy == np.mean(trainer.model(x.astype(dtype)).argmax(axis=1) == y)

    @COMPILED
    def test_squared_error_has_no_accuracy(self, numbers, compiled):
        x, y = numbers
        model = nn.Sequential(nn.Linear(2, 1, seed=0))
        found = Trainer(model, nn.MSELoss()).evaluate(x, y, batch_size=7, compiled=compiled)
        assert found.empirical_risk == pytest.approx(float(np.mean((model(x) - y) ** 2)), rel=1e-5)
        assert found.accuracy is None
        assert found.error_rate is None
        assert "accuracy" not in str(found)

    @pytest.mark.parametrize("extra", [(), (Double(),)], ids=["compiled", "eager"])
    def test_changes_and_records_nothing(self, classes, extra):
        model = make_model(*extra)
        trainer = make_trainer(model)
        model.train()
        before = weights(model)
        trainer.evaluate(*classes)
        trainer.predict(classes[0])
        assert weights(model) == before
        assert all((parameter.grad == 0).all() for parameter in model.parameters())
        with pytest.raises(RuntimeError, match="no recorded forward"):
            model.backward(np.zeros((50, 3), np.float32))
        with pytest.raises(RuntimeError, match="no recorded forward"):
            trainer.loss_fn.backward()

    def test_is_in_eval_mode_and_back(self, classes):
        seen = []

        class Spy(Double):
            def _forward(self, x):
                seen.append(self.training)
                return super()._forward(x)

        trainer = make_trainer(make_model(Spy()))
        trainer.evaluate(*classes)
        trainer.predict(classes[0])
        assert seen
        assert not any(seen)
        assert all(module.training for module in trainer.model.modules())

    def test_leaves_a_record_of_the_users_alone(self, classes):
        x, y = classes
        trainer = make_trainer(make_model(Double()))
        loss_fn = nn.CrossEntropyLoss()
        loss_fn(trainer.model(x), y)
        trainer.evaluate(x, y)
        trainer.model.backward(loss_fn.backward())
        assert any(parameter.grad.any() for parameter in trainer.model.parameters())

    @COMPILED
    def test_a_loss_that_is_not_finite_is_shown(self, classes, compiled):
        x, y = classes
        x[3] = np.nan
        found = make_trainer().evaluate(x, y, compiled=compiled)
        assert math.isnan(found.loss)

    @pytest.mark.parametrize(
        ("changed", "kind", "message"),
        [
            ({"batch_size": 0}, ValueError, "evaluate: batch_size must be positive"),
            ({"batch_size": 2.0}, TypeError, "evaluate: batch_size must be an integer"),
            ({"y": [0, 1]}, ValueError, "evaluate: x has 50 samples, y has 2"),
            ({"y": np.full(50, 3)}, IndexError, r"evaluate: y\[0\] is 3"),
            ({"x": np.zeros((0, 4)), "y": []}, ValueError, "evaluate: x has no samples"),
        ],
    )
    def test_what_it_refuses(self, classes, changed, kind, message):
        with pytest.raises(kind, match=message):
            make_trainer().evaluate(**{"x": classes[0], "y": classes[1], **changed})

    def test_shows_what_it_is(self):
        text = str(Evaluation(0.12345, 0.985, 2000))
        assert text == (
            "empirical risk (loss) 0.1235, accuracy 98.50 %, error rate 1.50 %, 2,000 samples"
        )


class TestReport:
    def test_training_beside_test_with_the_gap(self, classes):
        x, y = classes
        trainer = make_trainer()
        trainer.fit(x[:30], y[:30], epochs=20, verbose=0)
        report = trainer.report((x[:30], y[:30]), (x[30:], y[30:]))
        assert report.train == trainer.evaluate(x[:30], y[:30])
        assert report.test == trainer.evaluate(x[30:], y[30:])
        assert report.gap == report.test.loss - report.train.loss
        assert report.error_rate_gap == report.test.error_rate - report.train.error_rate

    def test_shows_it_in_columns(self):
        report = GeneralizationReport(
            Evaluation(0.01, 0.999, 60000), Evaluation(0.04, 0.985, 10000)
        )
        assert str(report).split("\n") == [
            "                         training        test         gap",
            "samples                    60,000      10,000",
            "empirical risk (loss)      0.0100      0.0400     +0.0300",
            "error rate                 0.10 %      1.50 %   +1.40 pts",
            "accuracy                  99.90 %     98.50 %   -1.40 pts",
        ]

    def test_without_labels(self):
        report = GeneralizationReport(Evaluation(2.0, None, 10), Evaluation(1.5, None, 5))
        assert report.error_rate_gap is None
        assert "error rate" not in str(report)
        assert "-0.5000" in str(report)

    @pytest.mark.parametrize("wrong", [None, 3, ([1.0],), "xy!"])
    def test_wants_pairs(self, classes, wrong):
        with pytest.raises(TypeError, match=r"report: test must be a pair \(x, y\)"):
            make_trainer().report(classes, wrong)


class TestPredict:
    @COMPILED
    @pytest.mark.parametrize("batch_size", [1, 7, 50, 256])
    def test_is_the_model(self, classes, compiled, batch_size):
        trainer = make_trainer()
        found = trainer.predict(classes[0], batch_size, compiled=compiled)
        assert found.dtype == np.float32
        # Batch sizes may choose different algorithms: equal to rounding, not to the bit.
        assert np.allclose(found, trainer.model(classes[0]), rtol=1e-5, atol=1e-6)

    @COMPILED
    def test_no_samples(self, compiled):
        found = make_trainer().predict(np.zeros((0, 4)), compiled=compiled)
        assert found.shape == (0, 3)

    @COMPILED
    def test_images_out(self, compiled):
        model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, seed=0))
        x = np.random.default_rng(0).standard_normal((5, 2, 4, 6)).astype(np.float32)
        found = Trainer(model, nn.MSELoss()).predict(x, 2, compiled=compiled)
        assert found.shape == (5, 3, 4, 6)
        assert np.allclose(found, model(x), rtol=1e-5, atol=1e-6)

    def test_is_the_callers(self, classes):
        trainer = make_trainer()
        first = trainer.predict(classes[0])
        kept = first.copy()
        first[...] = 0
        assert np.array_equal(trainer.predict(classes[0]), kept)

    @pytest.mark.parametrize(
        ("x", "kind", "message"),
        [
            (np.zeros((3, 5)), ValueError, "5 features"),
            (np.zeros((3, 4), int), TypeError, "int64"),
            ((row for row in [1.0]), TypeError, "predict: x is a generator"),
            (2.0, ValueError, "single number"),
        ],
    )
    def test_what_it_refuses(self, x, kind, message):
        with pytest.raises(kind, match=message):
            make_trainer().predict(x)
        with pytest.raises(ValueError, match="predict: batch_size must be positive"):
            make_trainer().predict(np.zeros((3, 4)), 0)

    def test_many_threads_share_a_model_in_eval_mode(self, classes):
        from concurrent.futures import ThreadPoolExecutor

        trainer = make_trainer()
        trainer.model.eval()
        expected = trainer.predict(classes[0]).tobytes()
        with ThreadPoolExecutor(4) as pool:
            found = pool.map(lambda _: trainer.predict(classes[0]).tobytes(), range(40))
        assert set(found) == {expected}
