"""``nncore explain``: one step of a small network, number by number."""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from nncore import nn
from nncore.cli.errors import UserError, users
from nncore.inspection import explain

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
LOSSES = ("mse", "cross-entropy")


def run(options: argparse.Namespace) -> int:
    """Build the network, take the step, print it; returns the exit code."""
    sizes = options.sizes
    classify = options.loss == "cross-entropy"
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[options.activation]()]
    if classify:
        layers.pop()  # the loss takes scores
    model = nn.Sequential(*layers)
    model.reset_parameters(options.seed)
    stream = np.random.default_rng(options.seed)
    x = _numbers("--x", options.x, sizes[0], lambda n: np.round(stream.uniform(-1, 1, n), 2))
    loss_fn: nn.CrossEntropyLoss | nn.MSELoss
    if classify:
        loss_fn = nn.CrossEntropyLoss()
        label = int(options.y[0]) if options.y else 0
        if not 0 <= label < sizes[-1] or (options.y and options.y != [label]):
            raise UserError(f"--y: expected a class from 0 to {sizes[-1] - 1}, got {options.y}")
        y = np.array([label])
    else:
        loss_fn = nn.MSELoss()
        y = _numbers("--y", options.y, sizes[-1], np.ones)[None].astype(np.float32)
    story = explain(model, x[None].astype(np.float32), y, loss_fn, lr=options.lr)
    if options.html is not None:
        with users(OSError):
            Path(options.html).write_text(story.html(), encoding="utf-8")
        print(f"page: {options.html}")
    else:
        print(story)
    return 0


def _numbers(option: str, given: list[float] | None, count: int, default: object) -> np.ndarray:
    if given is None:
        return np.asarray(default(count))  # type: ignore[operator]
    if len(given) != count:
        raise UserError(f"{option}: expected {count} numbers, got {len(given)}")
    return np.array(given)
