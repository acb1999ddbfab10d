"""State of optimisers: PyTorch's form, both ways, all or nothing."""

import numpy as np
import pytest

from nncore import nn, optim

RULES = {
    "plain": ("SGD", {"lr": 0.1}),
    "sgd": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "adam": ("Adam", {"lr": 0.01}),
    "adamw": ("AdamW", {"lr": 0.01}),
    "amsgrad": ("Adam", {"lr": 0.01, "amsgrad": True}),
    "rmsprop": ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True}),
    "centered": ("RMSprop", {"lr": 0.01, "centered": True}),
    "adagrad": ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.5}),
}
SHAPES = [(((3, 2), (2,)), {}), (((4,),), {"lr": 0.03})]


@pytest.fixture(params=RULES.values(), ids=RULES)
def pair(request, pairs, dtype, rng):
    return pairs(*request.param, SHAPES, dtype, rng)


def to_torch(state, torch):
    def convert(entry):
        return {
            key: torch.from_numpy(value)
            if isinstance(value, np.ndarray)
            else torch.tensor(float(value))
            for key, value in entry.items()
        }

    return {number: convert(entry) for number, entry in state["state"].items()}


def test_form_is_pytorchs(pair):
    assert pair.ours.state_dict()["state"] == {}
    for _ in range(3):
        pair.step()
    ours, theirs = pair.ours.state_dict(), pair.theirs.state_dict()
    assert [g["params"] for g in ours["param_groups"]] == [[0, 1], [2]]
    for group, other in zip(ours["param_groups"], theirs["param_groups"], strict=True):
        assert {key: other[key] for key in group} == group
    kept = {n: e for n, e in theirs["state"].items() if any(v is not None for v in e.values())}
    assert list(ours["state"]) == list(kept)
    for number, entry in kept.items():
        for key, value in entry.items():
            np.testing.assert_allclose(
                ours["state"][number][key], value.numpy(), rtol=1e-4, atol=1e-6
            )


def test_is_a_snapshot(pair):
    pair.step()
    state = pair.ours.state_dict()
    kept = {n: {k: np.array(v) for k, v in e.items()} for n, e in state["state"].items()}
    pair.step()
    for number, entry in kept.items():
        for key, value in entry.items():
            np.testing.assert_array_equal(state["state"][number][key], value)


def test_goes_on_from_pytorchs_state(pair, pairs, dtype, rng):
    for _ in range(3):
        pair.step()
    numbers = {"lr": 1.0}
    fresh = pairs(type(pair.ours).__name__, numbers, SHAPES, dtype, rng)
    for p, other, given in zip(fresh.parameters, fresh.others, pair.others, strict=True):
        p.data[...] = given.detach().numpy()
        other.data.copy_(given)
    fresh.ours.load_state_dict(pair.theirs.state_dict())
    fresh.theirs.load_state_dict(pair.theirs.state_dict())
    for _ in range(3):
        fresh.step()
    fresh.check()
    assert fresh.ours.param_groups[1]["lr"] == 0.03


def test_pytorch_goes_on_from_ours(pair, torch, pairs, dtype, rng):
    for _ in range(3):
        pair.step()
    state = pair.ours.state_dict()
    theirs = pair.theirs.state_dict()
    pair.theirs.load_state_dict({**theirs, "state": to_torch(state, torch)})
    for _ in range(3):
        pair.step()
    pair.check()


def test_ours_to_ours_is_exact(pair, pairs, dtype, rng):
    for _ in range(3):
        pair.step()
    other = pairs(type(pair.ours).__name__, {"lr": 1.0}, SHAPES, dtype, rng)
    for p, given in zip(other.parameters, pair.parameters, strict=True):
        p.data[...] = given.data
    other.ours.load_state_dict(pair.ours.state_dict())
    for _ in range(3):
        for p, given in zip(pair.parameters, other.parameters, strict=True):
            given.grad[...] = p.grad[...] = rng.standard_normal(p.shape)
        pair.ours.step()
        other.ours.step()
    for p, given in zip(pair.parameters, other.parameters, strict=True):
        np.testing.assert_array_equal(p.data, given.data)


