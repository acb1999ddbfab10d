"""However `step.epoch` ends, the model is as the last whole batch left it; its losses are known."""

import signal
import threading

import numpy as np
import pytest
from step_networks import assert_same_state, make_step, mlp, one_by_one

import nncore as nc
from nncore import nn, optim
from nncore._core import engine


@pytest.fixture
def data(rng):
    return rng.standard_normal((40, 20)).astype(np.float32), rng.integers(0, 5, 40)


def expect_whole_batches(model, held, step, x, y, order, batch_size):
    """The state is that after the batches whose losses are there."""
    done = len(step.losses)
    twin, twin_held, twin_step = make_step(mlp)
    expected = one_by_one(twin_step, x, y, order[: done * batch_size], batch_size)
    assert step.losses.tobytes() == expected.astype(np.float64).tobytes()
    assert_same_state(model, held, twin, twin_held)
    return done


@pytest.mark.parametrize("label", [5, -1, 2**62])
def test_a_label_out_of_range(data, label):
    x, y = data
    order = np.arange(40)[::-1].copy()
    y[13] = label  # in batch 4 of 6
    model, held, step = make_step(mlp)
    with pytest.raises(IndexError, match=rf"CrossEntropyLoss: target\[13\] is {label}, expected"):
        step.epoch(x, y, order, 7)
    assert expect_whole_batches(model, held, step, x, y, order, 7) == 3
    with pytest.raises(IndexError, match=rf"target\[13\] is {label}"):
        step.epoch(x, y, batch_size=7)


def test_a_loss_that_is_not_finite(data):
    x, y = data
    x[23, 4] = np.nan
    model, held, step = make_step(mlp)
    with pytest.raises(FloatingPointError, match="the loss is nan in batch 3 of 4"):
        step.epoch(x, y, batch_size=10, error_if_nonfinite=True)
    assert expect_whole_batches(model, held, step, x, y, np.arange(40), 10) == 2
    # Not asked for, it is what it is.
    assert np.isnan(step.epoch(x, y, batch_size=10)[2:]).all()


@pytest.fixture
def interrupts():
    """Ctrl-C is heard, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_ctrl_c(batch_size, rng, interrupts):
    x, y = rng.standard_normal((9, 20)).astype(np.float32), rng.integers(0, 5, 9)
    order = rng.integers(0, 9, 5_000_000)  # some ten seconds of batches
    model, held, step = make_step(mlp)
    timer = threading.Timer(0.1, lambda: signal.raise_signal(signal.SIGINT))

    def begin(done, batches):
        if timer.ident is None:
            timer.start()

    with pytest.raises(KeyboardInterrupt):
        step.epoch(x, y, order, batch_size, progress=begin)
    timer.join()
    done = expect_whole_batches(model, held, step, x, y, order, batch_size)
    assert 0 < done < 5_000_000 / batch_size
    step(x, y)  # and it can be used again


def test_a_break_within_a_batch():
    """A batch large enough is left in the midst, where somebody wants to hear of signals."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1500, 256)).astype(np.float32)
    y = rng.integers(0, 10, 1500)

    def make():
        model = nn.Sequential(nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 10))
        model.reset_parameters(1)
        optimizer = optim.Adam(model.parameters())
        return model, optimizer, nc.compile(model, nn.CrossEntropyLoss(), optimizer)

    model, optimizer, step = make()
    twin, twin_optimizer, twin_step = make()
    expected = twin_step.epoch(x, y, batch_size=500)
    calls = []
    batches = step._batches("test", x, y, None, 500)
    updates = optimizer._compiled_updates(clear_grad=True)
    step._run_epoch(engine.STEP_TRAIN, batches, updates, seconds=1e-9, progress=calls.append)
    assert len(calls) > 3
    assert calls[-1] == 3
    assert batches.losses.tobytes() == expected.tobytes()
    assert_same_state(model, optimizer, twin, twin_optimizer)

    # Left for good, at whichever of its breaks: the first batch counts, the second never was.
    for most in range(1, 20):
        calls[:] = []

        def stop(done, most=most):
            calls.append(done)
            if calls.count(1) > most:
                raise RuntimeError("enough")
            if done > 1:
                raise ZeroDivisionError  # no break was left in the second batch

        kind = (RuntimeError, ZeroDivisionError)
        with pytest.raises(kind) as ended:
            step._run_epoch(engine.STEP_TRAIN, batches, updates, seconds=1e-9, progress=stop)
        for at in range(len(step.losses)):
            twin_step(x[500 * at : 500 * at + 500], y[500 * at : 500 * at + 500])
        assert_same_state(model, optimizer, twin, twin_optimizer)
        if ended.type is ZeroDivisionError:
            break
        assert len(step.losses) == 1
    assert most > 3


