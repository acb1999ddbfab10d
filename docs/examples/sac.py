"""Soft actor-critic swings up a pendulum: the actor learns from its critics' dQ/da.

    python docs/examples/sac.py

Three things that no loss function of a library gives: the gradient of a critic to its input,
without any to its weights (`backward(..., input_grad=True, parameter_grad=False)`); a parameter
that belongs to no layer (the temperature), in the same optimiser; target networks that follow
slowly (`copy_from`).

Source: Haarnoja et al., "Soft actor-critic algorithms and applications" (2018).
"""

import argparse

import numpy as np

import nncore as nc
from nncore import nn, optim

PENDULUMS, EPISODE = 4, 200
BATCH, UPDATES, RANDOM = 128, 2, 100  # samples, updates a move, moves before learning
GAMMA, TAU = 0.98, 0.01
WANTED_ENTROPY = -1.0
LOG_STD = -5.0, 1.0


class Pendulums:
    """Rods on pivots, upright at angle 0: states (cos, sin, spin), moves a torque in [-1, 1]."""

    def __init__(self, count, rng):
        self.rng, self.count = rng, count
        self.begin()

    def begin(self):
        self.angle = self.rng.uniform(-np.pi, np.pi, self.count)
        self.spin = self.rng.uniform(-1, 1, self.count)

    @property
    def state(self):
        return np.stack([np.cos(self.angle), np.sin(self.angle), self.spin], axis=1)

    def step(self, move):
        """50 ms; returns the reward, at most 0."""
        torque = 2 * move
        off = (self.angle + np.pi) % (2 * np.pi) - np.pi
        reward = -(off**2 + 0.1 * self.spin**2 + 0.001 * torque**2)
        self.spin = np.clip(self.spin + 0.05 * (15 * np.sin(self.angle) + 3 * torque), -8, 8)
        self.angle = self.angle + 0.05 * self.spin
        return reward


def network(inputs, outputs, seed):
    model = nn.Sequential(
        nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs)
    )
    model.reset_parameters(seed)
    return model


class Move:
    """A sample of the policy: tanh(mean + std noise), whose gradients go through the noise."""

    def __init__(self, output, rng):
        output = output.astype(float)
        self.noise = rng.standard_normal((len(output), 1))
        self.free = (output[:, 1:] > LOG_STD[0]) & (output[:, 1:] < LOG_STD[1])
        log_std = np.clip(output[:, 1:], *LOG_STD)
        self.std = np.exp(log_std)
        u = output[:, :1] + self.std * self.noise
        self.action = np.tanh(u)
        log_slope = 2 * (np.log(2) - u - np.logaddexp(0, -2 * u))  # log(1 - tanh(u)^2), for any u
        self.log_p = -0.5 * self.noise**2 - log_std - 0.5 * np.log(2 * np.pi) - log_slope

    def gradient(self, temperature, dq):
        """d/doutput of mean(temperature log p - Q), where dq is dQ/daction."""
        du = 2 * temperature * self.action - dq * (1 - self.action**2)
        d_log_std = (du * self.std * self.noise - temperature) * self.free
        return np.concatenate([du, d_log_std], axis=1) / len(du)


class Agent:
    """An actor, two critics, and two networks that follow the critics."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.log_temperature = nn.Parameter(np.zeros(1, np.float32))
        actor = network(3, 2, seed)
        optimizer = optim.Adam([*actor.parameters(), self.log_temperature], lr=2e-3)
        self.actor = nc.compile(actor, optimizer=optimizer)
        self.critics, self.targets = [], []
        for number in (1, 2):
            critic, target = network(4, 1, seed + number), network(4, 1, seed)
            target.copy_from(critic)
            optimizer = optim.Adam(critic.parameters(), lr=2e-3)
            self.critics.append(nc.compile(critic, nn.MSELoss(), optimizer))
            self.targets.append(nc.compile(target))

    def act(self, state):
        return Move(self.actor.predict(state), self.rng).action

    def learn(self, state, action, reward, after):
        temperature = float(np.exp(self.log_temperature.data[0]))
        # The critics: regression to what comes now and what the targets think of what comes then.
        move = Move(self.actor.predict(after), self.rng)
        then = np.concatenate([after, move.action], axis=1)
        worth = np.minimum(*(target.predict(then) for target in self.targets))
        wanted = reward + GAMMA * (worth - temperature * move.log_p)
        now = np.concatenate([state, action], axis=1)
        for critic, target in zip(self.critics, self.targets, strict=True):
            critic(now, wanted)
            target.model.copy_from(critic.model, TAU)

        # The actor: uphill on the lower of the two critics.
        move = Move(self.actor.forward(state), self.rng)
        now = np.concatenate([state, move.action], axis=1)
        first, second = (critic.forward(now) for critic in self.critics)
        dq = np.zeros_like(move.action)
        for critic, lower in zip(self.critics, (first < second, first >= second), strict=True):
            slope = critic.backward(lower.astype(float), input_grad=True, parameter_grad=False)
            dq += slope[:, 3:]
        self.actor.backward(move.gradient(temperature, dq))
        self.log_temperature.grad[...] = -np.mean(move.log_p + WANTED_ENTROPY)
        self.actor.update()


def train(episodes, seed=0, show=print):
    """Mean return of each episode; about -150 is a pendulum that is swung up and held."""
    rng = np.random.default_rng(seed)
    agent, rods, history = Agent(seed), Pendulums(PENDULUMS, rng), []
    room = episodes * EPISODE * PENDULUMS
    memory = {"state": (room, 3), "action": (room, 1), "reward": (room, 1), "after": (room, 3)}
    memory = {name: np.empty(shape, np.float32) for name, shape in memory.items()}
    filled = 0
    for episode in range(1, episodes + 1):
        rods.begin()
        total = np.zeros(PENDULUMS)
        for _ in range(EPISODE):
            state = rods.state
            early = filled < RANDOM * PENDULUMS
            action = rng.uniform(-1, 1, (PENDULUMS, 1)) if early else agent.act(state)
            reward = rods.step(action[:, 0])
            total += reward
            new = slice(filled, filled + PENDULUMS)
            memory["state"][new], memory["action"][new] = state, action
            memory["reward"][new, 0], memory["after"][new] = reward / 8, rods.state
            filled += PENDULUMS
            for _ in range(0 if early else UPDATES):
                rows = rng.integers(0, filled, BATCH)
                agent.learn(*(array[rows] for array in memory.values()))
        history.append(float(total.mean()))
        show(f"episode {episode:>3}: return {history[-1]:>7.0f}")
    return history


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    train(given.episodes, given.seed)
