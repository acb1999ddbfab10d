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


M64 = 2**64 - 1


def mix(x):
    """Steele, Lea, Flood (2014)."""
    x = (x + 0x9E3779B97F4A7C15) & M64
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & M64
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & M64
    return x ^ x >> 31


def units(seed, name, call, count):
    """Elements 0 to count - 1 of a stream in [0, 1), from the definition: Philox4x32-10."""
    low32, shift = np.uint64(2**32 - 1), np.uint64(32)
    hashed = 0xCBF29CE484222325
    for byte in name.encode():
        hashed = ((hashed ^ byte) * 0x100000001B3) & M64
    key, nonce = mix(mix(seed) ^ hashed), mix(mix(hashed) ^ call)
    block = np.arange((count + 1) // 2, dtype=np.uint64)
    words = [block & low32, block >> shift]
    words += [np.full_like(block, nonce & 0xFFFFFFFF), np.full_like(block, nonce >> 32)]
    keys = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        first, second = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        words = [
            second >> shift ^ words[1] ^ np.uint64(keys[0]),
            second & low32,
            first >> shift ^ words[3] ^ np.uint64(keys[1]),
            first & low32,
        ]
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    bits = np.stack([words[1] << shift | words[0], words[3] << shift | words[2]], axis=1)
    return (bits.ravel()[:count] >> np.uint64(11)) * 2.0**-53


@pytest.mark.parametrize("count", [0, 1, 2, 31, 32, 33, 64, 1001])
@pytest.mark.parametrize("key", [(0, "weight", 0), (2**64 - 1, "0.bias", 3), (7, "", 2**63)])
def test_uniform_by_its_definition(key, count, dtype):
    u = units(*key, count)
    for low, high in ((0, 1), (-0.03, 0.04), (5, 5)):
        expected = (low + (high - low) * u).astype(dtype)
        if low < high:
            expected = np.minimum(expected, np.nextafter(dtype(high), dtype(low)))
        np.testing.assert_array_equal(
            engine.stream_uniform(*key, count, dtype, low, high), expected
        )


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 500])
def test_normal_by_its_definition(count, dtype):
    u = units(11, "weight", 2, 2 * count).reshape(count, 2)
    expected = 0.5 + 2 * np.sqrt(-2 * np.log(1 - u[:, 0])) * np.cos(2 * np.pi * u[:, 1])
    values = engine.stream_normal(11, "weight", 2, count, dtype, 0.5, 2.0)
    np.testing.assert_allclose(values, expected, rtol=1e-6 if dtype == np.float32 else 1e-12)


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
