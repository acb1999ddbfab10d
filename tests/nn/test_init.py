"""Initial values: PyTorch's distributions, from streams by seed and name."""

import numpy as np
import pytest

from nncore import nn


def values(model):
    return {name: p.data.copy() for name, p in model.named_parameters()}


LAYERS = {
    "linear": (lambda **k: nn.Linear(100, 80, **k), 100),
    "conv": (lambda **k: nn.Conv2d(8, 64, (3, 5), **k), 8 * 15),
    "groups": (lambda **k: nn.Conv2d(8, 64, 5, groups=4, **k), 2 * 25),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_distribution_is_pytorchs(make, dtype, torch):
    build, fan_in = make
    layer = build(dtype=dtype)
    bound = 1 / np.sqrt(fan_in)
    weight = np.concatenate(
        [build(seed=seed, dtype=dtype).weight.data.ravel() for seed in range(3)]
    )
    bias = np.concatenate([build(seed=seed, dtype=dtype).bias.data for seed in range(60)])
    for sample in (weight, bias):
        assert sample.dtype == dtype
        assert np.abs(sample).max() <= bound
        # The distance of the empirical distribution function from the uniform one (Kolmogorov's).
        ranks = (np.sort(sample) / bound + 1) / 2
        distance = np.abs(ranks - np.arange(sample.size) / sample.size).max()
        assert distance < 1.95 / np.sqrt(sample.size)
    # The same bound as PyTorch's own layer has.
    theirs = (
        torch.nn.Linear(100, 80)
        if isinstance(layer, nn.Linear)
        else torch.nn.Conv2d(8, 64, layer.kernel_size, groups=layer.groups)
    )
    assert bound * 0.95 < theirs.weight.detach().abs().max().item() <= bound * 1.000001
    assert bound * 0.8 < theirs.bias.detach().abs().max().item() <= bound * 1.000001


def test_seeds_reproduce_and_differ(dtype):
    first, same, other = (nn.Linear(5, 4, dtype=dtype, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.weight.data, same.weight.data)
    np.testing.assert_array_equal(first.bias.data, same.bias.data)
    assert not np.array_equal(first.weight.data, other.weight.data)
    first.reset_parameters(2)
    np.testing.assert_array_equal(first.weight.data, other.weight.data)


def test_without_a_seed_no_two_layers_are_alike():
    first, second = nn.Linear(5, 4), nn.Linear(5, 4)
    assert not np.array_equal(first.weight.data, second.weight.data)
    before = first.weight.data.copy()
    first.reset_parameters()
    assert not np.array_equal(first.weight.data, before)


def test_the_global_random_state_is_left_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    nn.Linear(4, 4)
    nn.Linear(4, 4, seed=3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_a_model_is_seeded_by_names():
    def model(*more):
        return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), *more)

    first, second, longer = model(), model(), model(nn.Linear(4, 4))
    for m in (first, second, longer):
        assert m.reset_parameters(5) is None
    a, b, c = values(first), values(second), values(longer)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
        np.testing.assert_array_equal(a[name], c[name])
    # Each parameter has a stream of its own.
    assert not np.array_equal(a["0.weight"], a["2.weight"])
    assert not np.array_equal(a["0.bias"], a["0.weight"][0])


def test_values_are_written_in_place():
    layer = nn.Linear(4, 4)
    data = layer.weight.data
    layer.reset_parameters(1)
    assert layer.weight.data is data


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (2**64, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_seeds_are_checked(seed, error):
    with pytest.raises(error, match="Linear: seed must be"):
        nn.Linear(2, 2, seed=seed)
    layer = nn.Linear(2, 2)
    before = layer.weight.data.copy()
    with pytest.raises(error, match="Linear: seed must be"):
        layer.reset_parameters(seed)
    np.testing.assert_array_equal(layer.weight.data, before)
    nn.Linear(2, 2, seed=2**64 - 1)
    nn.Linear(2, 2, seed=np.int64(3))


def test_uniform(dtype):
    parameter = nn.Parameter.zeros((50, 40), dtype)
    assert nn.init.uniform_(parameter, 2.0, 3.0, seed=1, name="w") is parameter
    assert 2 <= parameter.data.min() < 2.01
    assert 2.99 < parameter.data.max() <= 3
    first = parameter.data.copy()
    nn.init.uniform_(parameter, 2.0, 3.0, seed=1, name="v")
    assert not np.array_equal(parameter.data, first)


def test_no_inputs_no_spread():
    layer = nn.Linear(0, 3)
    assert layer.weight.shape == (3, 0)
    assert (layer.bias.data == 0).all()
