"""Weights of samples and classes, clipping, accumulation: the loss and the step they mean."""

import copy

import numpy as np
import pytest
from small_models import make_model, make_trainer, weights

from nncore import nn, optim
from nncore._core import engine
from nncore.training import LambdaCallback, Trainer

COMPILED = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])


def sgd(model, loss_fn=None, lr=0.1):
    return Trainer(
        model, loss_fn or nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=lr), seed=4
    )


def gradient(model, x, y, w):
    """Of (1/N) sum_i w_i l_i, in float64, by the loss of each sample."""
    model = model.astype(np.float64)
    loss_fn, total = nn.CrossEntropyLoss(), 0.0
    for i in range(len(x)):
        total += w[i] * loss_fn(model(x[i : i + 1]), y[i : i + 1]) / len(x)
        model.backward(w[i] / len(x) * loss_fn.backward())
    return total, [parameter.grad for parameter in model.parameters()]


class TestWeights:
    @COMPILED
    @pytest.mark.parametrize("given", ["samples", "classes", "list of classes", "both"])
    def test_the_step_is_that_of_the_weighted_loss(self, classes, rng, compiled, given):
        x, y = classes
        model = make_model()
        before = [parameter.data.astype(np.float64) for parameter in model.parameters()]
        per_sample, per_class = rng.uniform(0, 2, 50), np.array([0.5, 1.0, 3.0])
        w = {"samples": per_sample, "both": per_sample * per_class[y]}.get(given, per_class[y])
        options = {}
        if given in ("samples", "both"):
            options["sample_weight"] = per_sample
        if given in ("classes", "both"):
            options["class_weight"] = {0: 0.5, 2: 3.0}
        elif given == "list of classes":
            options["class_weight"] = per_class.tolist()
        loss, grads = gradient(model, x, y, w)
        history = sgd(model).fit(
            x, y, batch_size=50, shuffle=False, verbose=0, compiled=compiled, **options
        )
        assert history.history["loss"][0] == pytest.approx(loss, rel=1e-6)
        for parameter, old, grad in zip(model.parameters(), before, grads, strict=True):
            assert np.allclose(parameter.data, old - 0.1 * grad, atol=1e-6)

    def test_weights_go_with_their_samples(self, classes):
        """Shuffled, and held out: a sample of weight 0 is as if it were not there."""
        x, y = classes
        w = np.ones(50)
        w[::3] = 0
        x_bad = x.copy()
        x_bad[::3] += 5
        first, second = make_model(), make_model()
        for model, data in ((first, x), (second, x_bad)):
            sgd(model).fit(data, y, 2, 10, verbose=0, sample_weight=w, validation_split=0.2)
        assert all(
            np.allclose(p.data, q.data, atol=1e-7)
            for p, q in zip(first.parameters(), second.parameters(), strict=True)
        )

    @COMPILED
    def test_ones_change_nothing(self, classes, compiled):
        plain, weighted = make_trainer(), make_trainer()
        plain.fit(*classes, 2, 10, verbose=0, compiled=compiled)
        weighted.fit(*classes, 2, 10, verbose=0, compiled=compiled, sample_weight=np.ones(50))
        assert weights(plain.model) == weights(weighted.model)

    def test_squared_error(self, numbers, rng):
        x, y = numbers
        w = rng.uniform(0, 2, 40)
        model = nn.Sequential(nn.Linear(2, 1, seed=0))
        W, b = model[0].weight.data.astype(float), model[0].bias.data.astype(float)
        error = x @ W.T + b - y
        history = sgd(model, nn.MSELoss()).fit(x, y, batch_size=40, verbose=0, sample_weight=w)
        assert history.history["loss"][0] == pytest.approx(np.mean(w[:, None] * error**2))
        expected = W - 0.1 * 2 * (w[:, None] * error).T @ x / 40
        assert np.allclose(model[0].weight.data, expected, atol=1e-6)

    @pytest.mark.parametrize(
        ("options", "kind", "message"),
        [
            ({"sample_weight": np.ones(49)}, ValueError, r"shape \(49,\), expected \(50,\)"),
            ({"sample_weight": -np.ones(50)}, ValueError, "finite and at least 0"),
            ({"sample_weight": np.full(50, np.nan)}, ValueError, "finite and at least 0"),
            ({"sample_weight": "balanced"}, TypeError, "must be numbers"),
            ({"class_weight": [1, 2]}, ValueError, "a number for each label up to 2"),
            ({"class_weight": {"a": 1}}, TypeError, "must map labels to numbers"),
            ({"class_weight": {0: -1}}, ValueError, "finite and at least 0"),
        ],
    )
    def test_errors(self, classes, options, kind, message):
        trainer = make_trainer()
        before = weights(trainer.model)
        with pytest.raises(kind, match=message):
            trainer.fit(*classes, verbose=0, **options)
        assert weights(trainer.model) == before

    def test_numbers_have_no_classes(self, numbers):
        model = nn.Sequential(nn.Linear(2, 1))
        with pytest.raises(ValueError, match="class_weight is for labels"):
            sgd(model, nn.MSELoss()).fit(*numbers, verbose=0, class_weight={0: 1.0})

    def test_a_loss_that_is_no_mean(self, classes):
        summed = nn.CrossEntropyLoss(reduction="sum")
        with pytest.raises(ValueError, match="need a loss that is a plain mean"):
            sgd(make_model(), summed).fit(*classes, verbose=0, class_weight={0: 1.0})


