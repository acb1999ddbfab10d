"""Data by name, or from a file of the user's own, ready to train on."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import data
from nncore._core import engine
from nncore.cli.errors import UserError, one_line, users
from nncore.cli.networks import Shape
from nncore.cli.recipes import FILE, RECIPES, Recipe, Split

NAMES = f"{', '.join(RECIPES)}, or a file of your own: FILE.csv, FILE.npz"
SUFFIXES = ".csv", ".npz"

_MOST_CLASSES = 10_000
_HELD_OUT = 5  # every so many samples of a file are for testing


@dataclass(frozen=True)
class Scale:
    """Columns of a table, brought to mean 0 and deviation 1 by the training part's numbers."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray((x - self.mean) / self.std, np.float32)


@dataclass(frozen=True)
class Data:
    """A set, split, and what its targets are."""

    name: str
    split: Split
    classes: int | None  # None: the targets are numbers
    scale: Scale | None = None

    @property
    def sample(self) -> Shape:
        return self.split[0][0].shape[1:]

    @property
    def is_file(self) -> bool:
        return self.name not in RECIPES


def recipe_of(name: str) -> Recipe:
    """What suits the data of that name."""
    if name in RECIPES:
        return RECIPES[name]
    if Path(name).suffix not in SUFFIXES:
        raise UserError(f"--data: there is no data set {name!r}, expected one of {NAMES}")
    return Recipe(lambda _: load_file(name).split, **FILE)  # type: ignore[arg-type]


def load(name: str, *, download: bool = False, scale: Scale | None = None) -> Data:
    """The data of that name; a table is scaled by `scale`, or by its own training part."""
    recipe = recipe_of(name)
    if name not in RECIPES:
        return load_file(name, scale)
    try:
        split = recipe.load(download)
    except (OSError, ValueError, ImportError) as error:
        # In the words of the command line.
        text = one_line(error).replace("pass root= or set", "set")
        raise UserError(text.replace("download=True", "--download")) from None
    return Data(name, split, _classes(name, split))


def load_file(name: str, scale: Scale | None = None) -> Data:
    """A table, or arrays x and y; a fifth of the rows, always the same, is for testing."""
    with users(OSError, ValueError, TypeError):
        x, y = data.load_csv(name) if name.endswith(".csv") else data.load_npz(name)
        x = as_samples(name, x)
    if len(x) < _HELD_OUT:
        raise UserError(f"{name}: has {len(x)} samples, expected {_HELD_OUT} at least")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind not in "iufb" or (y.dtype.kind == "f" and not np.isfinite(y).all()):
        raise UserError(f"{name}: y holds something else than finite numbers")
    y = y.astype(np.float32 if y.dtype.kind == "f" else np.int64)
    order = engine.stream_permutation(0, "held out", 0, len(x))
    test, training = (np.sort(rows) for rows in np.split(order, [len(x) // _HELD_OUT]))
    if x.ndim == 2:
        scale = scale or _scale_of(x[training])
        if scale.mean.shape != x.shape[1:]:
            raise UserError(
                f"{name}: has {x.shape[1]} columns besides the target, expected {len(scale.mean)}"
            )
        x = scale(x)
    else:
        scale = None
    split: Split = (x[training], y[training]), (x[test], y[test])
    return Data(name, split, _classes(name, split), scale)


def as_samples(name: str, x: NDArray[Any]) -> NDArray[Any]:
    """Samples as a network takes them: float32, bytes of images in [0, 1], grey ones a channel."""
    if x.dtype.kind not in "iufb" or x.ndim < 2:
        raise UserError(
            f"{name}: x has dtype {x.dtype} and shape {x.shape}, expected numbers, one row a sample"
        )
    is_image = x.ndim > 2
    if x.ndim == 3:
        x = x[:, np.newaxis]
    scaled = x.astype(np.float32)
    if is_image and x.dtype == np.uint8:
        scaled /= np.float32(255)
    if not np.isfinite(scaled).all():
        raise UserError(f"{name}: x holds values that are not finite")
    return scaled


def objective(loss: str | None, found: Data) -> tuple[str, int, Split]:
    """The loss, how many outputs it needs, and the targets as it wants them."""
    loss = loss or ("mse" if found.classes is None else "cross-entropy")
    if loss == "cross-entropy":
        if found.classes is None:
            raise UserError(
                "--loss: cross-entropy needs labels, whole numbers from 0; the targets of"
                f" {found.name} are numbers: use --loss mse"
            )
        return loss, found.classes, found.split
    one_hot = None
    if found.classes is not None and not found.is_file:
        one_hot = data.transforms.OneHot(found.classes)
    # Numbers are a column, for one output.
    training, test = (
        (x, one_hot(y) if one_hot else y.astype(np.float32).reshape(len(y), -1))
        for x, y in found.split
    )
    return loss, training[1].shape[1], (training, test)


def _scale_of(x: NDArray[Any]) -> Scale:
    mean = np.asarray(x.mean(axis=0, dtype=np.float64), np.float32)
    std = np.asarray(x.std(axis=0, dtype=np.float64), np.float32)
    return Scale(mean, np.where(std > 0, std, np.float32(1)))


def _classes(name: str, split: Split) -> int | None:
    """How many there are, where the targets are labels."""
    (_, y), (_, y_test) = split
    if y.dtype.kind != "i" or y.ndim != 1:
        return None
    least, most = min(y.min(), y_test.min()), max(y.max(), y_test.max())
    if least < 0 or most >= _MOST_CLASSES:
        return None  # whole numbers, but no labels
    # A data set that is known has ten, whichever of them a part of it holds.
    return int(most) + 1 if name not in RECIPES else max(10, int(most) + 1)


def to_text(scale: Scale | None) -> dict[str, str]:
    """For the metadata of a file; each number as short as it can be read back."""
    if scale is None:
        return {}
    return {
        name: ",".join(str(value) for value in getattr(scale, name)) for name in ("mean", "std")
    }


def from_text(metadata: dict[str, str]) -> Scale | None:
    """The same back; ValueError where it is none."""
    if "mean" not in metadata:
        return None
    mean, std = (
        np.array([float(text) for text in metadata.get(name, "").split(",")], np.float32)
        for name in ("mean", "std")
    )
    if mean.shape != std.shape or not all(map(math.isfinite, [*mean, *std])) or (std <= 0).any():
        raise ValueError("its mean and std are no scale of columns")
    return Scale(mean, std)
