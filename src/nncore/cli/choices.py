"""Optimisers, schedules and augmentations by the names of options."""

import argparse
import math
from typing import Any, NamedTuple

from nncore import nn, optim
from nncore.cli.errors import UserError, users
from nncore.data import transforms
from nncore.optim import lr_scheduler
from nncore.training import Callback, LearningRateScheduler

OPTIMIZERS: dict[str, type[optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": optim.SGD,
    "rmsprop": optim.RMSprop,
    "lion": optim.Lion,
}
# What the default rate, which suits Adam, is multiplied by.
RATE_FACTORS = {"sgd": 25.0, "lion": 0.2}
_WITH_MOMENTUM = "sgd", "rmsprop"

SCHEDULES = {
    "constant": "constant",
    "linear": "falling to 0",
    "cosine": "falling to 0 along a cosine",
    "step": "a tenth after each third of the epochs",
    "onecycle": "the top of one cycle",
}

LOSSES = "cross-entropy", "mse"

AUGMENTATIONS = "shift:PIXELS, rotate:DEGREES, flip"


class Schedule(NamedTuple):
    """What the trainer gets of it."""

    scheduler: Any = None
    interval: str = "epoch"
    callback: Callback | None = None


def optimizer(options: argparse.Namespace, model: nn.Module, rate: float) -> optim.Optimizer:
    """The optimiser that the options name, of all parameters of the model."""
    given: dict[str, Any] = {"lr": rate}
    if options.momentum is not None:
        if options.optimizer not in _WITH_MOMENTUM:
            raise UserError(
                f"--momentum: {options.optimizer} has none of its own, expected it with"
                f" --optimizer {' or '.join(_WITH_MOMENTUM)}"
            )
        given["momentum"] = options.momentum
    if options.weight_decay is not None:
        given["weight_decay"] = options.weight_decay
    return OPTIMIZERS[options.optimizer](model.parameters(), **given)


def schedule(name: str, of: optim.Optimizer, rate: float, epochs: int, batches: int) -> Schedule:
    """How the rate changes in a run of so many epochs of so many batches."""
    if name == "linear":
        return Schedule(
            callback=LearningRateScheduler(lambda epoch, _: rate * (1 - epoch / epochs))
        )
    if name == "cosine":
        return Schedule(lr_scheduler.CosineAnnealingLR(of, epochs))
    if name == "step":
        return Schedule(lr_scheduler.StepLR(of, math.ceil(epochs / 3)))
    if name == "onecycle":
        group = of.param_groups[0]
        momentum = "betas" in group or group.get("momentum", 0.0) > 0
        cycle = lr_scheduler.OneCycleLR(
            of, rate, total_steps=epochs * batches, cycle_momentum=momentum
        )
        return Schedule(cycle, "batch")
    return Schedule()


def augmentation(text: str) -> transforms.Transform:
    """What is done to training images: "shift:2,rotate:10"."""
    found: list[transforms.Transform] = []
    for part in text.split(","):
        name, colon, number = part.partition(":")
        if name not in ("shift", "rotate", "flip") or (name == "flip" and colon):
            raise UserError(f"--augment: expected some of {AUGMENTATIONS}, got {text!r}")
        with users(ValueError):
            if name == "shift":
                found.append(transforms.RandomShift(int(_given(number, "2"))))
            elif name == "rotate":
                found.append(transforms.RandomRotation(float(_given(number, "10"))))
            else:
                found.append(transforms.RandomHorizontalFlip())
    return found[0] if len(found) == 1 else transforms.Compose(*found)


def _given(number: str, default: str) -> str:
    """The number after the colon."""
    text = number or default
    try:
        float(text)
    except ValueError:
        text = ""
    if not text or ("." in text and default == "2"):
        raise UserError(f"--augment: expected a number after the colon, got {number!r}")
    return text
