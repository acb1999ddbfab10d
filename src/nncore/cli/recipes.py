"""The networks that the command line knows, and how each data set is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from nncore import data, nn

Part = tuple[NDArray[Any], NDArray[Any]]
Split = tuple[Part, Part]


def digits_cnn() -> nn.Sequential:
    """For images of 8x8."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


def notes_cnn() -> nn.Sequential:
    """The network of the lecture notes, for images of 28x28."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(600, 10),
    )


@dataclass(frozen=True)
class Network:
    """How it is built, and the shape of one sample."""

    build: Callable[[], nn.Sequential]
    sample: tuple[int, int, int]


# By the names that stand in saved files.
NETWORKS = {
    "digits-cnn": Network(digits_cnn, (1, 8, 8)),
    "notes-cnn": Network(notes_cnn, (1, 28, 28)),
}


@dataclass(frozen=True)
class Recipe:
    """A data set with the network and the numbers that suit it."""

    load: Callable[[], Split]
    network: str
    epochs: int
    batch_size: int
    lr: float


RECIPES = {
    "digits": Recipe(data.load_digits, "digits-cnn", epochs=20, batch_size=32, lr=2e-3),
    "mnist": Recipe(data.load_mnist, "notes-cnn", epochs=3, batch_size=64, lr=2e-3),
}
