"""`copy_from`: a copy, or a moving average; all or nothing."""

import copy
import pickle

import numpy as np
import pytest

from nncore import nn
from nncore.nn import structure


def net(seed, dtype=np.float32, outputs=2):
    model = nn.Sequential(
        nn.Linear(3, 4, dtype=dtype), nn.Tanh(), nn.Linear(4, outputs, dtype=dtype)
    )
    model.reset_parameters(seed)
    return model


def test_a_copy_by_default(dtype):
    own, source = net(1, dtype), net(2, dtype)
    arrays = [parameter.data for parameter in own.parameters()]
    own.copy_from(source)
    for parameter, array, other in zip(own.parameters(), arrays, source.parameters(), strict=True):
        assert parameter.data is array
        assert (array == other.data).all()


@pytest.mark.parametrize("tau", [0.0, 0.005, 0.5, np.float32(0.25), 1])
def test_a_moving_average(tau, dtype):
    own, source = net(1, dtype), net(2, dtype)
    expected = [p.data.astype(np.float64) for p in own.parameters()]
    for _ in range(3):
        own.copy_from(source, tau)
        expected = [
            w + float(tau) * (p.data - w)
            for w, p in zip(expected, source.parameters(), strict=True)
        ]
        source[0].weight.data[...] *= 1.5  # what is averaged is what is there now
    for parameter, values in zip(own.parameters(), expected, strict=True):
        assert np.allclose(parameter.data, values, rtol=1e-4 if dtype == np.float32 else 1e-12)
        assert (parameter.grad == 0).all()


def test_sources_and_structures_change():
    own, first, second = net(1), net(2), net(3)
    own.copy_from(first, 0.5)
    before = own[0].weight.data.copy()
    own.copy_from(second, 0.5)
    assert np.allclose(own[0].weight.data, (before + second[0].weight.data) / 2)
    second[0] = nn.Linear(3, 4)
    own.copy_from(second, 0.5)
    with pytest.raises(ValueError, match=r"2.weight has shape \(3, 4\), expected \(2, 4\)"):
        own.copy_from(net(3, outputs=3), 0.5)


def test_of_another_dtype():
    own, source = net(1), net(2, np.float64)
    own.copy_from(source, 0.5)
    source[0].weight.data[...] = 0
    before = own[0].weight.data.copy()
    own.copy_from(source, 0.5)
    assert np.allclose(own[0].weight.data, before / 2)
    own.copy_from(source)
    assert (own[0].weight.data == 0).all()


def test_shared_parameters():
    body = nn.Linear(3, 3)
    own, source = nn.Sequential(body, body, nn.Linear(3, 2)), None
    source = nn.Sequential(body, body, nn.Linear(3, 2))
    before, mean = body.weight.data.copy(), (own[2].weight.data + source[2].weight.data) / 2
    own.copy_from(source, 0.5)
    assert (body.weight.data == before).all()
    assert np.allclose(own[2].weight.data, mean, atol=1e-6)
    tied = nn.Sequential(body, body, nn.Linear(3, 2))
    loose = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    tied.copy_from(loose, 0.5)  # the last of its names counts, once
    assert np.allclose(body.weight.data, (before + loose[1].weight.data) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("source", "tau", "kind", "message"),
    [
        (None, 0.5, TypeError, "source must be a Module, got NoneType"),
        ({}, 0.5, TypeError, "source must be a Module, got dict"),
        (net(2), -0.1, ValueError, r"tau must be in \[0, 1\], got -0.1"),
        (net(2), float("nan"), ValueError, "tau must be in"),
        (net(2), True, TypeError, "tau must be a number, got True"),
        (net(2), "1", TypeError, "tau must be a number"),
        (nn.Linear(3, 4), 0.5, ValueError, "0.weight is missing.*weight is unexpected"),
        (net(2, outputs=3), 1.0, ValueError, r"2.weight has shape.*2.bias has shape \(3,\)"),
    ],
)
def test_what_is_refused_changes_nothing(source, tau, kind, message):
    own = net(1)
    before = own.state_dict()
    with pytest.raises(kind, match=rf"Sequential.copy_from: .*{message}"):
        own.copy_from(source, tau)
    for name, values in own.state_dict().items():
        assert (values == before[name]).all()


def test_leaves_structure_and_copies_alone():
    own, source = net(1), net(2)
    version = structure.version()
    own.copy_from(source, 0.5)
    own.copy_from(source, 0.5)
    assert structure.version() == version
    for other in (copy.deepcopy(own), pickle.loads(pickle.dumps(own))):
        other.copy_from(source, 0.25)
        assert (other[0].weight.data != own[0].weight.data).any()
