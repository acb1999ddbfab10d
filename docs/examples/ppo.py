"""Proximal policy optimisation of a pole on a cart, with a loss of one's own.

    python docs/examples/ppo.py

The policy's gradient is no loss that a library has: it is written down here, as dC/dlogits, and
given to the compiled step. The critic is ordinary regression: an epoch of it is one call.

Sources: Schulman et al., "Proximal policy optimization algorithms" (2017). The cart: Barto, Sutton
and Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems"
(1983).
"""

import argparse

import numpy as np

import nncore as nc
from nncore import nn, optim

CARTS, HORIZON, EPOCHS, BATCH = 16, 128, 6, 256
GAMMA, TRACE = 0.99, 0.95  # discount; how far advantages look ahead
CLIP, ENTROPY = 0.2, 0.01


class Carts:
    """Many carts at once; a state is (position, velocity, angle, angular velocity)."""

    longest = 500

    def __init__(self, count, rng):
        self.rng, self.state, self.age = rng, rng.uniform(-0.05, 0.05, (count, 4)), np.zeros(count)

    def step(self, action):
        """Push left (0) or right (1) for 20 ms: states, which episodes ended, and their lengths."""
        _, v, angle, spin = self.state.T
        sin, cos = np.sin(angle), np.cos(angle)
        push = (np.where(action == 1, 10.0, -10.0) + 0.05 * spin**2 * sin) / 1.1
        turn = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
        change = np.stack([v, push - 0.05 * turn * cos / 1.1, spin, turn], axis=1)
        self.state = self.state + 0.02 * change
        self.age += 1
        fallen = (np.abs(self.state[:, 0]) > 2.4) | (np.abs(self.state[:, 2]) > np.radians(12))
        ended = fallen | (self.age >= self.longest)
        lengths = self.age[ended]
        self.state[ended] = self.rng.uniform(-0.05, 0.05, (int(ended.sum()), 4))
        self.age[ended] = 0
        return self.state, ended, lengths


def network(outputs, seed):
    model = nn.Sequential(
        nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
    )
    model.reset_parameters(seed)
    model[4].weight.data *= 0.01  # begin undecided
    return model


def log_softmax(logits):
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def policy_gradient(logits, action, old, advantage):
    """dC/dlogits of C = -mean(min(r A, clip(r) A)) - ENTROPY mean(H).

    r is the probability of the action now over that when it was taken, H the entropy.
    """
    n, log_p = len(action), log_softmax(logits)
    p, rows = np.exp(log_p), np.arange(n)
    ratio = np.exp(log_p[rows, action] - old)
    # Where the clipped term is the smaller one, C does not depend on r.
    idle = np.where(advantage > 0, ratio > 1 + CLIP, ratio < 1 - CLIP)
    chosen = -p
    chosen[rows, action] += 1
    entropy = -(p * log_p).sum(axis=1, keepdims=True)
    gain = np.where(idle, 0, ratio * advantage)[:, None] * chosen
    return -(gain - ENTROPY * p * (log_p + entropy)) / n


def advantages(reward, value, ended):
    """Generalised advantage estimates; `value` has one row more: what comes after the last."""
    found, ahead = np.zeros_like(reward), 0.0
    for t in reversed(range(len(reward))):
        alive = ~ended[t]
        error = reward[t] + GAMMA * value[t + 1] * alive - value[t]
        found[t] = ahead = error + GAMMA * TRACE * alive * ahead
    return found


def train(rounds, seed=0, show=print):
    """Mean length of the episodes that ended in each round; 500 is the most."""
    rng = np.random.default_rng(seed)
    carts, policy, critic = Carts(CARTS, rng), network(2, seed), network(1, seed + 1)
    act = nc.compile(policy, optimizer=optim.Adam(policy.parameters(), lr=1e-3))
    judge = nc.compile(critic, nn.MSELoss(), optim.Adam(critic.parameters(), lr=1e-3))
    history = []
    for number in range(1, rounds + 1):
        state = np.empty((HORIZON + 1, CARTS, 4), np.float32)
        action, ended = np.empty((HORIZON, CARTS), int), np.empty((HORIZON, CARTS), bool)
        old, lengths = np.empty((HORIZON, CARTS)), []
        state[0] = carts.state
        for t in range(HORIZON):
            log_p = log_softmax(act.predict(state[t]).astype(float))
            action[t] = rng.random(CARTS) < np.exp(log_p[:, 1])
            old[t] = np.take_along_axis(log_p, action[t][:, None], axis=1)[:, 0]
            state[t + 1], ended[t], done = carts.step(action[t])
            lengths += done.tolist()

        value = judge.predict(state.reshape(-1, 4)).reshape(HORIZON + 1, CARTS)
        gain = advantages(np.ones((HORIZON, CARTS)), value, ended)
        x, returns = state[:-1].reshape(-1, 4), (gain + value[:-1]).reshape(-1, 1)
        gain = (gain.ravel() - gain.mean()) / (gain.std() + 1e-8)
        for _ in range(EPOCHS):
            order = rng.permutation(len(x))
            judge.epoch(x, returns, order, BATCH)
            for rows in order.reshape(-1, BATCH):
                logits = act.forward(x[rows]).astype(float)
                act.backward(
                    policy_gradient(logits, action.ravel()[rows], old.ravel()[rows], gain[rows])
                )
                act.update()
        history.append(float(np.mean(lengths)) if lengths else float(Carts.longest))
        if number % 5 == 0:
            show(f"{number * HORIZON * CARTS:>8,} pushes: episodes of {history[-1]:.0f} steps")
    return history


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    train(given.rounds, given.seed)
