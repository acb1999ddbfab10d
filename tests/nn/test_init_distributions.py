"""Initialisers: moments, bounds, orthogonality, streams, PyTorch's gains and fans, errors."""

import math

import numpy as np
import pytest

from nncore import nn
from nncore.nn import init

# Of a Conv2d's weight: fan_in 24 * 6 = 144, fan_out 60 * 6 = 360.
SHAPE = (60, 24, 2, 3)
FAN_IN, FAN_OUT = 144, 360

DRAWN = {
    # What draws, the standard deviation it should have, the bound (None: none).
    "uniform_": (lambda p, **k: init.uniform_(p, -2.0, 2.0, **k), 4 / math.sqrt(12), 2.0),
    "normal_": (lambda p, **k: init.normal_(p, 0.0, 0.5, **k), 0.5, None),
    "trunc_normal_": (lambda p, **k: init.trunc_normal_(p, **k), 0.8796256610342398, 2.0),
    "xavier_uniform_": (
        lambda p, **k: init.xavier_uniform_(p, gain=2.0, **k),
        2 * math.sqrt(2 / (FAN_IN + FAN_OUT)),
        2 * math.sqrt(6 / (FAN_IN + FAN_OUT)),
    ),
    "xavier_normal_": (init.xavier_normal_, math.sqrt(2 / (FAN_IN + FAN_OUT)), None),
    "kaiming_uniform_": (
        lambda p, **k: init.kaiming_uniform_(p, a=1.0, **k),
        1 / math.sqrt(FAN_IN),
        math.sqrt(3 / FAN_IN),
    ),
    "kaiming_normal_": (
        lambda p, **k: init.kaiming_normal_(p, mode="fan_out", nonlinearity="relu", **k),
        math.sqrt(2 / FAN_OUT),
        None,
    ),
}


@pytest.fixture(params=DRAWN.values(), ids=DRAWN)
def case(request):
    return request.param


def test_moments_and_bounds(case, dtype):
    fill, std, bound = case
    p = nn.Parameter.zeros(SHAPE, dtype)
    data = p.data
    assert fill(p, seed=1, name="w") is p
    assert p.data is data
    # 8640 numbers: the mean within 4 of its own deviations, the deviation within 4 %.
    assert abs(data.mean()) < 4 * std / math.sqrt(data.size)
    assert data.std() == pytest.approx(std, rel=0.04)
    if bound is None:
        assert np.abs(data).max() > 2.5 * std
    else:
        assert 0.99 * bound < np.abs(data).max() <= dtype(bound)


def test_the_stream_is_given_by_seed_and_name(case):
    fill = case[0]
    p, q = nn.Parameter.zeros(SHAPE, np.float64), nn.Parameter.zeros(SHAPE, np.float32)
    first = fill(p, seed=1, name="w").data.copy()
    np.testing.assert_allclose(fill(q, seed=1, name="w").data, first, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(fill(p, seed=1, name="w").data, first)
    assert not np.array_equal(fill(p, seed=2, name="w").data, first)
    assert not np.array_equal(fill(p, seed=1, name="v").data, first)
    assert not np.array_equal(fill(p).data, fill(nn.Parameter.zeros(SHAPE, np.float64)).data)


@pytest.mark.parametrize(("a", "b"), [(-0.5, 3.0), (4.0, 6.0), (-9.0, -7.5), (-40.0, 40.0)])
def test_truncated_normal_of_any_interval(dtype, a, b):
    from statistics import NormalDist

    p = nn.Parameter.zeros((20000,), dtype)
    init.trunc_normal_(p, 1.0, 2.0, a, b, seed=3)
    assert a <= p.data.min()
    assert p.data.max() <= b
    normal = NormalDist(1.0, 2.0)
    for quantile in (0.25, 0.5, 0.9):
        low, high = normal.cdf(a), normal.cdf(b)
        expected = normal.inv_cdf(low + quantile * (high - low))
        assert np.quantile(p.data, quantile) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("shape", [(7, 7), (5, 9), (9, 5), (6, 2, 3, 2), (3, 2, 2)])
def test_orthogonal(shape, dtype):
    p = init.orthogonal_(nn.Parameter.zeros(shape, dtype), gain=2.0, seed=4)
    matrix = p.data.reshape(shape[0], -1).astype(np.float64)
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-6)
    again = init.orthogonal_(nn.Parameter.zeros(shape, dtype), gain=2.0, seed=4)
    np.testing.assert_array_equal(again.data, p.data)


