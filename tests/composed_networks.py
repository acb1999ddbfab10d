"""Modules that compose others, each written once for nncore and for PyTorch.

A builder takes a library: `nn`, `cat(values, axis)` and `param(array)`. The same text runs in both.
"""

from types import SimpleNamespace

import numpy as np

import nncore as nc
from nncore import nn

NNCORE = SimpleNamespace(
    nn=nn, cat=nc.concatenate, param=lambda a: nn.Parameter(np.asarray(a, np.float32))
)


def pytorch():
    import torch

    return SimpleNamespace(
        nn=torch.nn,
        cat=torch.cat,
        param=lambda a: torch.nn.Parameter(torch.tensor(np.asarray(a, np.float32))),
    )


def residual(lib):
    """Two residual blocks, the second with a shortcut of its own; images."""

    class Block(lib.nn.Module):
        def __init__(self, before, after):
            super().__init__()
            self.body = lib.nn.Sequential(
                lib.nn.Conv2d(before, after, 3, padding=1), lib.nn.Tanh(),
                lib.nn.Conv2d(after, after, 3, padding=1),
            )  # fmt: skip
            self.around = lib.nn.Conv2d(before, after, 1) if before != after else None
            self.act = lib.nn.ReLU()

        def forward(self, x):
            around = x if self.around is None else self.around(x)
            return self.act(self.body(x) + around)

    return lib.nn.Sequential(
        Block(2, 2), Block(2, 5), lib.nn.MaxPool2d(2), lib.nn.Flatten(), lib.nn.Linear(30, 4)
    )


def branching(lib):
    """An Inception-like block within a module that reads the same value four times."""

    class Branches(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = lib.nn.Conv2d(3, 2, 1)
            self.three = lib.nn.Sequential(
                lib.nn.Conv2d(3, 2, 1), lib.nn.Conv2d(2, 4, 3, padding=1)
            )
            self.pool = lib.nn.AvgPool2d(3, 1, 1)
            self.act = lib.nn.GELU()

        def forward(self, x):
            return self.act(lib.cat([self.one(x), self.three(x), self.pool(x), x], 1))

    class Net(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = lib.nn.Conv2d(2, 3, 3)
            self.branches = Branches()
            self.head = lib.nn.Linear(12, 4)

        def forward(self, x):
            return self.head(self.branches(self.stem(x)).mean((2, 3)))

    return Net()


def squeeze(lib):
    """Channels weighed by what is in all of the image (squeeze and excitation)."""

    class Squeeze(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = lib.nn.Conv2d(2, 6, 3)
            self.down, self.up = lib.nn.Linear(6, 3), lib.nn.Linear(3, 6)
            self.act, self.gate = lib.nn.ReLU(), lib.nn.Sigmoid()
            self.head = lib.nn.Linear(6 * 4 * 3, 4)

        def forward(self, x):
            x = self.conv(x)
            weights = self.gate(self.up(self.act(self.down(x.mean((2, 3))))))
            x = x * weights.reshape(x.shape[0], 6, 1, 1) - x * 0.25
            return self.head(x.reshape(x.shape[0], -1))

    return Squeeze()


def shared(lib):
    """One layer in three places, its output and its input read again."""

    class Shared(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = lib.nn.Linear(7, 7)
            self.act = lib.nn.Tanh()
            self.head = lib.nn.Linear(7, 4)

        def forward(self, x):
            first = self.act(self.cell(x))
            second = self.act(self.cell(first) + x)
            third = self.cell(second * first - x) + first + x * x
            return self.head(-third)

    return Shared()


def parameters(lib):
    """Parameters of one's own in arithmetic, numbers on both sides."""

    class Own(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = lib.param(np.linspace(0.5, 1.5, 7))
            self.shift = lib.param([[0.25]])
            self.gate = lib.param(0.4)
            self.body = lib.nn.Linear(7, 7)
            self.head = lib.nn.Linear(7, 4)

        def forward(self, x):
            y = self.body(x * self.scale) - self.shift
            mixed = self.gate * y + (1 - self.scale * x) * 0.5 + 3.0
            return self.head(self.scale - mixed * 2 + self.gate)

    return Own()


def two(lib):
    """Two inputs, a trunk, and two heads of which the second reads the first."""

    class Two(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = lib.nn.Linear(7, 5), lib.nn.Linear(3, 5)
            self.act = lib.nn.Tanh()
            self.policy, self.value = lib.nn.Linear(10, 4), lib.nn.Linear(14, 1)

        def forward(self, a, b):
            trunk = self.act(lib.cat([self.left(a), self.right(b)], 1))
            policy = self.policy(trunk)
            return policy, self.value(lib.cat([trunk, policy], 1))

    return Two()


# Builder, shapes of a sample of each input.
COMPOSED = {
    "residual": (residual, [(2, 6, 4)]),
    "branching": (branching, [(2, 7, 6)]),
    "squeeze": (squeeze, [(2, 6, 5)]),
    "shared": (shared, [(7,)]),
    "parameters": (parameters, [(7,)]),
    "two": (two, [(7,), (3,)]),
}


def build(name, dtype=np.float32):
    model = COMPOSED[name][0](NNCORE).astype(dtype)
    model.reset_parameters(1)
    values = np.random.default_rng(5)
    for parameter in model.parameters():
        parameter.data[...] += values.uniform(-0.2, 0.2, parameter.shape)
    return model


def inputs(name, rng, n, dtype):
    return [rng.standard_normal((n, *shape)).astype(dtype) for shape in COMPOSED[name][1]]
