"""Optimisers of nncore.reference."""

import numpy as np
import pytest

from nncore import reference

SGD = [
    {},
    {"weight_decay": 0.1},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.5, "nesterov": True, "weight_decay": 0.2},
]
ADAM = [
    {},
    {"betas": (0.5, 0.7), "eps": 1e-3},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "betas": (0.8, 0.99)},
]
OTHERS = [
    ("Adam", {"amsgrad": True, "betas": (0.9, 0.9)}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "eps": 1e-3}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1}),
]


def follow(torch, their_optimizer, our_step, options, dtype, rng, close, **ours):
    """Take 50 steps on equal gradients from equal parameters; every one must agree."""
    param = rng.standard_normal((3, 4)).astype(dtype)
    theirs = torch.nn.Parameter(torch.tensor(param))
    optimizer, state = getattr(torch.optim, their_optimizer)([theirs], lr=0.01, **options), {}
    start = param.copy()
    for _ in range(50):
        grad = rng.standard_normal((3, 4)).astype(dtype)
        theirs.grad = torch.tensor(grad)
        optimizer.step()
        untouched = grad.copy()
        assert our_step(param, grad, state, 0.01, **options, **ours) is None
        close(param, theirs.detach().numpy())
        np.testing.assert_array_equal(grad, untouched)
    assert np.abs(param - start).max() > 0.01
    their_state = optimizer.state[theirs]
    for name, value in state.items():
        if name == "step":
            assert value == 50
        else:
            close(value, their_state[name].numpy())


@pytest.mark.parametrize("options", SGD, ids=str)
def test_sgd_trace_equals_pytorch(options, dtype, rng, close, torch):
    follow(torch, "SGD", reference.sgd_step, options, dtype, rng, close)


@pytest.mark.parametrize("options", ADAM, ids=str)
def test_adam_trace_equals_pytorch(options, dtype, rng, close, torch):
    follow(torch, "Adam", reference.adam_step, options, dtype, rng, close)


@pytest.mark.parametrize("options", ADAM, ids=str)
def test_adamw_trace_equals_pytorch(options, dtype, rng, close, torch):
    options = {"weight_decay": 0.0, **options}
    follow(torch, "AdamW", reference.adam_step, options, dtype, rng, close, decoupled=True)


@pytest.mark.parametrize(("rule", "options"), OTHERS, ids=str)
def test_other_traces_equal_pytorch(rule, options, dtype, rng, close, torch):
    follow(torch, rule, getattr(reference, f"{rule.lower()}_step"), options, dtype, rng, close)


def test_lion_by_hand():
    param, state = np.array([1.0, -2.0, 0.5]), {}
    reference.lion_step(param, np.array([0.5, -3.0, 0.0]), state, 0.1, weight_decay=0.5)
    np.testing.assert_allclose(param, [0.95 - 0.1, -1.9 + 0.1, 0.475])
    np.testing.assert_allclose(state["exp_avg"], [0.005, -0.03, 0])
    # The mean of the past weighs 0.9: a small gradient against it does not turn the step.
    reference.lion_step(param, np.array([-0.01, 0.1, 0.0]), state, 0.1)
    np.testing.assert_allclose(param, [0.75, -1.7, 0.475])
    np.testing.assert_allclose(state["exp_avg"], [0.99 * 0.005 - 1e-4, -0.03 * 0.99 + 1e-3, 0])


def test_sgd_by_hand():
    param, state, grad = np.array([1.0, -2.0]), {}, np.array([0.5, 1.0])
    reference.sgd_step(param, grad, state, 0.1)
    np.testing.assert_allclose(param, [0.95, -2.1])
    assert state == {}
    reference.sgd_step(param, grad, state, 0.1, momentum=0.5)
    np.testing.assert_allclose(param, [0.9, -2.2])
    reference.sgd_step(param, grad, state, 0.1, momentum=0.5)
    np.testing.assert_allclose(param, [0.825, -2.35])
    np.testing.assert_allclose(state["momentum_buffer"], [0.75, 1.5])
    reference.sgd_step(param, grad, state, 0.1, momentum=0.5, nesterov=True)
    np.testing.assert_allclose(param, [0.825 - 0.09375, -2.35 - 0.1875])
    reference.sgd_step(param, np.zeros(2), {}, 0.1, weight_decay=0.5)
    np.testing.assert_allclose(param, [0.73125 * 0.95, -2.5375 * 0.95])


def test_adam_by_hand():
    # A constant gradient: m' = g and v' = g^2 at every step, so each step is lr * sign(g).
    param, state = np.array([1.0, -2.0]), {}
    for step in range(1, 4):
        reference.adam_step(param, np.array([0.5, -3.0]), state, 0.1, eps=0)
        np.testing.assert_allclose(param, [1 - 0.1 * step, -2 + 0.1 * step])
    assert state["step"] == 3
    np.testing.assert_allclose(state["exp_avg"], (1 - 0.9**3) * np.array([0.5, -3.0]))
    np.testing.assert_allclose(state["exp_avg_sq"], (1 - 0.999**3) * np.array([0.25, 9.0]))

    reference.adam_step(param := np.array([2.0]), np.zeros(1), {}, 0.1, weight_decay=0.5)
    np.testing.assert_allclose(param, [1.9])  # The decay is a gradient of its own.
    reference.adam_step(
        param := np.array([4.0]), np.zeros(1), {}, 0.1, weight_decay=0.5, decoupled=True
    )
    np.testing.assert_allclose(param, [3.8])


def test_momentum_does_not_keep_the_callers_gradient():
    param, state, grad = np.zeros(1), {}, np.ones(1)
    reference.sgd_step(param, grad, state, 0.1, momentum=0.9)
    grad[:] = 7
    np.testing.assert_array_equal(state["momentum_buffer"], [1.0])


@pytest.mark.parametrize(
    "step",
    [getattr(reference, f"{rule}_step") for rule in ("sgd", "adam", "rmsprop", "adagrad", "lion")],
)
def test_any_shape_in_place_and_silent(step, dtype):
    for shape in ((), (0,), (2, 3)):
        whole = np.full((*shape, 2), 1e30, dtype)
        view, state = whole[..., 0], {}
        with np.errstate(all="raise"):
            for grad in (np.inf, np.nan):
                step(view, np.full(shape, grad, dtype), state, 0.1)
        assert np.isnan(whole[..., 0]).all()
        assert (whole[..., 1] == dtype(1e30)).all()
