"""Optimisers as people use them: groups, names, errors; a step is all or nothing."""

import copy
import pickle

import numpy as np
import pytest

from nncore import nn, optim

OPTIMIZERS = {
    "sgd": lambda params, **k: optim.SGD(params, **{"momentum": 0.9, **k}),
    "plain": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
    "lion": optim.Lion,
}


@pytest.fixture(params=OPTIMIZERS)
def make(request):
    return OPTIMIZERS[request.param]


@pytest.fixture
def model(dtype):
    model = nn.Sequential(nn.Linear(3, 4, dtype=dtype), nn.Linear(4, 2, dtype=dtype))
    model.reset_parameters(1)
    return model


def snapshot(optimizer):
    """Every bit a step may change."""
    state = optimizer.state_dict()
    return (
        [p.data.tobytes() for g in optimizer.param_groups for p in g["params"]],
        {
            number: {k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in entry.items()}
            for number, entry in state["state"].items()
        },
        state["param_groups"],
    )


def fill(model, rng):
    for p in model.parameters():
        p.grad[...] = rng.standard_normal(p.shape)


def test_parameters_stay_the_same_arrays(make, model, rng):
    arrays = [(p.data, p.grad) for p in model.parameters()]
    optimizer = make(model.parameters(), lr=0.1)
    before = [data.copy() for data, _ in arrays]
    for _ in range(3):
        fill(model, rng)
        optimizer.step()
    for p, (data, grad), old in zip(model.parameters(), arrays, before, strict=True):
        assert p.data is data
        assert p.grad is grad
        assert not np.array_equal(data, old)


def test_frozen_parameters_are_left_alone(make, model, rng):
    optimizer = make(model.parameters(), lr=0.1, weight_decay=0.1)
    model[0].freeze()
    frozen, trained = model[0].weight.data.copy(), model[1].weight.data.copy()
    fill(model, rng)
    optimizer.step()
    np.testing.assert_array_equal(model[0].weight.data, frozen)
    assert not np.array_equal(model[1].weight.data, trained)
    model.freeze()
    before = snapshot(optimizer)
    optimizer.step()
    assert snapshot(optimizer) == before


def test_zero_grad(make, model, rng):
    optimizer = make(model.parameters())
    fill(model, rng)
    model[0].freeze()
    grad = model[1].weight.grad
    optimizer.zero_grad()
    assert not any(p.grad.any() for p in model.parameters())
    assert model[1].weight.grad is grad


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_error_if_nonfinite_is_all_or_nothing(make, model, rng, bad):
    groups = [{"params": layer.parameters()} for layer in model]
    for optimizer, name in (
        (make(model.parameters()), r"1\.bias"),
        (make(model.named_parameters()), r"1\.bias"),
        (make(groups), "bias"),
        (make(list(model.parameters())), r"param_groups\[0\]\['params'\]\[3\]"),
    ):
        for _ in range(2):
            fill(model, rng)
            optimizer.step(error_if_nonfinite=True)
        fill(model, rng)
        model[1].bias.grad[-1] = bad
        before = snapshot(optimizer)
        kind = type(optimizer).__name__
        message = f"{kind}: the gradient of {name} must be finite, got NaN or infinity"
        with pytest.raises(ValueError, match=message):
            optimizer.step(error_if_nonfinite=True)
        assert snapshot(optimizer) == before


def test_a_frozen_parameter_may_have_any_gradient(make, model, rng):
    optimizer = make(model.parameters())
    fill(model, rng)
    model[0].weight.grad[...] = np.nan
    model[0].weight.requires_grad = False
    optimizer.step(error_if_nonfinite=True)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("lr", -1.0, ValueError),
        ("lr", np.nan, ValueError),
        ("lr", "0.1", TypeError),
        ("weight_decay", np.inf, ValueError),
    ],
)
def test_a_bad_number_stops_the_step_before_anything_changed(make, model, rng, key, value, error):
    optimizer = make([{"params": model[0].parameters()}, {"params": model[1].parameters()}])
    fill(model, rng)
    optimizer.step()
    before = snapshot(optimizer)
    good = optimizer.param_groups[1][key]
    optimizer.param_groups[1][key] = value
    with pytest.raises(error, match=f"{key} must be"):
        optimizer.step()
    optimizer.param_groups[1][key] = good
    assert snapshot(optimizer) == before


P = [nn.Parameter([1.0])]

