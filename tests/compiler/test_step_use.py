"""How a Step may be used: clones, threads, forks, one caller at a time, and what it shows."""

import copy
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from step_networks import assert_same_state, make_step, mlp, notes_cnn
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim
from nncore._core import engine


@pytest.fixture
def data(rng):
    return rng.standard_normal((16, 20)).astype(np.float32), rng.integers(0, 5, 16)


def test_clones_share_weights_and_nothing_else(data):
    x, y = data
    model, held, step = make_step(mlp)
    twin, twin_held, twin_step = make_step(mlp)
    other = step.clone()
    for one in (step, other, step.clone(), other.clone()):
        assert one(x, y) == twin_step(x, y)
    assert_same_state(model, held, twin, twin_held)
    step.forward(x)
    other.forward(x[:3])
    assert step.backward(np.ones((16, 5)), True).shape == (16, 20)
    assert other.backward(np.ones((3, 5)), True).shape == (3, 20)
    assert step.memory == other.memory > 0


def test_one_caller_at_a_time(data):
    """A second thread is refused, and disturbs nothing."""
    x, y = data
    model, held, step = make_step(mlp)
    twin, twin_held, twin_step = make_step(mlp)
    order = np.arange(200_000) % 16
    refused, stop = [], threading.Event()

    def disturb():
        while not stop.is_set():
            try:
                step.predict(x)
            except RuntimeError as error:
                refused.append(str(error))

    step.predict(x)
    thread = threading.Thread(target=disturb)

    def begin(done, batches):
        if thread.ident is None:
            thread.start()

    losses = step.epoch(x, y, order, 8, progress=begin)
    stop.set()
    thread.join()
    assert "already running in another thread: use a step.clone()" in refused[0]
    assert_same_bits(losses, twin_step.epoch(x, y, order, 8))
    assert_same_state(model, held, twin, twin_held)


def test_several_threads_each_with_a_clone(data):
    """Predictions of shared weights, from many threads at once."""
    x, _ = data
    _, _, step = make_step(mlp)
    expected = step.predict(x).tobytes()
    found = set()

    def work(own):
        for _ in range(200):
            found.add(own.predict(x).tobytes())

    threads = [threading.Thread(target=work, args=(step.clone(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {expected}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_goes_on(data, threads):
    x, y = data
    _, _, step = make_step(mlp)
    _, _, twin_step = make_step(mlp)
    step(x, y)
    twin_step(x, y)
    expected = twin_step(x, y), twin_step.epoch(x, y, batch_size=3)
    child = os.fork()
    if child == 0:
        same = step(x, y) == expected[0]
        same &= step.epoch(x, y, batch_size=3).tobytes() == expected[1].tobytes()
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert step(x, y) == expected[0]  # what the child did stays there


def test_threads_of_a_step(rng):
    x = rng.standard_normal((8, 1, 28, 28)).astype(np.float32)
    model = notes_cnn()
    before = engine.threads_get(), engine.threads_threshold_get()
    try:
        engine.threads_set(2)
        engine.threads_threshold_set(0)
        outputs = []
        for threads in (1, 2, None):
            step = nc.compile(model, threads=threads)
            pieces = engine.threads_pieces_by_workers()
            outputs.append(step.predict(x).tobytes())
            assert (engine.threads_pieces_by_workers() > pieces) == (threads != 1)
            assert step.clone().predict(x).tobytes() == outputs[0]
        assert len(set(outputs)) == 1
    finally:
        engine.threads_set(before[0])
        engine.threads_threshold_set(before[1])


@pytest.mark.parametrize("name", ["max_batch", "threads"])
def test_what_is_no_number(name):
    for value, kind in ((0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(kind, match=f"compile: {name} must be"):
            nc.compile(mlp(), **{name: value})


def test_room_for_the_first_batch_and_larger_ones(data):
    x, y = data
    _, _, step = make_step(mlp)
    step(x[:4], y[:4])
    small = step.memory
    step.epoch(x, y, batch_size=100)  # all of them in one
    assert step.memory > small
    large = step.memory
    step.epoch(x, y, batch_size=2)
    assert step.memory == large
    asked = nc.compile(mlp(), nn.CrossEntropyLoss(), input_shape=(20,), max_batch=16)
    assert asked.memory == large


def test_gradients_of_what_the_optimizer_does_not_hold(data):
    x, y = data
    model = mlp()
    twin = copy.deepcopy(model)
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.SGD(model[4].parameters(), lr=0.1))
    for _ in range(2):
        step(x, y)
        assert all((parameter.grad == 0).all() for parameter in model.parameters())
    assert_same_bits(model[0].weight.data, twin[0].weight.data)
    step.forward(x)
    step.backward(np.ones((16, 5)))
    assert model[0].weight.grad.any()
    step.update()
    assert all((parameter.grad == 0).all() for parameter in model.parameters())


def test_by_hand_and_compiled_in_turn(data):
    """The optimiser's own step leaves the gradients, the compiled one clears them."""
    x, y = data
    model, held, step = make_step(mlp)
    twin, twin_held, twin_step = make_step(mlp)
    for _ in range(2):
        assert step(x, y) == twin_step(x, y)
        assert not model[0].weight.grad.any()
        step.gradients(x, y)
        held.step()
        assert model[0].weight.grad.any()
        twin_step(x, y)
    held.zero_grad()
    assert_same_state(model, held, twin, twin_held)


def test_the_table(data):
    x, y = data
    _, _, step = make_step(mlp)
    assert "not built" in repr(step)
    step(x, y)
    lines = str(step).split("\n")
    assert lines[0].split() == [
        "operation", "layer", "output", "bytes", "flops", "backward", "fused", "with",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:-1]] == [
        "linear", "tanh", "linear", "sigmoid", "linear", "cross_entropy",
    ]  # fmt: skip
    first = lines[1].split()
    assert first[1:4] == ["Linear", "(0)", "16x33"]
    # Output and gradient, in whole cache lines; a multiply-add is two.
    assert first[4] == f"{2 * 16 * 33 * 4:,}"
    assert first[5] == f"{2 * 16 * 20 * 33:,}"
    assert lines[-1].startswith(f"arena {step.memory:,} bytes for 16 samples (")


def test_the_picture_in_the_documentation():
    """docs/architecture.md shows the arena of a small network: as it is."""
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    model = nn.Sequential(
        nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2)
    )
    step = nc.compile(model, nn.CrossEntropyLoss(), input_shape=(4,), max_batch=32)
    assert f"{step.memory:,} bytes where" in page
    lines = [line for line in page.split("\n") if "===" in line]
    names = {"y": "y of {}", "grad": "dy of {}", "saved": "saved, {}"}
    drawn = 0
    for index, node in enumerate(["lin0", "tnh1", "lin2", "tnh3", "lin4", "loss"]):
        for name, (_, size, first, last) in step._core.places(index).items():
            if size <= 64:
                continue
            label = names[name].format(node)
            (line,) = (line for line in lines if f" {label} " in line)
            assert f" {size} " in line
            bar = line.replace("|", "")[line.index("=") - 1 :].count("=")
            assert bar == 4 * (last - first + 1) - 1 + 2 * (first < 6 <= last), line
            drawn += 1
    assert drawn == len(lines) - 2  # x and labels
