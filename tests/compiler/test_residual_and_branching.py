"""Residual and branching nets with BatchNorm and Dropout: by hand and compiled, bit for bit."""

import numpy as np
import pytest

import nncore as nc
from nncore import nn, optim


def residual():
    body = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.2)
    )
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.Residual(body),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64, 3),
    )


def branching():
    wide = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.SiLU())
    pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(1, 2, 1), nn.Dropout(0.1))
    return nn.Sequential(
        nn.Concat(wide, pooled), nn.GlobalAvgPool2d(), nn.Flatten(), nn.Linear(5, 3)
    )


@pytest.mark.parametrize("build", [residual, branching], ids=lambda build: build.__name__)
def test_hundred_steps(build, threads):
    models = [build(), build()]
    for model in models:
        model.reset_parameters(3)
    by_hand, compiled = models
    loss_fn, hand = nn.CrossEntropyLoss(), optim.Adam(by_hand.parameters(), lr=0.01)
    step = nc.compile(compiled, nn.CrossEntropyLoss(), optim.Adam(compiled.parameters(), lr=0.01))
    rng = np.random.default_rng(0)
    for _ in range(100):
        x = rng.normal(size=(6, 1, 8, 8)).astype(np.float32)
        labels = rng.integers(0, 3, 6)
        loss = loss_fn(by_hand(x), labels)
        by_hand.backward(loss_fn.backward())
        hand.step()
        hand.zero_grad()
        assert step(x, labels) == loss
    state = compiled.state_dict()
    for name, value in by_hand.state_dict().items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)
    np.testing.assert_array_equal(by_hand.eval()(x), step.predict(x))
