"""docs/examples/sac.py: its gradient is right, and it learns."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "docs" / "examples" / "sac.py"


@pytest.fixture(scope="module")
def sac():
    spec = importlib.util.spec_from_file_location("sac_example", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_gradient_of_the_actor(sac):
    """Against differences of the cost itself, the noise held and Q a parabola."""
    n, temperature, h = 30, 0.3, 1e-6
    output = np.random.default_rng(1).uniform(-1.5, 1.5, (n, 2))
    output[:3, 1] = [-6, 2, 1.5]  # beyond the bounds nothing changes

    def cost(output):
        move = sac.Move(output, np.random.default_rng(2))
        q = 1 - (move.action - 0.3) ** 2
        return (temperature * move.log_p - q).mean()

    move = sac.Move(output, np.random.default_rng(2))
    found = move.gradient(temperature, -2 * (move.action - 0.3))
    assert (found[:3, 1] == 0).all()
    for at in np.ndindex(output.shape):
        nudged = [output.copy(), output.copy()]
        nudged[0][at] += h
        nudged[1][at] -= h
        assert found[at] == pytest.approx((cost(nudged[0]) - cost(nudged[1])) / (2 * h), abs=1e-7)


def test_it_learns(sac):
    history = sac.train(8, seed=0, show=lambda line: None)
    assert history[0] < -900
    assert max(history[-2:]) > -400
