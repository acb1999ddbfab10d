"""Checkpoints: a run that goes on is the run that was never stopped, bit for bit."""

import itertools

import numpy as np
import pytest
from broken_runs import broken_off, outcome
from small_models import make_model, weights

from nncore import nn, optim
from nncore._core import engine
from nncore.io.checkpoint import read_checkpoint
from nncore.training import (
    Checkpoint,
    EarlyStopping,
    LambdaCallback,
    ReduceLROnPlateau,
    Trainer,
)


class Warmup:
    """A schedule with a state of its own."""

    def __init__(self, optimizer):
        self.optimizer, self.calls = optimizer, 0

    def step(self):
        self.calls += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.01 / (1 + self.calls)

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        self.calls = state["calls"]


def make(seed=1, rule="adam", interval=None, model_seed=3):
    model = make_model(seed=model_seed)
    kind, options = {
        "adam": (optim.Adam, {"lr": 0.01}),
        "momentum": (optim.SGD, {"lr": 0.05, "momentum": 0.9}),
        "two groups": (optim.AdamW, {"lr": 0.01}),
    }[rule]
    parameters = model.parameters()
    if rule == "two groups":
        first, *rest = parameters
        parameters = [{"params": [first], "betas": (0.5, 0.9)}, {"params": rest}]
    optimizer = kind(parameters, **options)
    return Trainer(
        model, nn.CrossEntropyLoss(), optimizer, seed=seed, metrics=["f1", "confusion_matrix"],
        scheduler=None if interval is None else Warmup(optimizer),
        scheduler_interval=interval or "epoch",
    )  # fmt: skip


