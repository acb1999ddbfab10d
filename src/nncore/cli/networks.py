"""The networks that the command line knows, by the names that stand in saved files."""

import math
import re
from collections.abc import Callable
from itertools import pairwise

from nncore import nn
from nncore.cli.errors import UserError

Shape = tuple[int, ...]

NAMES = "mlp:64,64 (hidden layers of so many units), lenet, notes-cnn, digits-cnn"

# What a file holds that says no more than the name, as files of nncore 0.3 and before.
FIRST_SAMPLES: dict[str, Shape] = {"digits-cnn": (1, 8, 8), "notes-cnn": (1, 28, 28)}


def build(name: str, sample: Shape, outputs: int) -> nn.Sequential:
    """The network of that name for samples of a shape, with so many outputs.

    Raises
    ------
    UserError
        There is no such network, or it does not fit the samples.
    """
    if name.startswith("mlp"):
        return _mlp(name, sample, outputs)
    if name not in _IMAGES:
        raise UserError(f"--model: there is no network {name!r}, expected one of {NAMES}")
    if len(sample) != 3:
        raise UserError(
            f"the network {name} takes images (channels, height, width), the samples have shape"
            f" {sample}: try --model mlp:64,64"
        )
    return _IMAGES[name](sample, outputs)


def numbers(name: str, sample: Shape, outputs: int) -> int:
    """About how many weights the network has, without building it."""
    if not name.startswith("mlp"):
        return math.prod(sample) * outputs
    sizes = [math.prod(sample), *_units(name), outputs]
    return sum((inputs + 1) * units for inputs, units in pairwise(sizes))


def _units(name: str) -> list[int]:
    """Of the hidden layers of "mlp:64,64"."""
    _, colon, text = name.partition(":")
    parts = text.split(",") if colon else []
    good = name == "mlp" or (colon and all(re.fullmatch(r"[1-9]\d{0,4}", part) for part in parts))
    if not good:
        raise UserError(
            f"--model: expected mlp:UNITS,UNITS,... with 1 to 99999 units each, got {name!r}"
        )
    return [int(part) for part in parts]


def _mlp(name: str, sample: Shape, outputs: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = [nn.Flatten()] if len(sample) > 1 else []
    inputs = math.prod(sample)
    for units in _units(name):
        layers += [nn.Linear(inputs, units), nn.ReLU()]
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def _digits_cnn(sample: Shape, outputs: int) -> nn.Sequential:
    """For small images, such as 8x8."""
    layers = [
        nn.Conv2d(sample[0], 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    ]
    return nn.Sequential(*layers, nn.Linear(_features("digits-cnn", layers, sample), outputs))


def _notes_cnn(sample: Shape, outputs: int) -> nn.Sequential:
    """The network of the lecture notes."""
    layers = [
        nn.Conv2d(sample[0], 12, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    ]
    return nn.Sequential(*layers, nn.Linear(_features("notes-cnn", layers, sample), outputs))


def _lenet(sample: Shape, outputs: int) -> nn.Sequential:
    """LeNet-5 with ReLU and max pooling; images of 28x28 become the 32x32 it was made for."""
    layers = [
        nn.Conv2d(sample[0], 6, 5, padding=2 if sample[1:] == (28, 28) else 0),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    ]
    return nn.Sequential(
        *layers,
        nn.Linear(_features("lenet", layers, sample), 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, outputs),
    )


def _features(name: str, layers: list[nn.Module], sample: Shape) -> int:
    """Numbers that come out of the layers for one sample."""
    try:
        rows = nn.Sequential(*layers).summary(sample).rows
    except ValueError as error:
        raise UserError(
            f"the network {name} does not fit images of shape {sample}: {error}"
        ) from None
    count = math.prod(rows[-1].output_shape)
    if count == 0:
        raise UserError(f"the network {name} does not fit images as small as {sample}")
    return count


_IMAGES: dict[str, Callable[[Shape, int], nn.Sequential]] = {
    "digits-cnn": _digits_cnn,
    "notes-cnn": _notes_cnn,
    "lenet": _lenet,
}
