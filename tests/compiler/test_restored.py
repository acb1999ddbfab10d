"""A batch that is refused, breaks off or is interrupted changes nothing: running statistics and the
counters of random layers neither. By the compiled step, and by the trainer in all its ways."""

import signal
import threading

import numpy as np
import pytest
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim
from nncore._core import engine
from nncore.nn import Module
from nncore.training import Callback


def network(dtype=np.float32):
    """All that a layer may keep, and a layer that stands in two places."""
    norm, drop = nn.BatchNorm1d(6, dtype=dtype), nn.Dropout(0.3)
    model = nn.Sequential(
        nn.Linear(4, 6, dtype=dtype), norm, nn.Tanh(), drop, nn.Linear(6, 6, dtype=dtype), norm,
        drop, nn.Unflatten(1, (6, 1, 1)), nn.BatchNorm2d(6, momentum=None, dtype=dtype),
        nn.Dropout2d(0.5), nn.Flatten(), nn.Linear(6, 3, dtype=dtype),
    )  # fmt: skip
    model.reset_parameters(1)
    return model


def taken(model):
    """Everything that training changes."""
    values = model.state_dict()
    for name, module in model.named_modules():
        if "_calls" in vars(module):
            values[f"{name}.calls"] = module._calls.copy()
    return values


def assert_same(model, before):
    for name, value in taken(model).items():
        assert_same_bits(value, before[name])
    assert not any(parameter.grad.any() for parameter in model.parameters())


@pytest.fixture
def data(rng):
    return rng.standard_normal((40, 4)).astype(np.float32), rng.integers(0, 3, 40)


def test_a_step_that_fails(data, dtype):
    """Late enough: the first layers have moved by then."""
    x, y = data
    model = network(dtype)
    optimizer = optim.SGD(model.parameters(), lr=0.1, error_if_nonfinite=True)
    step = nc.compile(model, nn.CrossEntropyLoss(), optimizer)
    step(x, y)
    before = taken(model)
    assert before["3.calls"] == 2
    assert before["1.num_batches_tracked"] == 2
    bad = x.copy()
    bad[7] = np.inf
    with pytest.raises(ValueError, match="gradient"), np.errstate(all="ignore"):
        step(bad, y)
    model.zero_grad()
    assert_same(model, before)
    with pytest.raises(ValueError, match="gradient"), np.errstate(all="ignore"):
        step.epoch(bad, y, batch_size=40)
    assert_same(model, before)
    for y_bad in (np.full(40, 3), np.full(40, -1)):
        for call in (step, step.gradients, step.epoch):
            with pytest.raises(IndexError):
                call(x, y_bad)
            assert_same(model, before)
    # What does not train moves nothing; what does is as by hand.
    step.evaluate(x, y), step.predict(x)
    assert_same(model, before)
    loss_fn, twin = nn.CrossEntropyLoss(), network(dtype)
    other = optim.SGD(twin.parameters(), lr=0.1)
    for _ in range(2):
        loss_fn(twin(x), y)
        twin.backward(loss_fn.backward())
        other.step()
        other.zero_grad()
    step(x, y)
    assert_same(model, taken(twin))


