"""The binding of the step takes no pointer of an array that does not fit, whoever calls it."""

import numpy as np
import pytest

import nncore as nc
from nncore import nn, optim
from nncore._core import engine


def make(loss):
    model = nn.Sequential(nn.Linear(4, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    step = nc.compile(model, loss, optimizer, input_shape=(4,), max_batch=8)
    return step._core, optimizer._compiled_updates(clear_grad=True)


X = np.zeros((8, 4), np.float32)
LABELS = np.zeros(8, np.int64)
NUMBERS = np.zeros((8, 3), np.float32)


@pytest.mark.parametrize(
    ("x", "target"),
    [
        (np.zeros((8, 5), np.float32), LABELS),
        (np.zeros((8, 4), np.float64), LABELS),
        (np.zeros((4, 8), np.float32).T, LABELS),
        (np.zeros((8, 4), np.uint8), LABELS),
        (np.zeros(4, np.float32), LABELS),
        (np.zeros((9, 4), np.float32), np.zeros(9, np.int64)),
        (X, LABELS[:7]),
        (X, LABELS.astype(np.int32)),
        (X, np.zeros(16, np.int64)[::2]),
        (X, NUMBERS),
        (X, None),
    ],
)
def test_one_batch(x, target):
    core, updates = make(nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match=r"Step|batch is 9"):
        core.run(engine.STEP_TRAIN, x, target, updates)
    if target is LABELS:
        for call in (core.predict, core.forward):
            with pytest.raises(ValueError, match="Step: x of shape"):
                call(x)


def test_a_gradient():
    core, _ = make(None)
    core.forward(X)
    for grad in (NUMBERS[:7], np.zeros((8, 2), np.float32), NUMBERS.astype(np.float64)):
        with pytest.raises(ValueError, match="Step: grad"):
            core.backward(grad, True)
    assert core.backward(NUMBERS, True).shape == (8, 4)
    with pytest.raises(ValueError, match="the forward had -1"):
        core.backward(NUMBERS, False)


def run(core, updates, **changed):
    given = {
        "mode": engine.STEP_TRAIN,
        "x": (X, False),
        "target": (LABELS, False),
        "order": None,
        "samples": 8,
        "batch": 3,
        "updates": updates,
        "losses": np.zeros(3),
        "correct": np.zeros(3, np.int64),
        "output": None,
        **changed,
    }
    return core.epoch(**given)


@pytest.mark.parametrize(
    "changed",
    [
        {"x": (X[:, :3], False)},
        {"x": (X.astype(np.float64), False)},
        {"x": (np.zeros((8, 4), np.int8), False)},
        {"x": (np.zeros((8, 8), np.uint8)[:, ::2], False)},
        {"target": None},
        {"target": (LABELS[:7], False)},
        {"target": (NUMBERS, False)},
        {"samples": 9},
        {"samples": -1},
        {"batch": 0},
        {"order": np.zeros(7, np.int64)},
        {"order": np.zeros(8, np.int32)},
        {"losses": None},
        {"losses": np.zeros(2)},
        {"losses": np.zeros(3, np.float32)},
        {"correct": np.zeros(2, np.int64)},
        {"output": np.zeros((7, 3), np.float32)},
        {"output": np.zeros((8, 3), np.float64)},
    ],
)
def test_an_epoch(changed):
    core, updates = make(nn.CrossEntropyLoss())
    assert run(core, updates)
    with pytest.raises(ValueError, match=r"Step|batch is 9"):
        run(core, updates, **changed)
    assert run(core, updates, x=(np.zeros((8, 4), np.uint8), False))


def test_right_answers_need_labels():
    core, updates = make(nn.MSELoss())
    with pytest.raises(ValueError, match="right answers"):
        run(core, updates, target=(NUMBERS, False))
    assert run(core, updates, target=(NUMBERS, False), correct=None)
    with pytest.raises(ValueError, match="target"):
        run(core, updates, target=(NUMBERS[:, :2], False), correct=None)
