"""`Trainer.fit`: the same as by hand, compiled or not, for a seed."""

import copy
from itertools import chain

import numpy as np
import pytest
from small_models import Double, make_model, make_trainer, weights

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

            def note(self, *given, kind=kind, epoch=kind.epoch):
                ways.append(kind.__name__)
                return epoch(self, *given)

            monkeypatch.setattr(kind, "epoch", note)
        make_trainer().fit(*classes, batch_size=50, verbose=0)
        make_trainer().fit(*classes, batch_size=50, verbose=0, compiled=False)
        make_trainer(make_model(Double())).fit(*classes, batch_size=50, verbose=0)
        assert ways == ["CompiledRunner", "EagerRunner", "EagerRunner"]

    def test_an_epoch_is_one_call_where_it_can(self, classes, monkeypatch):
        """Else a call for each batch; the result is the same."""

        class Own(optim.Adam):
            def step(self, **options):
                super().step(**options)

        calls, train = [], runners.CompiledRunner.train
        monkeypatch.setattr(
            runners.CompiledRunner,
            "train",
            lambda self, x, *rest: (calls.append(len(x)), train(self, x, *rest))[1],
        )
        results = set()
        for make in (
            lambda model: optim.Adam(model.parameters()),
            lambda model: Own(model.parameters()),
            lambda model: optim.Adam([*model.parameters(), nn.Parameter([1.0])]),
        ):
            model = make_model()
            trainer = Trainer(model, nn.CrossEntropyLoss(), make(model), seed=3)
            history = trainer.fit(*classes, 2, 20, verbose=0).history
            results.add((weights(model), *history["loss"], *history["accuracy"]))
        assert len(results) == 1
        assert calls == [20, 20, 10] * 2 * 2

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
        seen, forward = [], nn.Sequential._forward
        monkeypatch.setattr(
            nn.Sequential,
            "_forward",
            lambda self, x: (seen.append(x[:, 0].tolist()), forward(self, x))[1],
        )

        def fit(**options):
            seen.clear()
            trainer = make_trainer()
            trainer.fit(x, classes[1], batch_size=16, verbose=0, compiled=False, **options)
            return weights(trainer.model)

        shuffled = fit(epochs=2)
        assert [len(batch) for batch in seen] == [16, 16, 16, 2] * 2
        first, second = [*chain(*seen[:4])], [*chain(*seen[4:])]
        assert sorted(first) == sorted(second) == list(range(50))
        assert first != second
        in_order = fit(shuffle=False)
        assert [*chain(*seen)] == list(range(50))
        # And compiled, where batches are not seen, the same.
        for expected, options in ((shuffled, {"epochs": 2}), (in_order, {"shuffle": False})):
            trainer = make_trainer()
            trainer.fit(x, classes[1], batch_size=16, verbose=0, **options)
            assert weights(trainer.model) == expected

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