class TestAccumulate:
    @COMPILED
    @pytest.mark.parametrize(("size", "k"), [(5, 2), (5, 5), (4, 3), (7, 4), (50, 3)])
    @pytest.mark.parametrize("rule", ["sgd", "adam"])
    def test_is_one_large_batch(self, classes, compiled, size, k, rule):
        x, y = classes
        first, second = make_model(dtype=np.float64), make_model(dtype=np.float64)
        for model, options in (
            (first, {"batch_size": size, "accumulate": k}),
            (second, {"batch_size": size * k}),
        ):
            kind = {"sgd": optim.SGD, "adam": optim.Adam}[rule]
            trainer = Trainer(
                model, nn.CrossEntropyLoss(), kind(model.parameters(), lr=0.01), seed=4
            )
            trainer.fit(x, y, 3, verbose=0, compiled=compiled, **options)
            assert trainer.steps == 3 * -(-50 // (size * k))
        for p, q in zip(first.parameters(), second.parameters(), strict=True):
            assert np.allclose(p.data, q.data, rtol=1e-9, atol=1e-12)

    def test_history_counts_all_batches(self, classes):
        plain, summed = sgd(make_model(), lr=0.0), sgd(make_model(), lr=0.0)
        first = plain.fit(*classes, 2, 7, verbose=0).history
        second = summed.fit(*classes, 2, 7, verbose=0, accumulate=3).history
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-6)
        assert first["accuracy"] == second["accuracy"]

    def test_a_loss_that_is_not_finite_drops_its_group(self, classes):
        x, y = classes
        x[25, 0] = np.nan  # in the third batch, the first of the second group
        trainer, expected = make_trainer(), make_trainer()
        with pytest.raises(FloatingPointError, match=r"batch 3 of 5 \(step 2\)"):
            trainer.fit(x, y, batch_size=10, shuffle=False, verbose=0, accumulate=2)
        expected.fit(x[:20], y[:20], batch_size=20, shuffle=False, verbose=0)
        assert trainer.steps == 1
        for p, q in zip(trainer.model.parameters(), expected.model.parameters(), strict=True):
            assert np.allclose(p.data, q.data, atol=1e-6)
        assert all((parameter.grad == 0).all() for parameter in trainer.model.parameters())

    def test_argument(self, classes):
        for bad in (0, 1.5, True):
            with pytest.raises((ValueError, TypeError), match="accumulate must be"):
                make_trainer().fit(*classes, verbose=0, accumulate=bad)


