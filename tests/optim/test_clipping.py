"""Clipping and finite gradients: by hand as in PyTorch, and as options of optimisers."""

import copy
import math

import numpy as np
import pytest

import nncore as nc
from nncore import nn, optim

RULES = {
    "sgd": lambda params, **k: optim.SGD(params, lr=0.1, momentum=0.9, **k),
    "adam": lambda params, **k: optim.Adam(params, amsgrad=True, **k),
    "adamw": lambda params, **k: optim.AdamW(params, maximize=True, **k),
    "rmsprop": lambda params, **k: optim.RMSprop(params, momentum=0.5, centered=True, **k),
    "adagrad": lambda params, **k: optim.Adagrad(params, initial_accumulator_value=0.1, **k),
    "lion": lambda params, **k: optim.Lion(params, weight_decay=0.1, **k),
}


@pytest.fixture
def model(dtype):
    model = nn.Sequential(nn.Linear(6, 9, dtype=dtype), nn.Tanh(), nn.Linear(9, 4, dtype=dtype))
    model.reset_parameters(1)
    return model


def groups(model):
    return [{"params": model[0].parameters(), "lr": 0.02}, {"params": model[2].parameters()}]


def batch(model, rng, n=12):
    return rng.standard_normal((n, 6)).astype(model.dtype), rng.integers(0, 4, n)


# ---- by hand


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 1e6, 0])
def test_clip_grad_norm_is_pytorchs(torch, dtype, rng, norm_type, max_norm):
    grads = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 5), (0, 2), (70, 30))]
    ours = [nn.Parameter(np.zeros_like(grad)) for grad in grads]
    theirs = [torch.nn.Parameter(torch.zeros(grad.shape)) for grad in grads]
    for p, other, grad in zip(ours, theirs, grads, strict=True):
        p.grad[...] = grad
        other.data = torch.from_numpy(np.zeros_like(grad))
        other.grad = torch.from_numpy(grad.copy())
    if norm_type == math.inf:
        theirs = [theirs[0], theirs[2]]  # PyTorch has no largest of none
    norm = nn.utils.clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    close = {"rtol": 1e-10 if dtype == np.float64 else 1e-5}
    assert type(norm) is float
    np.testing.assert_allclose(norm, float(expected), **close)
    for p, other in zip([p for p in ours if p.size], [t for t in theirs if t.numel()], strict=True):
        np.testing.assert_allclose(p.grad, other.grad.numpy(), **close)


def test_clip_grad_value_is_pytorchs(torch, dtype, rng):
    grad = rng.standard_normal((5, 6)).astype(dtype)
    grad[0, :3] = np.nan, np.inf, -np.inf
    p, other = nn.Parameter(np.zeros_like(grad)), torch.nn.Parameter(torch.zeros(5, 6))
    p.grad[...] = grad
    other.data, other.grad = torch.zeros(5, 6).to(torch.from_numpy(grad)), torch.from_numpy(grad)
    nn.utils.clip_grad_value_(p, 0.5)
    torch.nn.utils.clip_grad_value_(other, 0.5)
    np.testing.assert_array_equal(p.grad, other.grad.numpy())


def test_norm_of_two_dtypes_and_without_the_frozen():
    parameters = [
        nn.Parameter(np.zeros(3, np.float32)),
        nn.Parameter(np.zeros(4)),
        nn.Parameter([0.0]),
    ]
    for p in parameters:
        p.grad[...] = 2
    parameters[2].requires_grad_(False)
    assert nn.utils.clip_grad_norm_(parameters * 2, 1.0) == pytest.approx(math.sqrt(28))
    assert parameters[2].grad[0] == 2
    np.testing.assert_allclose(parameters[1].grad, 2 / math.sqrt(28), rtol=1e-6)
    assert nn.utils.clip_grad_norm_([], 1.0) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite(model, bad):
    for p in model.parameters():
        p.grad[...] = 1
    model[2].bias.grad[1] = bad
    before = [p.grad.copy() for p in model.parameters()]
    with pytest.raises(ValueError, match=r"the gradient of 2\.bias must be finite"):
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
    for p, old in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.grad, old)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    rest = model[0].bias.grad
    assert np.isnan(rest).all() if np.isnan(bad) else not rest.any()


