"""state_dict and load_state_dict: copies by name, all or nothing."""

from types import SimpleNamespace

import numpy as np
import pytest

from nncore import nn


def snapshot(model):
    return {name: p.data.tobytes() for name, p in model.named_parameters()}


def test_is_a_snapshot(mlp):
    state = mlp.state_dict()
    kept = state["0.weight"].copy()
    mlp[0].weight.data += 1
    np.testing.assert_array_equal(state["0.weight"], kept)
    state["0.weight"][...] = 9
    assert (mlp[0].weight.data == kept + 1).all()


def test_loads_in_place(mlp):
    other = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).astype(mlp.dtype)
    arrays = [(p.data, p.grad) for p in other.parameters()]
    result = other.load_state_dict(mlp.state_dict())
    assert result == ([], [])
    assert snapshot(other) == snapshot(mlp)
    for p, (data, grad) in zip(other.parameters(), arrays, strict=True):
        assert p.data is data
        assert p.grad is grad


def test_takes_pytorchs_tensors_and_any_floating_dtype(mlp, torch, dtype):
    other = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    mlp.load_state_dict(other.state_dict())
    for name, p in mlp.named_parameters():
        np.testing.assert_array_equal(p.data, other.state_dict()[name].numpy().astype(dtype))
    mlp[0].weight.data[...] = 0
    mlp.load_state_dict(dict(other.named_parameters()))
    assert mlp[0].weight.data.any()
    mlp.load_state_dict({n: p.data[...].tolist() for n, p in mlp.named_parameters()})


def test_torch_views_see_what_is_loaded(mlp, torch):
    view = torch.from_numpy(mlp[0].weight.data)
    mlp.load_state_dict({name: np.ones_like(a) for name, a in mlp.state_dict().items()})
    assert bool((view == 1).all())


def test_all_faults_are_listed_and_nothing_is_loaded(mlp):
    before = snapshot(mlp)
    state = mlp.state_dict()
    for array in state.values():
        array += 1
    del state["0.bias"]
    state["2.weight"] = np.ones((3, 9))
    state["2.bias"] = np.arange(3)
    state["3.weight"] = np.ones(2)
    with pytest.raises(ValueError, match="Sequential: state_dict does not fit") as caught:
        mlp.load_state_dict(state)
    message = str(caught.value)
    for part in (
        "nothing was loaded",
        "0.bias is missing",
        "3.weight is unexpected",
        "2.weight has shape (3, 9), expected (3, 8)",
        "2.bias has dtype int64",
    ):
        assert part in message
    assert snapshot(mlp) == before


@pytest.mark.parametrize("bad", [np.ones(3, int), np.ones(3, complex), None, np.array(["a"] * 3)])
def test_wrong_dtypes_alone_are_a_type_error(mlp, bad):
    before = snapshot(mlp)
    state = mlp.state_dict()
    state["0.weight"] += 1
    with pytest.raises(TypeError, match=r"nothing was loaded: 2\.bias"):
        mlp.load_state_dict({**state, "2.bias": bad})
    assert snapshot(mlp) == before


def test_not_strict_takes_what_fits_by_name(mlp):
    state = mlp.state_dict()
    taken = {"0.weight": state["0.weight"] + 1, "body.weight": np.ones(3)}
    result = mlp.load_state_dict(taken, strict=False)
    assert result.missing_keys == ["0.bias", "2.weight", "2.bias"]
    assert result.unexpected_keys == ["body.weight"]
    np.testing.assert_array_equal(mlp[0].weight.data, taken["0.weight"])
    np.testing.assert_array_equal(mlp[2].bias.data, state["2.bias"])


def test_not_strict_leaves_out_other_shapes_and_says_so(mlp):
    before = mlp.state_dict()
    state = {"0.bias": np.ones(8), "0.weight": np.ones((4, 8)), "9.bias": np.ones(2)}
    result = mlp.load_state_dict(state, strict=False)
    assert result.taken == ["0.bias"]
    assert result.mismatched == {"0.weight": ((4, 8), (8, 4))}
    assert result == (["2.weight", "2.bias"], ["9.bias"])
    assert (mlp[0].bias.data == 1).all()
    np.testing.assert_array_equal(mlp[0].weight.data, before["0.weight"])
    assert str(result).splitlines() == [
        "taken: 1 of 4: 0.bias",
        "of another shape, left out: 0.weight (4, 8), expected (8, 4)",
        "missing, left as it was: 2.weight, 2.bias",
        "unexpected, left out: 9.bias",
    ]
    whole = mlp.load_state_dict(before)
    assert str(whole) == "taken: 4 of 4: 0.weight, 0.bias, 2.weight, 2.bias"


def test_not_strict_still_refuses_what_is_no_number(mlp):
    before = snapshot(mlp)
    state = {"0.bias": np.ones(8), "0.weight": np.ones((4, 8)), "2.bias": np.arange(3)}
    with pytest.raises(TypeError, match=r"nothing was loaded: 2\.bias has dtype int64"):
        mlp.load_state_dict(state, strict=False)
    assert snapshot(mlp) == before


def test_values_may_be_views_of_the_parameters_themselves(dtype):
    model = nn.Sequential(nn.Linear(3, 3, dtype=dtype), nn.Linear(3, 3, dtype=dtype))
    first, second = model[0].weight.data.copy(), model[1].weight.data.copy()
    state = model.state_dict()
    state["0.weight"], state["1.weight"] = model[1].weight.data.T, model[0].weight.data.T
    model.load_state_dict(state)
    np.testing.assert_array_equal(model[0].weight.data, second.T)
    np.testing.assert_array_equal(model[1].weight.data, first.T)


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ([], "list$"),
        (nn.ReLU(), r"ReLU: give its state_dict\(\)"),
        (SimpleNamespace(state_dict={}), "SimpleNamespace: give its state_dict$"),
    ],
)
def test_no_mapping(mlp, given, got):
    with pytest.raises(TypeError, match=f"Sequential: state_dict must be a mapping, got {got}"):
        mlp.load_state_dict(given)


def test_weights_travel_both_ways(mlp, torch, dtype, close, rng):
    other = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    other = other.to(torch.float64 if dtype is np.float64 else torch.float32)
    x = rng.standard_normal((6, 4)).astype(dtype)
    mlp.load_state_dict(other.state_dict())
    close(mlp(x), other(torch.from_numpy(x)).detach().numpy())
    mlp.reset_parameters(1)
    other.load_state_dict({name: torch.from_numpy(a) for name, a in mlp.state_dict().items()})
    close(mlp(x), other(torch.from_numpy(x)).detach().numpy())
