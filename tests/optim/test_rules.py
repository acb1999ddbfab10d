"""Update rules beside PyTorch's, through everything that may happen between two steps."""

import numpy as np
import pytest

from nncore import nn, optim, reference

SHAPES = [((3, 5), (5,), (1,), (0, 2), (2, 3, 4, 1)), {}]

RULES = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd decay": ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    "sgd momentum": ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}),
    "sgd dampening": ("SGD", {"lr": 0.05, "momentum": 0.8, "dampening": 0.3}),
    "sgd nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02}),
    "sgd default": ("SGD", {}),
    "adam": ("Adam", {"lr": 0.01}),
    "adam decay": ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-5, "weight_decay": 0.1}),
    "adam no betas": ("Adam", {"lr": 0.01, "betas": (0.0, 0.0)}),
    "adamw": ("AdamW", {"lr": 0.01, "weight_decay": 0.2}),
    "adamw default": ("AdamW", {}),
    "amsgrad": ("Adam", {"lr": 0.01, "amsgrad": True, "maximize": True}),
    "adamw amsgrad": ("AdamW", {"lr": 0.01, "amsgrad": True, "betas": (0.9, 0.9)}),
    "sgd maximize": ("SGD", {"lr": 0.05, "momentum": 0.9, "maximize": True, "weight_decay": 0.02}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop momentum": ("RMSprop", {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}),
    "rmsprop centered": ("RMSprop", {"lr": 0.02, "centered": True, "alpha": 0.9, "eps": 1e-4}),
    "rmsprop all": ("RMSprop", {"momentum": 0.5, "centered": True, "maximize": True}),
    "adagrad": ("Adagrad", {"lr": 0.1}),
    "adagrad all": (
        "Adagrad",
        {
            "lr": 0.1,
            "lr_decay": 0.1,
            "weight_decay": 0.1,
            "initial_accumulator_value": 0.5,
            "eps": 1e-6,
            "maximize": True,
        },
    ),
}


@pytest.fixture(params=RULES.values(), ids=RULES)
def pair(request, pairs, dtype, rng):
    return pairs(*request.param, [SHAPES], dtype, rng)


def test_fifty_steps(pair):
    for _ in range(50):
        pair.step()
    pair.check()


@pytest.mark.parametrize("lr", [0.01, 0.0])
@pytest.mark.parametrize("rule", ["Adam", "RMSprop", "Adagrad"])
def test_gradients_of_every_size(isa, torch, dtype, rule, lr):
    """Squares that overflow, vanish or are not numbers, in whole vectors and in tails."""
    largest = np.finfo(dtype).max
    sizes = [largest, -largest / 7, largest**0.5, 1e19, 1, 5e-8, -1e-20, 1e-30, 0, np.inf, np.nan]
    grad = np.resize(np.array(sizes, dtype), 43)
    value = np.linspace(-1, 1, 43).astype(dtype)
    ours, theirs = nn.Parameter(value), torch.nn.Parameter(torch.from_numpy(value.copy()))
    theirs.grad = torch.from_numpy(grad.copy())
    optimizers = getattr(optim, rule)([ours], lr=lr), getattr(torch.optim, rule)([theirs], lr=lr)
    for _ in range(3):
        ours.grad[...] = grad
        for optimizer in optimizers:
            optimizer.step()
    np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("eps", [1e-36, 1e-38, 1e-42])
def test_smallest_eps(isa, eps):
    """A weight that has had no gradient stays, also where eps and its factor are subnormal."""
    param = nn.Parameter(np.linspace(-1, 1, 37, dtype=np.float32))
    optimizer = optim.Adam([param], eps=eps, betas=(0.9, 0.99999))
    before = param.data.copy()
    for _ in range(2):
        optimizer.step()
    np.testing.assert_array_equal(param.data, before)


def test_numbers_are_read_at_each_step(pair):
    for i in range(12):
        for optimizer in (pair.ours, pair.theirs):
            optimizer.param_groups[0]["lr"] = 0.1 / (i + 1)
            optimizer.param_groups[0]["weight_decay"] = 0.01 * i
        pair.step()
    pair.check()


