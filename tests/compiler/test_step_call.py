"""The short call of a step, without a line of Python, sees all that the long way sees."""

import numpy as np
import pytest

import nncore as nc
from nncore import nn, optim

RNG = np.random.default_rng(5)
X = RNG.standard_normal((6, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 6)


def make(optimizer=optim.Adam, **numbers):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    model.reset_parameters(seed=0)
    return model, optimizer(model.parameters(), **{"lr": 0.01, **numbers})


def set_rate(optimizer):
    optimizer.param_groups[0]["lr"] = 0.5


def set_the_same_rate_anew(optimizer):
    optimizer.param_groups[0]["lr"] = float("0.01")


def change_betas_in_place(optimizer):
    optimizer.param_groups[0]["betas"][0] = 0.1


def replace_groups(optimizer):
    optimizer.param_groups = [dict(optimizer.param_groups[0], lr=0.3)]


def replace_a_group(optimizer):
    optimizer.param_groups[0] = dict(optimizer.param_groups[0], weight_decay=0.1)


def give_up_a_parameter(optimizer):
    group = optimizer.param_groups[0]
    group["params"].pop()
    group["param_names"].pop()


def order_keys_anew(optimizer):
    group = optimizer.param_groups[0]
    group["lr"] = group.pop("lr") * 3


def note_a_first_rate(optimizer):
    optimizer.param_groups[0]["initial_lr"] = 0.01


def clip(optimizer):
    optimizer.max_grad_norm = 1e-3


def step_by_hand(optimizer):
    optimizer.step()


def load(optimizer):
    optimizer.load_state_dict(optimizer.state_dict() | {"state": {}})


CHANGES = (
    set_rate,
    set_the_same_rate_anew,
    change_betas_in_place,
    replace_groups,
    replace_a_group,
    give_up_a_parameter,
    order_keys_anew,
    note_a_first_rate,
    clip,
    step_by_hand,
    load,
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_the_optimizer_says_now(change):
    """Against a step that is compiled after the change, as many calls before it and after."""
    weights = []
    for fresh in (False, True):
        model, optimizer = make(betas=[0.9, 0.999])
        loss = nn.CrossEntropyLoss()
        step = nc.compile(model, loss, optimizer)
        for _ in range(3):
            step(X, Y)
        change(optimizer)
        if fresh:
            step = nc.compile(model, loss, optimizer)
        for _ in range(3):
            step(X, Y)
        weights.append([parameter.data.copy() for parameter in model.parameters()])
        for parameter in model.parameters():
            assert not parameter.grad.any()
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_optimizer_takes_over():
    model, first = make()
    step = nc.compile(model, nn.CrossEntropyLoss(), first)
    step(X, Y)
    step.optimizer = second = optim.SGD(model.parameters(), lr=0.0)
    before = [parameter.data.copy() for parameter in model.parameters()]
    step(X, Y)
    for parameter, old in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.data, old)
    step.optimizer = None
    with pytest.raises(RuntimeError, match="without an optimizer"):
        step(X, Y)
    step.optimizer = second
    assert step(X, Y) > 0


def test_structure_and_shapes():
    model, optimizer = make()
    step = nc.compile(model, nn.CrossEntropyLoss(), optimizer)
    step(X, Y)
    model[0].weight.requires_grad = False
    kept = model[0].weight.data.copy()
    step(X, Y)
    np.testing.assert_array_equal(model[0].weight.data, kept)
    assert step(X[:2], Y[:2]) > 0
    assert step(X.tolist(), Y.tolist()) > 0
    assert step(X[::-1], Y[::-1]) == pytest.approx(step.evaluate(X, Y), abs=0.05)
    assert step(np.vstack([X, X]), np.concatenate([Y, Y])) > 0  # a larger batch: built anew
    for x, y in ((X[:, :3], Y), (X, Y[:5]), (X, Y.astype(float)), (X.astype(complex), Y)):
        with pytest.raises((TypeError, ValueError)):
            step(x, y)
    with pytest.raises(IndexError, match=r"target\[2\] is 3"):
        step(X, np.array([0, 1, 3, 0, 1, 2]))
    with pytest.raises(TypeError):
        step(X)


def test_parameters_of_nobody_read_zero():
    model, _ = make()
    optimizer = optim.SGD(model[0].parameters(), lr=0.1)
    step = nc.compile(model, nn.CrossEntropyLoss(), optimizer)
    for _ in range(3):
        step(X, Y)
        assert not model[2].weight.grad.any()


@pytest.mark.parametrize("shape", [(3,), (2, 4, 4)])
def test_predictions(shape):
    body = (nn.Linear(3, 5),) if len(shape) == 1 else (nn.Conv2d(2, 3, 3), nn.ReLU())
    model = nn.Sequential(*body)
    step = nc.compile(model, max_batch=4)
    x = RNG.standard_normal((4, *shape)).astype(np.float32)
    model.eval()
    for rows in (x, x[:1], x[:0], x[::2], x.tolist()):
        np.testing.assert_array_equal(step.predict(rows), model(rows))
    assert step.predict(x) is not step.predict(x)
    out = np.empty_like(step.predict(x))
    assert step.predict(x, out) is out
    np.testing.assert_array_equal(out, step.predict(x=x))


def test_who_calls_is_described():
    assert "returns the loss" in nc.Step.__call__.__doc__
    assert "several heads" in nc.Step.predict.__doc__
    step = nc.compile(*make()[:1])
    with pytest.raises(RuntimeError, match="without an optimizer"):
        step(X, Y)
