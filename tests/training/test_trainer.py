"""`Trainer.fit`: the same as by hand, compiled or not; what it refuses; what it leaves behind."""

import copy
import math
from itertools import chain

import numpy as np
import pytest
from small_models import Double, make_model, make_trainer, weights

import nncore as nc
from nncore import nn, optim
from nncore._core import engine
from nncore.training import Trainer, runners

COMPILED = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])


def by_hand(model, optimizer, x, y, *, seed, epochs, batch_size):
    """The loop as a person writes it; the mean loss and accuracy of each epoch."""
    loss_fn = nn.CrossEntropyLoss()
    means = []
    for epoch in range(epochs):
        order = engine.stream_permutation(seed, "shuffle", epoch, len(x))
        total, correct = 0.0, 0
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            logits = model(x[rows])
            total += loss_fn(logits, y[rows]) * len(rows)
            correct += int((logits.argmax(axis=1) == y[rows]).sum())
            optimizer.zero_grad()
            model.backward(loss_fn.backward())
            optimizer.step()
        means.append((total / len(x), correct / len(x)))
    return means


class TestFit:
    @COMPILED
    @pytest.mark.parametrize("batch_size", [1, 7, 25, 50, 64])
    def test_is_the_loop_by_hand(self, classes, compiled, batch_size):
        x, y = classes
        model = make_model()
        trainer = make_trainer(copy.deepcopy(model), seed=11)
        history = trainer.fit(x, y, 3, batch_size, verbose=0, compiled=compiled)
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        expected = by_hand(model, optimizer, x, y, seed=11, epochs=3, batch_size=batch_size)
        assert weights(trainer.model) == weights(model)
        found = zip(history.history["loss"], history.history["accuracy"], strict=True)
        assert list(found) == expected

    def test_runs_compiled_where_it_can(self, classes, monkeypatch):
        ways = []
        for kind in (runners.CompiledRunner, runners.EagerRunner):
            train = kind.train

            def note(self, x, y, kind=kind, train=train):
                ways.append(kind.__name__)
                return train(self, x, y)

            monkeypatch.setattr(kind, "train", note)
        make_trainer().fit(*classes, batch_size=50, verbose=0)
        make_trainer().fit(*classes, batch_size=50, verbose=0, compiled=False)
        make_trainer(make_model(Double())).fit(*classes, batch_size=50, verbose=0)
        assert ways == ["CompiledRunner", "EagerRunner", "EagerRunner"]

    @pytest.mark.parametrize("make", ["linear", "cnn"])
    @pytest.mark.parametrize("rule", ["sgd", "adam", "adamw"])
    def test_compiled_and_eager_agree_bit_for_bit(self, make, rule, dtype, threads):
        rng = np.random.default_rng(0)
        if make == "linear":
            x, model = rng.standard_normal((23, 4)), make_model(dtype=dtype)
        else:
            x = rng.standard_normal((23, 1, 8, 8))
            model = nn.Sequential(
                nn.Conv2d(1, 4, 3, dtype=dtype),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Linear(36, 3, dtype=dtype),
            )
        y = rng.integers(0, 3, 23)
        kind = {"sgd": optim.SGD, "adam": optim.Adam, "adamw": optim.AdamW}[rule]
        options = {"momentum": 0.9} if rule == "sgd" else {}
        results = []
        for compiled in (True, False):
            own = copy.deepcopy(model)
            optimizer = kind(own.parameters(), lr=0.01, **options)
            trainer = Trainer(own, nn.CrossEntropyLoss(), optimizer, seed=1)
            history = trainer.fit(
                x, y, 2, 10, validation_data=(x, y), verbose=0, compiled=compiled
            ).history
            columns = [history[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")]
            predicted = trainer.predict(x, compiled=compiled).tobytes()
            results.append((weights(own), columns, predicted))
        assert results[0] == results[1]
        assert weights(model) != results[0][0]

    def test_one_and_two_threads_agree_bit_for_bit(self, classes):
        found = set()
        before = engine.threads_get(), engine.threads_threshold_get()
        try:
            engine.threads_threshold_set(0)
            for threads in (1, 2):
                engine.threads_set(threads)
                trainer = make_trainer()
                trainer.fit(*classes, 2, verbose=0)
                found.add((weights(trainer.model), tuple(trainer.history.history["loss"])))
        finally:
            engine.threads_set(before[0])
            engine.threads_threshold_set(before[1])
        assert len(found) == 1

    @COMPILED
    def test_squared_error(self, numbers, compiled):
        x, y = numbers
        model = nn.Sequential(nn.Linear(2, 1, seed=0))
        trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), seed=0)
        history = trainer.fit(x, y, 60, 8, validation_data=(x, y), verbose=0, compiled=compiled)
        assert set(history.history) == {"loss", "val_loss", "seconds", "samples_per_second"}
        assert history.history["val_loss"][-1] < 1e-6
        assert np.allclose(model[0].weight.data, [[1, -2]], atol=1e-3)

    def test_numbers_are_no_labels(self, classes):
        """Targets that are not integers have no accuracy, whatever their shape."""

        class Column(nn.MSELoss):
            def _forward(self, pred, target):
                return super()._forward(pred, np.repeat(target[:, None], 3, axis=1))

        model = make_model()
        trainer = Trainer(model, Column(), optim.SGD(model.parameters(), lr=0.1))
        history = trainer.fit(classes[0], classes[1].astype(float), verbose=0)
        assert "accuracy" not in history.history

    def test_the_last_smaller_batch_is_trained_on(self, classes):
        x, y = classes
        whole, cut = make_trainer(), make_trainer()
        whole.fit(x[:33], y[:33], batch_size=32, shuffle=False, verbose=0)
        cut.fit(x[:32], y[:32], batch_size=32, shuffle=False, verbose=0)
        assert weights(whole.model) != weights(cut.model)

    def test_every_sample_once_an_epoch(self, classes, monkeypatch):
        x = np.arange(50, dtype=np.float32).reshape(50, 1) + np.zeros((50, 4), np.float32)
        seen = []
        monkeypatch.setattr(
            runners.CompiledRunner,
            "train",
            lambda self, x, y: (seen.append(x[:, 0].tolist()), (1.0, np.zeros((len(x), 3))))[1],
        )
        make_trainer().fit(x, classes[1], epochs=2, batch_size=16, verbose=0)
        assert [len(batch) for batch in seen] == [16, 16, 16, 2] * 2
        first, second = [*chain(*seen[:4])], [*chain(*seen[4:])]
        assert sorted(first) == sorted(second) == list(range(50))
        assert first != second
        seen.clear()
        make_trainer().fit(x, classes[1], batch_size=16, verbose=0, shuffle=False)
        assert [*chain(*seen)] == list(range(50))

    def test_learns(self, classes):
        trainer = make_trainer()
        history = trainer.fit(*classes, epochs=30, batch_size=10, verbose=0)
        assert history.history["loss"][-1] < history.history["loss"][0] / 2
        assert trainer.evaluate(*classes).accuracy > 0.9

    def test_lists_and_other_layouts(self, classes):
        x, y = classes
        expected = make_trainer()
        expected.fit(x, y, verbose=0)
        wide = np.zeros((50, 8))
        wide[:, ::2] = x
        for own_x, own_y in [
            (x.astype(float).tolist(), y.tolist()),
            (x.astype(np.float64), y.astype(np.int32)),
            (np.asfortranarray(x), tuple(y)),
            (wide[:, ::2], y.astype(np.uint8)),
        ]:
            trainer = make_trainer()
            trainer.fit(own_x, own_y, verbose=0)
            assert weights(trainer.model) == weights(expected.model)

    def test_tables_with_an_array_inside(self, classes):
        """Data frames and series come as something with `__array__`."""

        class Table:
            def __init__(self, data):
                self.data = data

            def __array__(self, dtype=None, copy=None):
                return np.asarray(self.data, dtype)

            def __iter__(self):
                raise AssertionError("a data frame iterates over its columns")

        x, y = classes
        first, second = make_trainer(), make_trainer()
        first.fit(x, y, verbose=0)
        second.fit(Table(x.astype(float)), Table(y), verbose=0)
        assert weights(first.model) == weights(second.model)

    def test_tensors_of_pytorch(self, classes):
        torch = pytest.importorskip("torch")
        x, y = classes
        first, second = make_trainer(), make_trainer()
        first.fit(x, y, verbose=0)
        second.fit(torch.from_numpy(x).requires_grad_(), torch.from_numpy(y), verbose=0)
        assert weights(first.model) == weights(second.model)

    def test_inputs_stay_as_they_are(self, classes):
        x, y = classes
        before = x.tobytes(), y.tobytes()
        x.flags.writeable = y.flags.writeable = False
        make_trainer().fit(x, y, 2, verbose=0)
        assert (x.tobytes(), y.tobytes()) == before

    def test_a_frozen_layer_stays(self, classes):
        model = make_model()
        model[0].freeze()
        before = model[0].weight.data.tobytes(), model[2].weight.data.tobytes()
        make_trainer(model).fit(*classes, verbose=0)
        assert model[0].weight.data.tobytes() == before[0]
        assert model[2].weight.data.tobytes() != before[1]


