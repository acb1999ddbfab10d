"""The networks that the command line knows, and how each data set is trained."""

from collections.abc import Callable
from dataclasses import dataclass

from nncore import data, nn
from nncore.data._images import Split


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


# By the names that stand in saved files.
NETWORKS: dict[str, Callable[[], nn.Sequential]] = {
    "digits-cnn": digits_cnn,
    "notes-cnn": notes_cnn,
}


@dataclass(frozen=True)
class Recipe:
    """A data set with the network and the numbers that suit it."""

    load: Callable[[], Split]
    sample: tuple[int, int, int]
    network: str
    epochs: int
    batch_size: int
    lr: float


RECIPES = {
    "digits": Recipe(data.load_digits, (1, 8, 8), "digits-cnn", epochs=20, batch_size=32, lr=2e-3),
    "mnist": Recipe(data.load_mnist, (1, 28, 28), "notes-cnn", epochs=3, batch_size=64, lr=2e-3),
}