def test_betas_that_change_in_place(pairs, dtype, rng):
    pair = pairs("Adam", {"lr": 0.02}, [SHAPES], dtype, rng)
    for optimizer in (pair.ours, pair.theirs):
        optimizer.param_groups[0]["betas"] = [0.9, 0.99]
    for i in range(6):
        for optimizer in (pair.ours, pair.theirs):
            optimizer.param_groups[0]["betas"][0] = 0.9 - 0.1 * i
        pair.step()
    pair.check()


def test_freezing_and_thawing(pair):
    for i in range(12):
        pair.parameters[0].requires_grad = i >= 4
        pair.parameters[4].requires_grad = not 3 <= i < 8
        pair.step()
    pair.check()


def test_groups(pairs, dtype, rng):
    groups = [
        (((3, 2), (2,)), {"lr": 0.1}),
        (((4,),), {"momentum": 0.0, "weight_decay": 0.1}),
        (((2, 2),), {"nesterov": True}),
    ]
    pair = pairs("SGD", {"lr": 0.01, "momentum": 0.9}, groups, dtype, rng)
    for _ in range(10):
        pair.step()
    pair.check()


def test_a_group_that_is_added_later(pairs, torch, dtype, rng):
    pair = pairs("Adam", {"lr": 0.02}, [(((3, 2),), {})], dtype, rng)
    for _ in range(3):
        pair.step()
    value = rng.standard_normal(4).astype(dtype)
    pair.parameters.append(nn.Parameter(value))
    pair.others.append(torch.nn.Parameter(torch.from_numpy(value.copy())))
    pair.ours.add_param_group({"params": pair.parameters[1:], "lr": 0.1})
    pair.theirs.add_param_group({"params": pair.others[1:], "lr": 0.1})
    for _ in range(3):
        pair.step()
    pair.check()


@pytest.mark.parametrize("dampening", [0.0, 0.5])
def test_momentum_switched_on_and_off(pairs, dtype, rng, dampening):
    pair = pairs("SGD", {"lr": 0.05, "dampening": dampening}, [SHAPES], dtype, rng)
    for i in range(12):
        for optimizer in (pair.ours, pair.theirs):
            optimizer.param_groups[0]["momentum"] = 0.9 if 3 <= i < 6 or i >= 9 else 0.0
        pair.step()
        pair.check()


@pytest.mark.parametrize("maximize", [False, True])
def test_lion_is_its_papers(dtype, rng, maximize):
    numbers = {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.3}
    p = nn.Parameter(rng.standard_normal((5, 7)).astype(dtype))
    optimizer = optim.Lion([p], **numbers, maximize=maximize)
    expected, state = p.data.astype(np.float64), {}
    for _ in range(50):
        p.grad[...] = rng.standard_normal(p.shape)
        reference.lion_step(expected, (-1.0 if maximize else 1.0) * p.grad, state, **numbers)
        optimizer.step()
    bound = 1e-9 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(p.data, expected, rtol=bound, atol=bound)
    # No gradient, no mean: the sign of zero is zero.
    still = nn.Parameter([1.0, -1.0])
    optim.Lion([still], lr=0.5).step()
    np.testing.assert_array_equal(still.data, [1, -1])


def test_two_dtypes_in_one_group():
    params = [nn.Parameter(np.ones(3, np.float32)), nn.Parameter(np.ones(2, np.float64))]
    optimizer = optim.Adam(params, lr=0.5)
    for p in params:
        p.grad[...] = 1
    optimizer.step()
    for p in params:
        np.testing.assert_allclose(p.data, 0.5, rtol=1e-6)


def test_a_step_by_hand():
    p = nn.Parameter([1.0, -2.0], dtype=np.float64)
    p.grad[...] = [0.5, 0.25]
    optim.SGD([p], lr=0.1).step()
    np.testing.assert_allclose(p.data, [0.95, -2.025], rtol=1e-15)
    # The gradient is left for whoever wants to look at it.
    np.testing.assert_array_equal(p.grad, [0.5, 0.25])
