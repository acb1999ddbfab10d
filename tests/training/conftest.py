"""Small data sets for the tests of the loop."""

import numpy as np
import pytest


@pytest.fixture
def classes() -> tuple[np.ndarray, np.ndarray]:
    """50 samples of 4 numbers in 3 classes that a line separates fairly well."""
    rng = np.random.default_rng(1)
    y = np.arange(50) % 3
    x = rng.standard_normal((50, 4)) + 2 * np.eye(4)[y]
    return x.astype(np.float32), y


@pytest.fixture
def numbers() -> tuple[np.ndarray, np.ndarray]:
    """40 samples of 2 numbers with one target."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((40, 2)).astype(np.float32)
    return x, (x[:, :1] - 2 * x[:, 1:]).astype(np.float32)