class TestSeed:
    def test_same_seed_same_bits(self, classes):
        first, second, other = make_trainer(), make_trainer(), make_trainer(seed=6)
        for trainer in (first, second, other):
            trainer.fit(*classes, 2, verbose=0)
        assert weights(first.model) == weights(second.model)
        assert weights(first.model) != weights(other.model)

    def test_leaves_weights_alone(self):
        model = make_model()
        before = weights(model)
        make_trainer(model, seed=99)
        assert weights(model) == before

    def test_without_one_runs_differ_and_can_be_repeated(self, classes):
        first, second = make_trainer(seed=None), make_trainer(seed=None)
        assert first.seed != second.seed
        again = make_trainer(seed=first.seed)
        for trainer in (first, second, again):
            trainer.fit(*classes, batch_size=4, verbose=0)
        assert weights(first.model) == weights(again.model)
        assert weights(first.model) != weights(second.model)

    def test_touches_no_global_generator(self, classes):
        state = np.random.get_state()[1].tobytes()
        make_trainer(seed=None).fit(*classes, verbose=0)
        assert np.random.get_state()[1].tobytes() == state

    @pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", True])
    def test_what_is_no_seed(self, seed):
        with pytest.raises((TypeError, ValueError), match="Trainer: seed must be"):
            make_trainer(seed=seed)

    def test_going_on_is_one_long_run(self, classes):
        whole, parts = make_trainer(), make_trainer()
        whole.fit(*classes, epochs=5, verbose=0)
        for epochs in (1, 3, 1):
            history = parts.fit(*classes, epochs=epochs, verbose=0)
        assert weights(whole.model) == weights(parts.model)
        assert history is parts.history
        assert history.epochs == [1, 2, 3, 4, 5]
        assert history.history["loss"] == whole.history.history["loss"]


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
            ({"y": np.zeros((50, 3), np.float32)}, ValueError, "target.*one-hot"),
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
            ({"x": np.zeros((50, 4), bool)}, TypeError, "bool"),
            ({"x": np.zeros((50, 4), object)}, TypeError, "object"),
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

    def test_a_loader_is_told_what_to_pass(self):
        class Loader:
            def __iter__(self):
                return iter([])

            def __len__(self):
                return 0

        with pytest.raises(TypeError, match=r"fit: x is a Loader.*numpy.concatenate"):
            make_trainer().fit(Loader())

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
            FloatingPointError, match=r"the loss is (nan|inf) in epoch 1, batch 3 of 5"
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
        with pytest.raises(FloatingPointError, match="the loss is nan in epoch 1, batch 1 of 2"):
            trainer.fit(*classes, verbose=0, compiled=compiled)
        assert weights(trainer.model) == before

    @COMPILED
    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
    def test_interrupted(self, classes, monkeypatch, compiled, error):
        kind = runners.CompiledRunner if compiled else runners.EagerRunner
        train, calls = kind.train, []

        def interrupted(self, x, y):
            calls.append(1)
            if len(calls) == 2 * 5 + 3:
                raise error
            return train(self, x, y)

        monkeypatch.setattr(kind, "train", interrupted)
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
        # And it goes on with the third epoch.
        trainer.fit(*classes, 1, 10, verbose=0, compiled=compiled)
        assert trainer.history.epochs == [1, 2, 3]

    def test_interrupted_while_validating(self, classes, monkeypatch):
        def interrupt(self, x, y):
            raise KeyboardInterrupt

        monkeypatch.setattr(runners.CompiledRunner, "evaluate", interrupt)
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