def test_state_arrays_stay_the_same_objects(pairs, dtype, rng):
    pair = pairs("Adam", {}, SHAPES, dtype, rng)
    pair.step()
    arrays = {p: dict(pair.ours._arrays[p]) for p in pair.parameters}
    state = pair.ours.state_dict()
    pair.step()
    pair.ours.load_state_dict(state)
    pair.step()
    for p, own in arrays.items():
        assert all(pair.ours._arrays[p][name] is array for name, array in own.items())
        assert all(array.ctypes.data % 64 == 0 for array in own.values())


FAULTS = [
    (
        lambda s: s["state"][0].update(exp_avg=np.ones(5)),
        ValueError,
        r"state\[0\]\['exp_avg'\] has shape",
    ),
    (lambda s: s["state"][0].update(exp_avg=np.ones((3, 2), int)), ValueError, "has dtype int64"),
    (
        lambda s: s["state"][1].pop("exp_avg_sq"),
        ValueError,
        r"state\[1\] lacks one of exp_avg, exp_avg_sq",
    ),
    (
        lambda s: s["state"][0].update(step=1.5),
        ValueError,
        r"state\[0\]\['step'\] must be a whole number",
    ),
    (
        lambda s: s["state"][0].update(step=-1),
        ValueError,
        r"state\[0\]\['step'\] must be a whole number",
    ),
    (lambda s: s["param_groups"][1].update(lr=-1), ValueError, "Adam: lr must be at least 0"),
    (lambda s: s["param_groups"][1].update(betas=3), ValueError, "Adam: betas must be two numbers"),
    (
        lambda s: s["param_groups"][0].update(amsgrad=True),
        ValueError,
        r"state\[0\] lacks one of exp_avg, exp_avg_sq, max_exp_avg_sq",
    ),
    (
        lambda s: s["param_groups"][0].update(params=[0]),
        ValueError,
        r"groups of \[1, 1\] parameters",
    ),
    (lambda s: s["param_groups"].pop(), ValueError, r"groups of \[2\] parameters, .* has \[2, 1\]"),
    (
        lambda s: s["param_groups"][0].update(maximize=3),
        TypeError,
        "maximize must be a bool, got 3",
    ),
    (lambda s: s.pop("state"), TypeError, "must be a mapping with 'state' and 'param_groups'"),
]


@pytest.mark.parametrize(("spoil", "error", "message"), FAULTS)
def test_what_does_not_fit_changes_nothing(spoil, error, message, pairs, rng):
    pair = pairs("Adam", {}, SHAPES, np.float64, rng)
    pair.step()
    state = pair.ours.state_dict()
    pair.step()
    before = pair.ours.state_dict()
    spoil(state)
    with pytest.raises(error, match=message):
        pair.ours.load_state_dict(state)
    after = pair.ours.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for number, entry in before["state"].items():
        for key, value in entry.items():
            np.testing.assert_array_equal(after["state"][number][key], value)


def test_all_faults_are_listed(pairs, rng):
    pair = pairs("Adam", {}, SHAPES, np.float64, rng)
    pair.step()
    state = pair.ours.state_dict()
    for entry in state["state"].values():
        entry["exp_avg"] = np.ones(7)
    with pytest.raises(ValueError, match=r"state\[0\].*; state\[1\].*; state\[2\]"):
        pair.ours.load_state_dict(state)


@pytest.mark.parametrize(
    ("rule", "numbers"),
    [
        ("SGD", {"momentum": 0.5}),
        ("Adam", {}),
        ("Adagrad", {"initial_accumulator_value": 0.5}),
        ("Lion", {}),
    ],
)
def test_loading_no_state_starts_anew(rule, numbers, rng):
    own = nn.Parameter(rng.standard_normal((3, 2)))
    optimizer = getattr(optim, rule)([own], lr=0.1, **numbers)
    start = optimizer.state_dict()
    own.grad[...] = rng.standard_normal(own.shape)
    optimizer.step()
    optimizer.load_state_dict(start)
    p = nn.Parameter(own.data)
    p.grad[...] = own.grad
    optimizer.step()
    getattr(optim, rule)([p], lr=0.1, **numbers).step()
    np.testing.assert_array_equal(own.data, p.data)