class TestClipping:
    @COMPILED
    @pytest.mark.parametrize(
        "options",
        [{"clip_grad_norm": 0.05}, {"clip_grad_value": 0.01},
         {"clip_grad_norm": 0.05, "clip_grad_value": 0.01}, {"clip_grad_norm": 1e6}],
    )  # fmt: skip
    def test_as_pytorch_clips(self, classes, compiled, options):
        torch = pytest.importorskip("torch")
        x, y = classes
        model = make_model()
        theirs = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        theirs.load_state_dict(
            {name: torch.from_numpy(array) for name, array in model.state_dict().items()}
        )
        optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
        for epoch in range(2):
            order = engine.stream_permutation(4, "shuffle", epoch, 50)
            for rows in np.split(order, 5):
                loss = torch.nn.functional.cross_entropy(
                    theirs(torch.from_numpy(x[rows])), torch.from_numpy(y[rows])
                )
                optimizer.zero_grad()
                loss.backward()
                if "clip_grad_norm" in options:
                    torch.nn.utils.clip_grad_norm_(theirs.parameters(), options["clip_grad_norm"])
                if "clip_grad_value" in options:
                    torch.nn.utils.clip_grad_value_(theirs.parameters(), options["clip_grad_value"])
                optimizer.step()
        trainer = sgd(model)
        trainer.fit(x, y, 2, 10, verbose=0, compiled=compiled, **options)
        for name, array in theirs.state_dict().items():
            assert np.allclose(model.state_dict()[name], array.numpy(), atol=1e-6)
        if hasattr(trainer.optimizer, "max_grad_norm"):
            assert trainer.optimizer.max_grad_norm is None

    def test_arguments(self, classes):
        for name in ("clip_grad_norm", "clip_grad_value"):
            for bad in (0, -1.0, "a", np.inf):
                with pytest.raises((ValueError, TypeError), match=f"{name} must be"):
                    make_trainer().fit(*classes, verbose=0, **{name: bad})


class TestOwnLoss:
    def test_the_model_runs_compiled_around_it(self, classes, capsys):
        class Own(nn.CrossEntropyLoss):
            """A loss that the engine does not know, since its mathematics is its own."""

            def _forward(self, pred, target):
                return super()._forward(pred, target)

        x, y = classes
        found = []
        for loss_fn in (nn.CrossEntropyLoss(), Own()):
            model = make_model()
            trainer = sgd(model, loss_fn)
            history = trainer.fit(x, y, 2, 10, validation_data=classes).history
            names = ("loss", "accuracy", "val_loss")
            found.append((weights(model), *(tuple(history[name]) for name in names)))
        assert found[0] == found[1]
        assert "calls the loss batch by batch: Own has no compiled form" in capsys.readouterr().out


class TestValidationSplit:
    def test_is_drawn_from_the_seed(self, classes):
        x, y = classes
        seen = []
        first, second = make_trainer(), make_trainer()
        note = LambdaCallback(on_train_begin=lambda logs: seen.append(note.params["samples"]))
        first.fit(x, y, 2, verbose=0, validation_split=0.3, callbacks=[note])
        assert seen == [35]
        order = engine.stream_permutation(5, "validation_split", 0, 50)
        out, kept = np.sort(order[:15]), np.sort(order[15:])
        second.fit(x[kept], y[kept], 2, verbose=0, validation_data=(x[out], y[out]))
        assert weights(first.model) == weights(second.model)
        assert first.history.history["val_loss"] == second.history.history["val_loss"]

    @pytest.mark.parametrize("bad", [0, 1, -0.5, 1.5, 0.001, "a", True, np.nan])
    def test_argument(self, classes, bad):
        with pytest.raises((ValueError, TypeError), match="validation_split"):
            make_trainer().fit(*classes, verbose=0, validation_split=bad)

    def test_not_beside_validation_data(self, classes):
        with pytest.raises(ValueError, match="exclude each other"):
            make_trainer().fit(
                *classes, verbose=0, validation_split=0.5, validation_data=copy.copy(classes)
            )