CONSTRUCTIONS = [
    (lambda: optim.SGD(P, lr=-1), ValueError, "SGD: lr must be at least 0 and finite, got -1"),
    (lambda: optim.SGD(P, lr=np.nan), ValueError, "SGD: lr must be at least 0 and finite, got nan"),
    (lambda: optim.SGD(P, lr=np.inf), ValueError, "SGD: lr must be at least 0 and finite, got inf"),
    (lambda: optim.SGD(P, lr=None), TypeError, "SGD: lr must be a number, got None"),
    (lambda: optim.SGD(P, lr=True), TypeError, "SGD: lr must be a number, got True"),
    (lambda: optim.SGD(P, momentum=-0.5), ValueError, "SGD: momentum must be at least 0"),
    (lambda: optim.SGD(P, weight_decay=-1), ValueError, "SGD: weight_decay must be at least 0"),
    (
        lambda: optim.SGD(P, nesterov=True),
        ValueError,
        "SGD: nesterov needs momentum and no dampening, got momentum=0, dampening=0",
    ),
    (lambda: optim.SGD(P, momentum=0.9, dampening=0.1, nesterov=True), ValueError, "no dampening"),
    (lambda: optim.Adam(P, lr=-1), ValueError, "Adam: lr must be at least 0 and finite, got -1"),
    (lambda: optim.AdamW(P, lr=-1), ValueError, "AdamW: lr must be at least 0 and finite"),
    (lambda: optim.Adam(P, eps=-1), ValueError, "Adam: eps must be at least 0"),
    (
        lambda: optim.Adam(P, betas=(1.0, 0.9)),
        ValueError,
        r"Adam: betas\[0\] must be in \[0, 1\), got 1.0",
    ),
    (lambda: optim.Adam(P, betas=(0.9, -0.1)), ValueError, r"Adam: betas\[1\] must be in \[0, 1\)"),
    (lambda: optim.Adam(P, betas=0.9), ValueError, r"Adam: betas must be two numbers in \[0, 1\)"),
    (lambda: optim.RMSprop(P, alpha=-1), ValueError, "RMSprop: alpha must be at least 0"),
    (lambda: optim.RMSprop(P, centered=2), TypeError, "RMSprop: centered must be a bool, got 2"),
    (lambda: optim.Adagrad(P, lr_decay=-1), ValueError, "Adagrad: lr_decay must be at least 0"),
    (lambda: optim.Lion(P, betas=(0.9, 1.0)), ValueError, r"Lion: betas\[1\] must be in \[0, 1\)"),
    (lambda: optim.Adam(P, amsgrad="no"), TypeError, "Adam: amsgrad must be a bool, got 'no'"),
    (lambda: optim.SGD(P, max_grad_norm=0), ValueError, "SGD: max_grad_norm must be positive"),
    (lambda: optim.SGD(P, max_grad_value="1"), TypeError, "SGD: max_grad_value must be a number"),
    (
        lambda: optim.SGD(P, lr=1, rate=2),
        TypeError,
        "SGD: got unexpected arguments rate, expected lr, momentum, .*, max_grad_norm",
    ),
    (lambda: optim.SGD([]), ValueError, "SGD: params is empty, expected parameters to train"),
    (lambda: optim.SGD(nn.ReLU().parameters()), ValueError, "SGD: params is empty"),
    (
        lambda: optim.SGD(nn.Linear(1, 1)),
        TypeError,
        r"SGD: params must be parameters, got a Linear: write SGD\(model\.parameters\(\)\)",
    ),
    (lambda: optim.SGD(P[0]), TypeError, "SGD: params must be an iterable of Parameters"),
    (lambda: optim.SGD({"params": P}), TypeError, "iterable of Parameters, got dict"),
    (lambda: optim.SGD(3), TypeError, "SGD: params must be an iterable of Parameters, got int"),
    (
        lambda: optim.SGD([np.ones(2)]),
        TypeError,
        r"SGD: param_groups\[0\]\['params'\]\[0\] must be a Parameter, got ndarray",
    ),
    (lambda: optim.SGD([P[0], P[0]]), ValueError, r"params'\]\[1\] is in the optimizer twice"),
    (lambda: optim.SGD([{"params": P}, {"params": P}]), ValueError, "is in the optimizer twice"),
    (
        lambda: optim.SGD([{"params": P, "beta": 1}]),
        ValueError,
        "SGD: a parameter group has unknown keys beta, expected lr, momentum",
    ),
    (lambda: optim.SGD([{"lr": 1}]), TypeError, "must be a dict with 'params'"),
    (lambda: optim.SGD([{"params": P, "lr": -2}]), ValueError, "SGD: lr must be at least 0"),
]


@pytest.mark.parametrize(("build", "error", "message"), CONSTRUCTIONS)
def test_construction(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_defaults_and_groups_are_pytorchs(torch, make, model):
    optimizer = make(model.parameters())
    if isinstance(optimizer, optim.Lion):
        return  # PyTorch has none
    other = getattr(torch.optim, type(optimizer).__name__)([torch.nn.Parameter(torch.ones(2))])
    (group,), (theirs,) = optimizer.param_groups, other.param_groups
    for key in optimizer.defaults:
        if key != "momentum":
            assert group[key] == theirs[key], key
    assert group["params"] == list(model.parameters())
    assert group["param_names"] == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_a_refused_group_changes_nothing(make, model):
    optimizer = make(model[0].parameters())
    with pytest.raises(ValueError, match="twice"):
        optimizer.add_param_group({"params": [model[1].weight, model[0].weight]})
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": model[1].weight})
    assert optimizer.param_groups[1]["params"] == [model[1].weight]


def test_copies_go_on_as_the_original(make, model, rng):
    optimizer = make(model.parameters(), lr=0.1)
    for _ in range(2):
        fill(model, rng)
        optimizer.step()
    twin = copy.deepcopy((model, optimizer))
    revived = pickle.loads(pickle.dumps((model, optimizer)))
    for own_model, own in ((model, optimizer), twin, revived):
        fill(own_model, np.random.default_rng(3))
        own.step()
        assert snapshot(own) == snapshot(optimizer)
    assert not np.shares_memory(twin[0][0].weight.data, model[0].weight.data)


def test_repr_names_the_numbers():
    text = repr(optim.SGD(P, lr=0.25, momentum=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0.0\n    lr: 0.25\n")
