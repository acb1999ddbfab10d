"""Copies of models in memory, and models of another dtype."""

import copy
import pickle

import numpy as np
import pytest

from nncore import nn

WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda model: pickle.loads(pickle.dumps(model))}


@pytest.fixture(params=WAYS)
def copied(request):
    return WAYS[request.param]


def test_same_values_other_arrays_no_record(mlp, dtype, copied):
    x = np.ones((2, 4), dtype)
    y = mlp(x)
    mlp.backward(np.ones((2, 3), dtype))
    mlp(x)
    other = copied(mlp)
    with pytest.raises(RuntimeError):
        other.backward(np.ones((2, 3), dtype))
    assert [n for n, _ in other.named_parameters()] == [n for n, _ in mlp.named_parameters()]
    for ours, theirs in zip(mlp.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)
        assert not np.shares_memory(ours.data, theirs.data)
        assert not theirs.grad.any()
        assert ours.grad.any()
    np.testing.assert_array_equal(other(x), y)
    other[0].weight.data[...] = 0
    np.testing.assert_array_equal(mlp(x), y)


def test_modes_and_frozen_parameters_are_kept(mlp, copied):
    mlp[0].freeze()
    mlp.eval()
    other = copied(mlp)
    assert not any(module.training for module in other.modules())
    assert [p.requires_grad for p in other.parameters()] == [False, False, True, True]


def test_sharing_is_kept(dtype, copied):
    layer = nn.Linear(3, 3, dtype=dtype)
    tied = nn.Linear(3, 3, dtype=dtype)
    tied.weight = layer.weight
    other = copied(nn.Sequential(layer, tied, layer))
    assert other[0] is other[2]
    assert other[0].weight is other[1].weight
    assert len(list(other.parameters())) == 3


def test_losses_copy_without_their_record(copied, dtype):
    loss_fn = nn.MSELoss()
    loss_fn(np.ones(2, dtype), np.zeros(2, dtype))
    with pytest.raises(RuntimeError):
        copied(loss_fn).backward()
    assert loss_fn.backward().shape == (2,)


def test_astype_is_a_new_model(mlp, dtype):
    other_dtype = np.float32 if dtype is np.float64 else np.float64
    mlp[0].bias.requires_grad = False
    mlp[1].eval()
    other = mlp.astype(other_dtype)
    assert other.dtype == other_dtype
    assert mlp.dtype == dtype
    assert not other[0].bias.requires_grad
    assert not other[1].training
    for ours, theirs in zip(mlp.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(ours.data.astype(other_dtype), theirs.data)
        assert theirs.grad.dtype == other_dtype
    assert other(np.ones((2, 4))).dtype == other_dtype
    same = mlp.astype(dtype)
    assert same is not mlp
    assert not np.shares_memory(same[0].weight.data, mlp[0].weight.data)


def test_astype_keeps_sharing_and_checks_the_dtype(mlp):
    layer = nn.Linear(3, 3)
    other = nn.Sequential(layer, layer).astype("float64")
    assert other[0] is other[1]
    with pytest.raises(TypeError, match="Sequential: dtype must be float32 or float64, got 'int8'"):
        mlp.astype("int8")
