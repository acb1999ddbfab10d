"""The random stream: each element from its number alone, the distributions as they say."""

import numpy as np
import pytest

from nncore._core import engine

PINNED = [0.4141599301604051, 0.1562337720819702, 0.21264874964254898]


def test_the_same_numbers_for_the_same_key():
    a = engine.stream_uniform(7, "0.weight", 0, (3, 5), np.float64, 0, 1)
    assert a.shape == (3, 5)
    np.testing.assert_array_equal(
        a, engine.stream_uniform(7, "0.weight", 0, (3, 5), np.float64, 0, 1)
    )
    for other in ((8, "0.weight", 0), (7, "1.weight", 0), (7, "0.weight", 1)):
        assert (a != engine.stream_uniform(*other, (3, 5), np.float64, 0, 1)).all()


def test_pinned():
    """Weights of a seed stay the same from release to release."""
    values = engine.stream_uniform(0, "weight", 0, 3, np.float64, 0, 1)
    np.testing.assert_array_equal(values, PINNED)


@pytest.mark.parametrize("draw", [engine.stream_uniform, engine.stream_normal])
def test_a_shorter_array_is_the_beginning_of_a_longer(draw, dtype):
    longer = draw(1, "x", 2, 1001, dtype, 0.5, 2.0)
    for count in (0, 1, 2, 3, 500):
        np.testing.assert_array_equal(draw(1, "x", 2, count, dtype, 0.5, 2.0), longer[:count])


def test_float32_is_float64_rounded():
    wide = engine.stream_uniform(5, "w", 0, 1000, np.float64, -1, 1)
    np.testing.assert_array_equal(
        engine.stream_uniform(5, "w", 0, 1000, np.float32, -1, 1), wide.astype(np.float32)
    )


def test_uniform(dtype):
    values = engine.stream_uniform(3, "u", 0, 200_000, dtype, -2.0, 3.0)
    assert values.dtype == dtype
    assert values.min() >= -2
    assert values.max() < 3
    counts = np.histogram(values, bins=50, range=(-2, 3))[0]
    # 49 degrees of freedom: beyond 100 once in 10^5 streams; this one is fixed.
    assert ((counts - 4000) ** 2 / 4000).sum() < 100
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01


def test_uniform_never_reaches_its_upper_end():
    low, high = 1.0, float(np.nextafter(np.float32(1), np.float32(2)))
    assert (engine.stream_uniform(0, "u", 0, 1000, np.float32, low, high) == 1).all()


def test_normal(dtype):
    values = engine.stream_normal(3, "n", 0, 200_000, dtype, 1.0, 2.0).astype(np.float64)
    z = (values - 1) / 2
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
    assert abs((z**3).mean()) < 0.03
    assert abs((z**4).mean() - 3) < 0.1


def test_permutation():
    order = engine.stream_permutation(4, "shuffle", 0, 1000)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert (order != np.arange(1000)).mean() > 0.95
    assert engine.stream_permutation(4, "shuffle", 0, 0).shape == (0,)
    assert engine.stream_permutation(4, "shuffle", 0, 1).tolist() == [0]


def test_every_permutation_is_as_likely():
    seen = {}
    for call in range(6000):
        order = tuple(engine.stream_permutation(0, "shuffle", call, 3).tolist())
        seen[order] = seen.get(order, 0) + 1
    assert len(seen) == 6
    assert max(abs(count - 1000) for count in seen.values()) < 150


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (2**64, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_bad_seeds(seed, error):
    with pytest.raises(error, match="seed must be"):
        engine.stream_uniform(seed, "x", 0, 3, np.float32, 0, 1)
