"""Small networks to look into."""

import numpy as np
import pytest

from nncore import nn


@pytest.fixture
def notes_network():
    """2-2-1 with sigmoids, as in the lecture notes."""
    return nn.Sequential(
        nn.Linear(2, 2, seed=1), nn.Sigmoid(), nn.Linear(2, 1, seed=2), nn.Sigmoid()
    )


@pytest.fixture
def small_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, seed=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 3, seed=2),
    )


@pytest.fixture
def images():
    x = np.random.default_rng(0).uniform(0, 1, (12, 1, 8, 8)).astype(np.float32)
    return x, np.arange(12) % 3
