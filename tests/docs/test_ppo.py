"""docs/examples/ppo.py: its gradient is right, and it learns."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "docs" / "examples" / "ppo.py"


@pytest.fixture(scope="module")
def ppo():
    spec = importlib.util.spec_from_file_location("ppo_example", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_gradient_of_the_policy(ppo, rng):
    n = 40
    logits, action = rng.standard_normal((n, 2)), rng.integers(0, 2, n)
    old = ppo.log_softmax(logits + 0.3 * rng.standard_normal((n, 2)))[np.arange(n), action]
    advantage = rng.standard_normal(n)

    def cost(logits):
        log_p = ppo.log_softmax(logits)
        ratio = np.exp(log_p[np.arange(n), action] - old)
        clipped = np.clip(ratio, 1 - ppo.CLIP, 1 + ppo.CLIP)
        entropy = -(np.exp(log_p) * log_p).sum(axis=1).mean()
        return -np.minimum(ratio * advantage, clipped * advantage).mean() - ppo.ENTROPY * entropy

    found, h = ppo.policy_gradient(logits, action, old, advantage), 1e-6
    for at in np.ndindex(logits.shape):
        nudged = [logits.copy(), logits.copy()]
        nudged[0][at] += h
        nudged[1][at] -= h
        assert found[at] == pytest.approx((cost(nudged[0]) - cost(nudged[1])) / (2 * h), abs=1e-8)
    ratio = np.exp(ppo.log_softmax(logits)[np.arange(n), action] - old)
    assert (np.abs(ratio - 1) > ppo.CLIP).sum() > 5  # both sides of the corner were seen


def test_advantages_of_one_step(ppo):
    reward, value = np.ones((3, 1)), np.array([[1.0], [2.0], [4.0], [8.0]])
    ended = np.array([[False], [True], [False]])
    last = 1 + ppo.GAMMA * 8 - 4
    middle = 1 - 2  # nothing comes after an end
    first = 1 + ppo.GAMMA * 2 - 1 + ppo.GAMMA * ppo.TRACE * middle
    assert ppo.advantages(reward, value, ended).ravel() == pytest.approx([first, middle, last])


def test_it_learns(ppo):
    history = ppo.train(16, seed=0, show=lambda line: None)
    assert history[0] < 60
    assert max(history[-4:]) > 3 * history[0]
