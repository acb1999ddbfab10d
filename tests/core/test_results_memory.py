"""Large results live in memory that is used again once they are gone, and never before."""

import gc
import os

import numpy as np
import pytest

from nncore._core import engine

ROWS, FEATURES = 512, 256  # 512 KiB of float32


@pytest.fixture
def product():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, 8), dtype=np.float32)
    weight = rng.standard_normal((FEATURES, 8), dtype=np.float32)
    return lambda: engine.linear_forward(x, weight, None)


def address(array):
    return array.__array_interface__["data"][0]


def test_results_alive_share_nothing(product):
    results = [product() for _ in range(8)]
    expected = results[0].copy()
    for i, result in enumerate(results):
        assert not any(np.shares_memory(result, other) for other in results[:i])
    results[0][:] = 7
    for result in results[1:]:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""),
    reason="the address sanitizer is to see the end of every block: nothing is kept",
)
def test_memory_of_a_result_that_is_gone_is_used_again(product):
    seen = set()
    for _ in range(20):
        seen.add(address(product()))
        gc.collect()
    assert len(seen) <= 2


def test_a_view_keeps_its_memory(product):
    expected = product()
    row = product()[3]
    others = [product() for _ in range(4)]
    for other in others:
        other.fill(np.nan)
    np.testing.assert_array_equal(row, expected[3])


def test_results_are_aligned_writeable_arrays(product):
    result = product()
    assert type(result) is np.ndarray
    assert result.flags.carray
    assert address(result) % 64 == 0