class TestAnyMoment:
    @pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
    @pytest.mark.parametrize(
        ("rule", "options"),
        [
            ("adam", {}),
            ("adam", {"compiled": False}),
            ("momentum", {"accumulate": 2}),
            ("two groups", {"clip_grad_norm": 0.1, "class_weight": {0: 2.0}}),
        ],
    )
    def test_batch_by_batch(self, classes, tmp_path, suffix, rule, options):
        """Saved after every update; left after any batch; gone on with in another trainer."""
        pytest.importorskip("safetensors")
        path = tmp_path / f"run{suffix}"
        common = {"epochs": 3, "batch_size": 9, "validation_data": classes, **options}
        whole = make(rule=rule)
        whole.fit(*classes, verbose=0, **common)
        for epoch, batch in ((0, 2), (0, 3), (1, 2), (1, 5), (2, 4)):
            path.unlink(missing_ok=True)
            saving = Checkpoint(path, every_batches=1)
            broken_off(make(rule=rule), classes, epoch, batch, [saving], **common)
            again = make(seed=99, rule=rule, model_seed=4)
            again.fit(*classes, verbose=0, callbacks=[Checkpoint(path)], resume=True, **common)
            assert outcome(again) == outcome(whole), (epoch, batch)

    @pytest.mark.parametrize("interval", ["epoch", "batch"])
    def test_schedule(self, classes, tmp_path, interval):
        path = tmp_path / "run.npz"
        whole = make(interval=interval)
        whole.fit(*classes, 3, 9, verbose=0)
        broken_off(
            make(interval=interval), classes, 1, 3, [Checkpoint(path, every_batches=2)],
            epochs=3, batch_size=9,
        )  # fmt: skip
        again = make(interval=interval)
        again.fit(*classes, 3, 9, verbose=0, resume=path)
        assert outcome(again) == outcome(whole)
        assert again.scheduler.calls == whole.scheduler.calls

    @pytest.mark.parametrize(
        ("kind", "interval", "options"),
        [
            ("OneCycleLR", "batch", {"max_lr": 0.05, "total_steps": 18}),
            ("CosineAnnealingLR", "batch", {"T_max": 18}),
            ("StepLR", "epoch", {"step_size": 1, "gamma": 0.5}),
            ("ReduceLROnPlateau", "epoch", {"patience": 0, "threshold": 0.5}),
        ],
    )
    def test_schedules_of_optim(self, classes, tmp_path, kind, interval, options):
        def scheduled():
            model = make_model()
            optimizer = optim.Adam(model.parameters(), lr=0.02)
            scheduler = getattr(optim.lr_scheduler, kind)(optimizer, **options)
            return Trainer(
                model, nn.CrossEntropyLoss(), optimizer, seed=1, scheduler=scheduler,
                scheduler_interval=interval,
            )  # fmt: skip

        whole, path = scheduled(), tmp_path / "run.npz"
        whole.fit(*classes, 3, 9, verbose=0)
        assert len(set(whole.history.history["lr"])) > 1
        for epoch, batch in ((0, 3), (1, 5), (2, 2)):
            saving = Checkpoint(path, every_batches=1)
            broken_off(scheduled(), classes, epoch, batch, [saving], epochs=3, batch_size=9)
            again = scheduled()
            again.fit(*classes, 3, 9, verbose=0, resume=path)
            assert outcome(again) == outcome(whole), (epoch, batch)

    def test_other_numbers_of_threads(self, classes, tmp_path):
        path = tmp_path / "run.npz"
        before = engine.threads_get(), engine.threads_threshold_get()
        found = []
        try:
            engine.threads_threshold_set(0)
            for first, second in itertools.product((1, 2), repeat=2):
                engine.threads_set(first)
                saving = Checkpoint(path, every_batches=2)
                broken_off(make(), classes, 1, 2, [saving], epochs=2, batch_size=9)
                engine.threads_set(second)
                again = make()
                again.fit(*classes, 2, 9, verbose=0, resume=path)
                found.append(outcome(again))
        finally:
            engine.threads_set(before[0])
            engine.threads_threshold_set(before[1])
        whole = make()
        whole.fit(*classes, 2, 9, verbose=0)
        assert all(result == outcome(whole) for result in found)

    def test_callbacks_go_on(self, classes, tmp_path):
        """What they have counted decides when the rate falls and the run ends."""
        path = tmp_path / "run.safetensors"
        pytest.importorskip("safetensors")

        def callbacks():
            return [
                EarlyStopping("loss", min_delta=0.05, patience=3, restore_best_weights=True),
                ReduceLROnPlateau("loss", min_delta=0.05, patience=1, factor=0.5, cooldown=1),
            ]

        whole = make()
        whole.fit(*classes, 60, 9, verbose=0, callbacks=callbacks())
        ended = len(whole.history)
        assert 5 < ended < 60
        for epoch, within in ((1, 2), (ended - 2, 2), (ended - 1, None), (ended - 1, 2)):
            # First in the list, and yet it saves what the others have done.
            saving = [Checkpoint(path, every_batches=within), *callbacks()]
            broken_off(make(), classes, epoch, 4, saving, epochs=60, batch_size=9)
            again = make()
            again.fit(*classes, 60, 9, verbose=0, callbacks=callbacks(), resume=path)
            assert outcome(again) == outcome(whole)

    def test_a_run_that_had_ended(self, classes, tmp_path):
        path = tmp_path / "run.npz"
        whole = make()
        saving = [EarlyStopping("loss", min_delta=1.0, patience=2), Checkpoint(path)]
        whole.fit(*classes, 9, verbose=0, callbacks=saving)
        assert len(whole.history) == 3
        again = make()
        saving = [EarlyStopping("loss", min_delta=1.0, patience=2), Checkpoint(path)]
        again.fit(*classes, 9, verbose=0, callbacks=saving, resume=True)
        assert outcome(again) == outcome(whole)

    @pytest.mark.parametrize(
        "where", ["on_train_batch_end", "on_test_begin", "on_test_end", "on_epoch_end"]
    )
    @pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
    def test_saved_after_an_interrupt(self, classes, tmp_path, where, compiled):
        """`save_checkpoint` after Ctrl-C saves that very moment."""
        common = {"validation_data": classes, "verbose": 0, "compiled": compiled}
        whole, broken = make(), make()
        whole.fit(*classes, 3, 9, **common)
        calls = iter(range(99))

        def interrupt(*_given, logs=None):
            if next(calls) == (8 if where == "on_train_batch_end" else 1):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            broken.fit(*classes, 3, 9, **common, callbacks=[LambdaCallback(**{where: interrupt})])
        broken.save_checkpoint(tmp_path / "now.npz")
        again = make()
        again.load_checkpoint(tmp_path / "now.npz")
        done = len(again.history)
        assert done == (2 if where == "on_epoch_end" else 1)
        again.fit(*classes, 3 - done, 9, **common)
        assert outcome(again) == outcome(whole)

    def test_modules_with_counters(self, classes, tmp_path):
        """A module's own counters of random streams are part of the state."""

        class Noise(nn.Module):
            def __init__(self):
                self.calls = [0]

            def _forward(self, x):
                if self.training:
                    self.calls[0] += 1
                    x = x + engine.stream_normal(7, "noise", self.calls[0], x.shape, x.dtype, 0, 1)
                return x, None

            def _backward(self, saved, grad):
                return grad

            def _extra_state(self):
                return {"calls": self.calls[0]}

            def _load_extra_state(self, state):
                self.calls[0] = state["calls"]

        def noisy():
            model = make_model(Noise())
            return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), seed=2)

        whole, path = noisy(), tmp_path / "run.npz"
        whole.fit(*classes, 2, 9, verbose=0)
        saving = Checkpoint(path, every_batches=1)
        broken_off(noisy(), classes, 1, 3, [saving], epochs=2, batch_size=9)
        again = noisy()
        again.fit(*classes, 2, 9, verbose=0, resume=path)
        assert outcome(again) == outcome(whole)


