"""The generated sets: sizes, classes, shapes of the curves, seeds."""

import numpy as np
import pytest

from nncore import data

MAKERS = [data.make_moons, data.make_circles, data.make_spirals, data.make_xor]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_classes_seeds(make, dtype):
    x, y = make(101, seed=4, dtype=dtype)
    assert x.shape == (101, 2)
    assert x.dtype == dtype
    assert y.dtype == np.int64
    assert set(np.bincount(y)) <= {50, 51}
    again, _ = make(101, seed=4, dtype=dtype)
    np.testing.assert_array_equal(x, again)
    assert not np.array_equal(x, make(101, seed=5, dtype=dtype)[0])
    assert np.all(np.abs(x) < 3)


def test_points_without_noise_lie_on_the_curves():
    x, y = data.make_circles(50, 0.0, factor=0.25, dtype=np.float64)
    np.testing.assert_allclose(np.hypot(*x.T), np.where(y == 1, 0.25, 1.0), rtol=1e-12)
    x, y = data.make_xor(200, 0.0, dtype=np.float64)
    np.testing.assert_array_equal(y, (x[:, 0] * x[:, 1] < 0).astype(int))
    x, y = data.make_moons(200, 0.0, dtype=np.float64)
    centres = np.where(y[:, None] == 1, (1, 0.5), (0, 0))
    np.testing.assert_allclose(np.hypot(*(x - centres).T), 1, rtol=1e-12)
    assert np.all(x[y == 0, 1] >= 0)
    assert np.all(x[y == 1, 1] <= 0.5)
    x, y = data.make_spirals(30, 0.0, classes=3, dtype=np.float64)
    assert set(y) == {0, 1, 2}
    assert np.all(np.hypot(*x.T) <= 1)


def test_bad_arguments():
    with pytest.raises(ValueError, match="make_moons: count must be at least 1, got 0"):
        data.make_moons(0)
    with pytest.raises(TypeError, match="make_xor: count must be an integer"):
        data.make_xor(1.5)
    with pytest.raises(ValueError, match="noise must be a number from 0 on"):
        data.make_moons(3, float("nan"))
    with pytest.raises(ValueError, match="factor must be between 0 and 1"):
        data.make_circles(factor=1.0)
    with pytest.raises(TypeError, match="dtype must be"):
        data.make_spirals(dtype=np.int32)
