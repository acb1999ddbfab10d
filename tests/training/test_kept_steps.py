"""A trainer keeps its compiled step from call to call, but not where another would be made."""

import copy
import pickle
import threading

import numpy as np
import pytest

import nncore as nc
from nncore import nn, optim
from nncore.training import Callback, Trainer, kept, runners

RNG = np.random.default_rng(0)
X = RNG.standard_normal((24, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 24)


def network(hidden=8):
    model = nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 3))
    model.reset_parameters(0)
    return model


def trainer(model=None, loss=None):
    model = network() if model is None else model
    loss = nn.CrossEntropyLoss() if loss is None else loss
    return Trainer(model, loss, optim.Adam(model.parameters(), lr=0.05), seed=0)


def fit(trained, **options):
    trained.fit(X, Y, **({"batch_size": 8, "verbose": 0} | options))


@pytest.fixture
def compiled(monkeypatch):
    """How many steps were compiled."""
    made = []
    real = runners.compile

    def counted(*args, **options):
        made.append(real(*args, **options))
        return made[-1]

    monkeypatch.setattr(runners, "compile", counted)
    return made


def weights(trained):
    return [parameter.data.tobytes() for parameter in trained.model.parameters()]


def test_calls_share_a_step_and_the_bits_are_those_of_layers(compiled):
    one, other = trainer(), trainer()
    for epochs in (1, 2, 1):
        fit(one, epochs=epochs)
        fit(other, epochs=epochs, compiled=False)
        assert one.evaluate(X, Y, batch_size=8) == other.evaluate(X, Y, batch_size=8)
        assert one.predict(X, 8).tobytes() == other.predict(X, 8, compiled=False).tobytes()
    assert weights(one) == weights(other)
    assert len(compiled) == 2  # and the one of the other's evaluate


def freeze(trained):
    trained.model[0].freeze()


def forbid_winograd(trained):
    nc.set_winograd(False)


def hook(trained):
    trained.model[0].register_forward_hook(lambda *_: None)


def smooth(trained):
    trained.loss_fn.label_smoothing = 0.5


def another_loss(trained):
    trained.loss_fn = nn.CrossEntropyLoss(label_smoothing=0.2)


def another_optimizer(trained):
    trained.optimizer = optim.SGD(trained.model.parameters(), lr=0.1)


def a_step_of_ones_own(trained):
    trained.optimizer.step = lambda: None


def another_activation(trained):
    trained.model[1] = nn.ReLU()


@pytest.mark.parametrize(
    "change",
    [
        freeze,
        forbid_winograd,
        hook,
        smooth,
        another_loss,
        another_optimizer,
        a_step_of_ones_own,
        another_activation,
    ],
)
def test_a_change_between_two_calls_is_noticed(change, compiled):
    one, other = trainer(), trainer()
    allowed = nc.get_winograd()
    try:
        for trained in (one, other):
            fit(trained, compiled=trained is one)
            before = weights(trained)
            change(trained)
            fit(trained, compiled=trained is one)
            assert (weights(trained) == before) == (change is a_step_of_ones_own)
    finally:
        nc.set_winograd(allowed)
    assert weights(one) == weights(other)
    assert len(compiled) >= (1 if change is hook else 2)


def test_arrays_of_the_loss_may_change_in_place():
    one, other = (trainer(loss=nn.CrossEntropyLoss(weight=np.ones(3))) for _ in range(2))
    for trained in (one, other):
        fit(trained, compiled=trained is one)
        trained.loss_fn.weight[...] = [3, 2, 1]
        fit(trained, compiled=trained is one)
    assert weights(one) == weights(other)


def test_a_larger_batch_and_other_samples(compiled):
    trained = trainer()
    for batch, made in ((8, 1), (4, 1), (24, 2), (8, 2)):
        fit(trained, batch_size=batch)
        assert len(compiled) == made


def test_samples_of_another_shape(compiled):
    trained = trainer(
        nn.Sequential(nn.Conv1d(1, 2, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 3))
    )
    for length in (5, 7, 7):
        trained.fit(np.ones((6, 1, length), np.float32), np.zeros(6, int), verbose=0)
    assert len(compiled) == 2


