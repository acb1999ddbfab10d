"""The data sets that the command line knows, and how each is trained unless told otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from nncore import data

Part = tuple[NDArray[Any], NDArray[Any]]
Split = tuple[Part, Part]


@dataclass(frozen=True)
class Recipe:
    """How a set is loaded (told whether to download it), its network and numbers that suit it."""

    load: Callable[[bool], Split]
    network: str
    epochs: int
    batch_size: int
    lr: float


def _digits(download: bool) -> Split:
    del download  # they are inside the package
    return data.load_digits()


RECIPES = {
    "digits": Recipe(_digits, "digits-cnn", epochs=20, batch_size=32, lr=2e-3),
    "mnist": Recipe(
        lambda download: data.load_mnist(download=download),
        "notes-cnn",
        epochs=3,
        batch_size=64,
        lr=2e-3,
    ),
    "fashion-mnist": Recipe(
        lambda download: data.load_fashion_mnist(download=download),
        "notes-cnn",
        epochs=5,
        batch_size=64,
        lr=2e-3,
    ),
    "kmnist": Recipe(
        lambda download: data.load_kmnist(download=download),
        "notes-cnn",
        epochs=5,
        batch_size=64,
        lr=2e-3,
    ),
    "cifar10": Recipe(
        lambda download: data.load_cifar10(download=download),
        "lenet",
        epochs=10,
        batch_size=64,
        lr=1e-3,
    ),
}

# Of the user's own files, whose `load` is in `datasets`.
FILE = {"network": "mlp:64,64", "epochs": 50, "batch_size": 32, "lr": 2e-3}
