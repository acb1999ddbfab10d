"""Changes of images on their way to the network, the same for the same seed.

A transform works on whole batches (N, C, H, W) of floats. What is random about it comes from
numbers that belong to the sample, its row in the data set, and the epoch: so neither the batch
size, nor the order, nor the number of workers changes what a sample becomes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._core import engine
from nncore.data._warp import rotated

Array = NDArray[Any]


class Transform:
    """The base: `apply` turns a batch, given `draws` numbers from [0, 1) for each sample.

    Called as ``transform(x, seed=..., epoch=...)`` it takes x for the rows 0, 1, ... of a set.
    """

    draws: int = 0

    def apply(self, x: Array, draws: NDArray[np.float64]) -> Array:
        """The batch `x` changed; x itself is left alone. draws: (N, self.draws)."""
        raise NotImplementedError(f"{type(self).__name__}: define apply(x, draws)")

    def __call__(self, x: Array, seed: int = 0, epoch: int = 0) -> Array:
        """`x` as a data loader of this seed would give it in this epoch."""
        numbers = Draws(self, len(x), seed, epoch)
        return numbers.apply(x, np.arange(len(x)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({shown})"


class Compose(Transform):
    """One after the other: transforms, and plain functions of a batch."""

    def __init__(self, *transforms: Transform | Callable[[Array], Array]) -> None:
        for number, transform in enumerate(transforms):
            if not callable(transform):
                raise TypeError(
                    f"Compose: transform {number} must be a Transform or a function, got"
                    f" {type(transform).__name__}"
                )
        self.transforms = transforms
        self.draws = sum(t.draws for t in transforms if isinstance(t, Transform))

    def apply(self, x: Array, draws: NDArray[np.float64]) -> Array:
        taken = 0
        for transform in self.transforms:
            if isinstance(transform, Transform):
                x = transform.apply(x, draws[:, taken : taken + transform.draws])
                taken += transform.draws
            else:
                x = transform(x)
        return x


class Draws:
    """The random numbers of one epoch for all samples of a set."""

    def __init__(self, transform: Transform, samples: int, seed: int, epoch: int) -> None:
        self._transform = transform
        shape = (samples, transform.draws)
        self._numbers = engine.stream_uniform(seed, "transform", epoch, shape, np.float64, 0.0, 1.0)

    def apply(self, x: Array, rows: NDArray[np.int64]) -> Array:
        """The batch `x`, which is these rows of the set, transformed."""
        return self._transform.apply(x, self._numbers[rows])


class Normalize(Transform):
    """x <- (x - mean) / std, each a number or one for each channel."""

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all()):
            raise ValueError(f"Normalize: mean and std must be finite, got {mean!r} and {std!r}")
        if not (self.std > 0).all():
            raise ValueError(f"Normalize: std must be positive, got {std!r}")

    def apply(self, x: Array, draws: NDArray[np.float64]) -> Array:
        channels = x.shape[1] if x.ndim == 4 else None
        for name, value in (("mean", self.mean), ("std", self.std)):
            if value.ndim and value.shape != (channels,):
                raise ValueError(
                    f"Normalize: {name} has shape {value.shape}, x has shape {x.shape}"
                )
        mean, std = (
            value.astype(x.dtype).reshape(-1, 1, 1) if value.ndim else x.dtype.type(value)
            for value in (self.mean, self.std)
        )
        return np.asarray((x - mean) / std)


class RandomCrop(Transform):
    """A window of `size` from somewhere within the image, padded by `padding` zeros all around."""

    draws = 2

    def __init__(self, size: int | tuple[int, int], padding: int = 0) -> None:
        self.size = _pair("RandomCrop", "size", size, 1)
        self.padding = _pair("RandomCrop", "padding", padding, 0)

    def apply(self, x: Array, draws: NDArray[np.float64]) -> Array:
        _check_images("RandomCrop", x)
        (height, width), (above, left) = self.size, self.padding
        rows, columns = x.shape[2] + 2 * above, x.shape[3] + 2 * left
        if height > rows or width > columns:
            raise ValueError(
                f"RandomCrop: size {self.size} is larger than the padded images, {rows}x{columns}"
            )
        places = (draws * (rows - height + 1, columns - width + 1)).astype(np.int64)
        return _cropped(x, places, self.size, self.padding)


class RandomShift(Transform):
    """Moved by up to `pixels` in both directions; zeros come in at the other side."""

    draws = 2

    def __init__(self, pixels: int | tuple[int, int]) -> None:
        self.pixels = _pair("RandomShift", "pixels", pixels, 0)

    def apply(self, x: Array, draws: NDArray[np.float64]) -> Array:
        _check_images("RandomShift", x)
        places = (draws * (2 * self.pixels[0] + 1, 2 * self.pixels[1] + 1)).astype(np.int64)
        return _cropped(x, places, x.shape[2:], self.pixels)


class RandomHorizontalFlip(Transform):
    """Left and right exchanged, with probability `p`."""

    draws = 1
    _axis = 3

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p must be from 0 to 1, got {p!r}")
        self.p = float(p)

    def apply(self, x: Array, draws: NDArray[np.float64]) -> Array:
        _check_images(type(self).__name__, x)
        turned = draws[:, 0] < self.p
        result = x.copy(order="K")
        result[turned] = np.flip(x[turned], self._axis)
        return result


class RandomVerticalFlip(RandomHorizontalFlip):
    """Upside down, with probability `p`."""

    _axis = 2


class RandomRotation(Transform):
    """Turned around the centre by up to `degrees` either way, bilinear; zeros come in."""

    draws = 1

    def __init__(self, degrees: float) -> None:
        if not (np.isfinite(degrees) and degrees >= 0):
            raise ValueError(f"RandomRotation: degrees must be from 0 on, got {degrees!r}")
        self.degrees = float(degrees)

    def apply(self, x: Array, draws: NDArray[np.float64]) -> Array:
        _check_images("RandomRotation", x)
        return rotated(x, np.radians(self.degrees) * (2 * draws[:, 0] - 1))


class OneHot:
    """Labels (N,) as rows of `classes` zeros with a one at the label: for `target_transform`."""

    def __init__(self, classes: int, dtype: Any = np.float32) -> None:
        (self.classes, _), self.dtype = _pair("OneHot", "classes", classes, 1), dtype

    def __call__(self, labels: Array) -> Array:
        labels = np.asarray(labels)
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise TypeError(
                f"OneHot: labels have dtype {labels.dtype} and shape {labels.shape}, expected"
                " integers (N,)"
            )
        wrong = np.flatnonzero((labels < 0) | (labels >= self.classes))
        if wrong.size:
            raise IndexError(
                f"OneHot: label {labels[wrong[0]]} in row {wrong[0]}, expected 0 to"
                f" {self.classes - 1}"
            )
        return np.eye(self.classes, dtype=self.dtype)[labels]


def _cropped(
    x: Array, places: NDArray[np.int64], size: tuple[int, ...], padding: tuple[int, int]
) -> Array:
    """Windows of `size` from the padded images, each at its own place."""
    (above, left), (height, width) = padding, size
    padded = np.pad(x, ((0, 0), (0, 0), (above, above), (left, left)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    return np.asarray(windows[np.arange(len(x)), :, places[:, 0], places[:, 1]])


def _check_images(name: str, x: Array) -> None:
    if x.ndim != 4 or x.dtype.kind != "f":
        raise ValueError(
            f"{name}: x has shape {x.shape} and dtype {x.dtype}, expected floats (N, C, H, W)"
        )


def _pair(name: str, argument: str, value: Any, least: int) -> tuple[int, int]:
    pair = value if isinstance(value, tuple) else (value, value)
    if len(pair) != 2 or any(isinstance(v, bool) or not isinstance(v, int) for v in pair):
        raise TypeError(f"{name}: {argument} must be an integer or two, got {value!r}")
    if min(pair) < least:
        raise ValueError(f"{name}: {argument} must be at least {least}, got {value!r}")
    return pair