def test_orthogonal_has_no_favourite_sign():
    """Q of a QR alone has: its diagonal would lean to one side."""
    signs = [
        init.orthogonal_(nn.Parameter.zeros((3, 3), np.float64), seed=s).data[0, 0] > 0
        for s in range(200)
    ]
    assert 70 < sum(signs) < 130


def test_constants(dtype):
    p = nn.Parameter.zeros((3, 5), dtype)
    assert (init.constant_(p, 0.25).data == 0.25).all()
    assert (init.ones_(p).data == 1).all()
    assert (init.zeros_(p).data == 0).all()
    np.testing.assert_array_equal(init.eye_(p).data, np.eye(3, 5))


GAINS = ["linear", "conv2d", "conv_transpose2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]


def test_gains_and_fans_are_pytorchs():
    torch = pytest.importorskip("torch")
    for name in GAINS:
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    for slope in (0, 0.2, 1.5):
        expected = torch.nn.init.calculate_gain("leaky_relu", slope)
        assert init.calculate_gain("leaky_relu", slope) == pytest.approx(expected)
    assert torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(SHAPE)) == (FAN_IN, FAN_OUT)


def test_nothing_to_fill(case):
    for shape in ((0, 3), (3, 0)):
        assert case[0](nn.Parameter.zeros(shape)).shape == shape
        assert init.orthogonal_(nn.Parameter.zeros(shape)).shape == shape


P = nn.Parameter.zeros((3, 4))

ERRORS = [
    (lambda: init.ones_(np.ones(3)), TypeError, "constant_: parameter must be a Parameter, got nd"),
    (lambda: init.constant_(P, "1"), TypeError, "constant_: val must be a number, got '1'"),
    (lambda: init.constant_(P, np.nan), ValueError, "constant_: val must be finite, got nan"),
    (lambda: init.eye_(nn.Parameter([1.0])), ValueError, r"eye_: parameter has shape \(1,\)"),
    (lambda: init.uniform_(P, 2, 1), ValueError, "uniform_: a must be at most b, got a=2, b=1"),
    (lambda: init.normal_(P, std=-1), ValueError, "normal_: std must be at least 0, got -1"),
    (lambda: init.normal_(P, seed=-1), ValueError, "normal_: seed must be 0 to"),
    (
        lambda: init.trunc_normal_(P, a=1, b=1),
        ValueError,
        "trunc_normal_: std must be positive and",
    ),
    (lambda: init.trunc_normal_(P, std=0), ValueError, "trunc_normal_: std must be positive and a"),
    (
        lambda: init.xavier_normal_(nn.Parameter([1.0])),
        ValueError,
        r"xavier_normal_: parameter has shape \(1,\), expected two axes or more",
    ),
    (lambda: init.xavier_uniform_(P, -1), ValueError, "xavier_uniform_: gain must be at least 0"),
    (lambda: init.kaiming_normal_(P, mode="fan"), ValueError, "mode must be 'fan_in' or 'fan_out'"),
    (lambda: init.kaiming_uniform_(P, nonlinearity="x"), ValueError, "nonlinearity must be one of"),
    (lambda: init.orthogonal_(nn.Parameter([1.0])), ValueError, "orthogonal_: parameter has shape"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors_change_nothing(call, error, message):
    before = P.data.copy()
    with pytest.raises(error, match=message):
        call()
    np.testing.assert_array_equal(P.data, before)