P = nn.Parameter([1.0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: nn.utils.clip_grad_norm_(P, -1),
            ValueError,
            "max_norm must be at least 0, got -1",
        ),
        (lambda: nn.utils.clip_grad_norm_(P, np.nan), ValueError, "max_norm must be at least 0"),
        (lambda: nn.utils.clip_grad_norm_(P, "1"), TypeError, "max_norm must be a number, got '1'"),
        (
            lambda: nn.utils.clip_grad_norm_(P, 1, 0),
            ValueError,
            "norm_type must be positive, got 0",
        ),
        (
            lambda: nn.utils.clip_grad_norm_(nn.Linear(1, 1), 1),
            TypeError,
            r"parameters must be Parameters, got a Linear: write model\.parameters\(\)",
        ),
        (
            lambda: nn.utils.clip_grad_value_([P, 3], 1),
            TypeError,
            r"clip_grad_value_: parameters\[1\] must be a Parameter, got int",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- as options


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("limits", [{"max_grad_norm": 0.03}, {"max_grad_value": 0.02}])
def test_options_are_the_functions_and_compiled_steps_honour_them(rule, limits, model, rng):
    by_hand, compiled = copy.deepcopy(model), copy.deepcopy(model)
    x, y = batch(model, rng)
    loss_fn = nn.CrossEntropyLoss()
    own = RULES[rule](groups(model), **limits)
    step = nc.compile(compiled, nn.CrossEntropyLoss(), RULES[rule](groups(compiled), **limits))
    plain = RULES[rule](groups(by_hand))
    for _ in range(4):
        for net, optimizer in ((model, own), (by_hand, plain)):
            net.zero_grad()
            loss_fn(net(x), y)
            net.backward(loss_fn.backward())
            if net is by_hand and "max_grad_norm" in limits:
                norm = nn.utils.clip_grad_norm_(net.parameters(), 0.03)
                assert norm > 0.03
            elif net is by_hand:
                nn.utils.clip_grad_value_(net.parameters(), 0.02)
            optimizer.step()
        step(x, y)
    # Two groups make two sums: within a rounding of the norm of all at once.
    bound = 1e-12 if model.dtype == np.float64 else 1e-5
    for p, other, third in zip(
        model.parameters(), by_hand.parameters(), compiled.parameters(), strict=True
    ):
        np.testing.assert_allclose(p.data, other.data, rtol=bound, atol=bound)
        np.testing.assert_array_equal(p.data, third.data)


def test_options_may_change_at_any_time(model, rng):
    x, y = batch(model, rng)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    step = nc.compile(model, nn.CrossEntropyLoss(), optimizer)

    def length():
        before = [p.data.copy() for p in model.parameters()]
        step(x, y)
        pairs = zip(model.parameters(), before, strict=True)
        return math.sqrt(sum(((p.data - old) ** 2).sum() for p, old in pairs))

    assert length() > 0.1
    optimizer.max_grad_norm = 0.01
    assert length() == pytest.approx(0.01, rel=1e-3)
    optimizer.max_grad_norm = None
    assert length() > 0.1
    with pytest.raises(ValueError, match="SGD: max_grad_norm must be positive, or None, got 0"):
        optimizer.max_grad_norm = 0
    assert optimizer.max_grad_norm is None


@pytest.mark.parametrize("rule", RULES)
def test_a_compiled_step_names_what_is_not_finite(rule, model, rng):
    x, y = batch(model, rng)
    optimizer = RULES[rule](model.parameters(), error_if_nonfinite=True)
    step = nc.compile(model, nn.CrossEntropyLoss(), optimizer)
    step(x, y)
    before = [p.data.copy() for p in model.parameters()], optimizer.state_dict()["state"]
    x[3, 2] = np.nan
    message = r"Step: the gradient of 0\.weight must be finite, got NaN or infinity"
    for run in (lambda: step(x, y), lambda: step.epoch(x, y, batch_size=len(x))):
        with pytest.raises(ValueError, match=message):
            run()
        for p, old in zip(model.parameters(), before[0], strict=True):
            np.testing.assert_array_equal(p.data, old)
    step.gradients(x, y)
    with pytest.raises(ValueError, match=r"the gradient of 0\.weight must be finite"):
        optimizer.step()
    for number, entry in optimizer.state_dict()["state"].items():
        for key, value in entry.items():
            np.testing.assert_array_equal(value, before[1][number][key])


def test_copies_keep_the_options(model):
    optimizer = optim.Adam(model.parameters(), max_grad_norm=2.0, error_if_nonfinite=True)
    twin = copy.deepcopy(optimizer)
    assert (twin.max_grad_norm, twin.max_grad_value, twin.error_if_nonfinite) == (2.0, None, True)