def test_progress_is_told(data):
    _, _, step = make_step(mlp)
    calls = []
    step.epoch(*data, batch_size=7, progress=lambda *told: calls.append(told))
    assert calls[-1] == (6, 6)
    assert calls == sorted(calls)


def test_an_error_of_progress_ends_it(data):
    x, y = data
    model, held, step = make_step(mlp)

    def fail(done, batches):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        step.epoch(x, y, batch_size=7, progress=fail)
    assert expect_whole_batches(model, held, step, x, y, np.arange(40), 7) > 0


def test_the_step_is_busy_meanwhile(data):
    _, _, step = make_step(mlp)
    seen = []

    def use(done, batches):
        for call in (
            lambda: step(*data),
            lambda: step.predict(data[0]),
            lambda: step.epoch(*data),
            lambda: step.output,
            lambda: step.update(),
            lambda: step.predict(np.zeros((1000, 20), np.float32)),
        ):
            with pytest.raises(RuntimeError, match="running"):
                call()
            seen.append(call)
        assert step.clone().predict(data[0]).shape == (40, 5)

    step.epoch(*data, batch_size=7, progress=use)
    assert seen


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"order": [0, 40]}, IndexError, r"order\[1\] is 40, expected 0 to 39"),
        ({"order": [0, -1]}, IndexError, r"order\[1\] is -1, expected 0 to 39"),
        ({"order": [2**70]}, TypeError, "order has dtype object"),
        ({"order": [0.0]}, TypeError, "order has dtype float64"),
        ({"order": [[0]]}, TypeError, r"order has .*shape \(1, 1\)"),
        ({"order": 3}, TypeError, "order has"),
        ({"batch_size": 0}, ValueError, "batch_size must be positive, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an integer"),
        ({"y": np.zeros(39, int)}, ValueError, r"target has shape \(39,\), expected \(40,\)"),
        ({"y": np.zeros(40)}, TypeError, "float64"),
        ({"y": None}, TypeError, "target is None"),
        ({"x": np.zeros((40, 19))}, ValueError, "samples of shape|19 features"),
        ({"x": np.zeros((40, 20), np.int16)}, TypeError, "int16"),
        ({"x": np.zeros((40, 20), np.int8)}, TypeError, "int8"),
        ({"x": 1.0}, ValueError, "single number"),
        ({"x": None}, TypeError, "x is None"),
    ],
)
@pytest.mark.parametrize("built", [True, False])
def test_what_is_refused_before_anything_is_run(data, changed, kind, message, built):
    model, _, step = make_step(mlp)
    if built:
        step.predict(data[0])
    before = [parameter.data.copy() for parameter in model.parameters()]
    with pytest.raises(kind, match=message):
        step.epoch(**{"x": data[0], "y": data[1], **changed})
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert (parameter.data == old).all()


def test_needs_loss_and_optimizer(data):
    model = mlp()
    with pytest.raises(RuntimeError, match="without an optimizer"):
        nc.compile(model, nn.CrossEntropyLoss()).epoch(*data)
    with pytest.raises(RuntimeError, match="without a loss_fn"):
        nc.compile(model, None, optim.SGD(model.parameters(), lr=0.1)).epoch(*data)