def test_a_layer_that_refuses(rng):
    """One value a channel, behind layers that have moved by then."""

    class Net(Module):
        def __init__(self):
            self.first, self.drop = nn.BatchNorm2d(2), nn.Dropout(0.5)
            self.pool, self.last = nn.GlobalAvgPool2d(), nn.BatchNorm2d(2)

        def forward(self, x):
            return self.last(self.pool(self.drop(self.first(x)))).flatten()

    model = Net()
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    x = rng.standard_normal((5, 2, 3, 4)).astype(np.float32)
    step(x, [0] * 5)
    before = taken(model)
    for call in (
        lambda: step(x[:1], [0]), lambda: step.gradients(x[:1], [0]), lambda: step.forward(x[:1]),
        lambda: step.epoch(x[:1], [0]), lambda: model(x[:1]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"BatchNorm2d.* values per channel"):
            call()
        assert_same(model, before)
    step.forward(x)
    assert taken(model)["drop.calls"] == before["drop.calls"] + 1


def by_batches(model, step, x, y, count, size):
    """A model that has seen the first `count` batches and no more, by a step of its own."""
    twin = network()
    other = nc.compile(twin, nn.CrossEntropyLoss(), optim.Adam(twin.parameters()))
    for start in range(0, count * size, size):
        other(x[start : start + size], y[start : start + size])
    return taken(twin)


def test_an_epoch_with_a_loss_that_is_not_finite(data):
    x, y = data
    x[23] = np.nan
    model = network()
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    with pytest.raises(FloatingPointError, match="batch 3 of 4"):
        step.epoch(x, y, batch_size=10, error_if_nonfinite=True)
    assert_same(model, by_batches(model, step, x, y, 2, 10))


def test_an_epoch_left_in_the_midst_of_a_batch(data):
    """The engine comes up for air after each operation; whoever leaves then leaves no trace."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((75_000, 4)).astype(np.float32)
    y = rng.integers(0, 3, 75_000)
    whole = 25_000
    ends = set()
    for breaks in range(1, 60):
        model = network()
        step = nc.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
        calls = []

        def stop(done, batches, calls=calls, breaks=breaks):
            calls.append(done)
            if len(calls) == breaks:
                raise ZeroDivisionError

        data = step._batches("test", x, y, None, whole)
        updates = step.optimizer._compiled_updates(clear_grad=True)
        try:
            step._run_epoch(
                engine.STEP_TRAIN,
                data,
                updates,
                seconds=1e-9,
                progress=lambda done, stop=stop: stop(done, 3),
            )
        except ZeroDivisionError:
            pass
        else:
            break
        done = len(step.losses)
        assert_same(model, by_batches(model, step, x, y, done, whole))
        ends.add((done, calls.count(done)))
    # Breaks between batches, and within the second and the third one.
    assert {done for done, _ in ends} == {1, 2, 3}
    assert len(ends) > 4, ends


@pytest.fixture
def interrupts():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c(data, interrupts):
    x, y = data
    model = network()
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    order = np.arange(5_000_000) % 40
    timer = threading.Timer(0.05, lambda: signal.raise_signal(signal.SIGINT))

    def begin(done, batches):
        if timer.ident is None:
            timer.start()

    with pytest.raises(KeyboardInterrupt):
        step.epoch(x, y, order, 10, progress=begin)
    timer.join()
    done = len(step.losses)
    assert done > 0
    twin = network()
    other = nc.compile(twin, nn.CrossEntropyLoss(), optim.Adam(twin.parameters()))
    other.epoch(x, y, order[: done * 10], 10)
    assert_same(model, taken(twin))


# ---- the trainer

WAYS = {
    "one call": {},
    "batch by batch": {"sample_weight": np.ones(40)},
    "two batches an update": {"accumulate": 2},
    "by hand": {"compiled": False},
    "by hand, two batches an update": {"compiled": False, "accumulate": 2},
}


def trained(x, y, ways, callbacks=()):
    model = network()
    optimizer = optim.Adam(model.parameters())
    trainer = nc.Trainer(model, nn.CrossEntropyLoss(), optimizer, seed=1)
    given = {**ways}
    if "sample_weight" in given:
        given["sample_weight"] = given["sample_weight"][: len(x)]
    try:
        trainer.fit(x, y, 1, 10, shuffle=False, verbose=0, callbacks=list(callbacks), **given)
    finally:
        trainer.ended = taken(model)
    return model, trainer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["not finite", "an error", "Ctrl-C"])
def test_the_trainer_leaves_the_last_update(way, kind, data, monkeypatch):
    x, y = data
    ways = WAYS[way]
    group = ways.get("accumulate", 1)
    expected = taken(trained(x[:20], y[:20], ways)[0])  # two batches, each or both an update
    ended = {}

    class Watch(Callback):
        def on_train_begin(self, logs=None):
            ended["model"] = self.trainer.model

        def on_train_batch_end(self, batch, logs=None):
            if kind == "Ctrl-C" and batch == (1 if group == 1 else 2):
                raise KeyboardInterrupt

    if kind == "not finite":
        x = x.copy()
        x[35 if group == 2 else 25] = np.nan
        error = FloatingPointError
    elif kind == "Ctrl-C":
        error = KeyboardInterrupt
    else:
        error = ZeroDivisionError
        calls = []
        original = nn.CrossEntropyLoss.backward

        def failing(self, grad=1.0):
            calls.append(1)
            if len(calls) == (4 if group == 2 else 3):
                raise ZeroDivisionError
            return original(self, grad)

        monkeypatch.setattr(nn.CrossEntropyLoss, "backward", failing)
    with pytest.raises(error):
        trained(x, y, ways, [Watch()])
    monkeypatch.undo()
    assert_same(ended["model"], expected)