class TestLoading:
    @pytest.fixture
    def path(self, classes, tmp_path):
        path = tmp_path / "run.npz"
        broken_off(
            make(), classes, 1, 3, [Checkpoint(path, every_batches=2)], epochs=2, batch_size=9
        )
        return path

    def test_takes_over_everything(self, classes, path):
        again = make(seed=77, model_seed=8)
        again.load_checkpoint(path)
        assert again.seed == 1
        assert again.history.epochs == [1]
        assert again.steps == 6 + 2
        tree, version = read_checkpoint(path)
        assert version == 1
        assert tree["position"]["tally"]["batches"] == 2
        own = again.optimizer.state_dict()
        assert own["state"][0]["step"] == 8
        saved = tree["optimizer"]["state"]["state"][0]["exp_avg"]
        assert np.array_equal(own["state"][0]["exp_avg"], saved)

    @pytest.mark.parametrize(
        ("make_other", "message"),
        [
            (lambda: make(rule="momentum"), "saved with optimizer Adam, the trainer has SGD"),
            (lambda: make(interval="epoch"), "scheduler None, the trainer has Warmup"),
            (lambda: make_wider(), "2.weight has shape"),
        ],
    )
    def test_other_parts(self, path, make_other, message):
        other = make_other()
        before = weights(other.model), other.seed, other.optimizer.param_groups[0]["lr"]
        with pytest.raises(ValueError, match=message):
            other.load_checkpoint(path)
        after = weights(other.model), other.seed, other.optimizer.param_groups[0]["lr"]
        assert after == before
        assert len(other.history) == 0

    def test_all_or_nothing(self, path, monkeypatch):
        """The model has been loaded when the optimizer complains: it is put back."""
        other = make(model_seed=9)
        other.optimizer.add_param_group({"params": [nn.Parameter([1.0])]})
        before = weights(other.model)
        with pytest.raises(ValueError, match="the optimizer has"):
            other.load_checkpoint(path)
        assert weights(other.model) == before

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"batch_size": 8}, "samples=50, batch_size=9.* this fit has samples=50, batch_size=8"),
            ({"shuffle": False}, "shuffle=False"),
            ({"accumulate": 2}, "accumulate=2"),
        ],
    )
    def test_within_an_epoch_the_data_must_be_the_same(self, classes, path, options, message):
        other = make(model_seed=9)
        before = weights(other.model)
        with pytest.raises(ValueError, match=message):
            other.fit(*classes, **{"batch_size": 9, "verbose": 0, **options}, resume=path)
        assert weights(other.model) == before

    def test_arguments(self, classes, path, tmp_path):
        for given, kind, message in (
            (tmp_path / "none.npz", FileNotFoundError, "none.npz"),
            (3, TypeError, "resume must be a path or True"),
            (True, ValueError, "needs one Checkpoint among the callbacks"),
        ):
            with pytest.raises(kind, match=message):
                make().fit(*classes, verbose=0, resume=given)
        longer = make()
        longer.fit(*classes, 3, verbose=0)
        longer.save_checkpoint(path)
        with pytest.raises(ValueError, match="has 3 epochs, more than the 1"):
            make().fit(*classes, 1, verbose=0, resume=path)

    def test_resume_true_begins_where_there_is_no_file(self, classes, tmp_path):
        first, second = make(), make()
        saving = Checkpoint(tmp_path / "run.npz")
        first.fit(*classes, 2, verbose=0, callbacks=[saving], resume=True)
        second.fit(*classes, 2, verbose=0)
        assert outcome(first) == outcome(second)

    def test_an_optimizer_without_a_state(self, tmp_path):
        class Own:
            def step(self):
                pass

        trainer = Trainer(make_model(), nn.CrossEntropyLoss(), Own())
        with pytest.raises(TypeError, match="the optimizer, a Own, has no state_dict"):
            trainer.save_checkpoint(tmp_path / "a.npz")
        assert list(tmp_path.iterdir()) == []


def make_wider():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 5))
    return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