def test_modes_that_nobody_reads_compile_nothing_anew(compiled):
    trained = trainer()
    fit(trained)
    trained.model.eval()
    trained.predict(X)
    trained.model.train()
    fit(trained)
    built = trained._steps_kept._kept[-1].step._core
    fit(trained, validation_data=(X, Y))
    assert trained._steps_kept._kept[-1].step._core is built
    assert len(compiled) == 2  # predict has room for 24 samples


class ByModeOfAPart(nn.Module):
    def __init__(self):
        self.body, self.other = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.body(x) if self.body.training else self.other(x)


@pytest.mark.parametrize("around", [lambda m: m, nn.Sequential])
def test_a_forward_may_ask_for_the_mode_of_a_part(around):
    """A layer that does not read its mode itself."""
    part = ByModeOfAPart()
    model = around(part)
    model.reset_parameters(0)
    step = nc.compile(model)
    before = step.predict(X), model(X)
    copied = copy.deepcopy(model)
    part.body.eval()
    for now in (step.predict(X), model(X), copied.eval()(X)):
        np.testing.assert_array_equal(now, part.other(X))
        assert not np.array_equal(now, before[0])
    np.testing.assert_array_equal(*before)


def test_dropout_is_of_the_mode():
    one, other = (trainer(nn.Sequential(nn.Dropout(0.5, seed=1), nn.Linear(4, 3))) for _ in "ab")
    for trained in (one, other):
        trained.model.reset_parameters(0)
        for _ in range(2):
            fit(trained, compiled=trained is one, validation_data=(X, Y))
    assert weights(one) == weights(other)
    assert one.predict(X).tobytes() == other.predict(X, compiled=False).tobytes()


def test_large_arenas_are_let_go():
    trained = trainer(network(4096))
    trained.predict(np.zeros((256, 4), np.float32))
    assert trained._steps_kept._kept == []
    small = trainer()
    for _ in range(5):
        fit(small, batch_size=8)
        small.evaluate(X, Y, batch_size=16)
    assert len(small._steps_kept._kept) <= 2


def test_a_callback_may_measure_with_the_same_trainer():
    class Measures(Callback):
        def on_epoch_end(self, epoch, logs=None):
            one.evaluate(X, Y)
            one.predict(X)

    one, other = trainer(), trainer()
    for _ in range(3):
        fit(one, callbacks=[Measures()], epochs=2)
        fit(other, epochs=2, compiled=False)
    assert weights(one) == weights(other)


def test_threads_may_share_a_trainer():
    trained = trainer()
    expected = trained.predict(X).tobytes()
    found = []

    def predict():
        found.extend(trained.predict(X).tobytes() for _ in range(50))

    threads = [threading.Thread(target=predict) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 200


def test_a_step_taken_while_another_comes_back_is_gone(monkeypatch):
    """Threads switch anywhere: here in the midst of `give_back`."""
    trained = trainer()
    parts = trained.model, trained.loss_fn, trained.optimizer
    one, other = (nc.compile(*parts, input_shape=(4,), max_batch=8) for _ in "ab")
    steps, settings = kept.KeptSteps(), kept._settings
    steps.give_back(one)

    def switched():
        monkeypatch.setattr(kept, "_settings", settings)
        assert steps.take(*parts, (4,), 8) is one
        return settings()

    monkeypatch.setattr(kept, "_settings", switched)
    steps.give_back(other)
    assert steps.take(*parts, (4,), 8) is other
    assert steps.take(*parts, (4,), 8) is None


def test_after_an_error_the_step_serves_on():
    trained, other = trainer(), trainer()
    broken = X.copy()
    broken[20] = np.nan
    for each in (trained, other):
        fit(each, compiled=each is trained)
        with pytest.raises(FloatingPointError):
            each.fit(broken, Y, batch_size=8, verbose=0, compiled=each is trained)
        fit(each, compiled=each is trained)
    assert weights(trained) == weights(other)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_copy_has_its_own(copied):
    one = trainer()
    fit(one)
    other = copied(one)
    fit(one)
    assert weights(one) != weights(other)
    fit(other)
    assert weights(one) == weights(other)
