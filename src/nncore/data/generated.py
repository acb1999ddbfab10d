"""Sets made by formula: two-dimensional problems that a network can be watched on."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore._core import engine
from nncore.data._images import Part, check_dtype


def make_moons(
    count: int = 200, noise: float = 0.1, *, seed: int = 0, dtype: DTypeLike = np.float32
) -> Part:
    """Two half circles that reach into each other.

    Parameters
    ----------
    count : int
        Points in all; the classes differ by one at most.
    noise : float
        Standard deviation of the normal noise added to both coordinates.
    seed : int
        Of the noise and of the places along the curves; the same seed gives the same points.
    dtype : float32 or float64

    Returns
    -------
    x, y
        Points (count, 2), and their classes (count,), int64, 0 and 1 in turn.

    Raises
    ------
    TypeError, ValueError
        `count` is no positive integer, `noise` negative or not finite, `dtype` none of the two.
    """
    points = _Points("make_moons", count, noise, seed, dtype)
    angle = np.pi * points.along
    inner = points.y == 1
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x[inner] = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)[inner]
    return points.part(x)


def make_circles(
    count: int = 200,
    noise: float = 0.05,
    *,
    factor: float = 0.5,
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Part:
    """A circle around a smaller one, whose radius is `factor`; see `make_moons`."""
    if not 0 < factor < 1:
        raise ValueError(f"make_circles: factor must be between 0 and 1, got {factor!r}")
    points = _Points("make_circles", count, noise, seed, dtype)
    angle = 2 * np.pi * points.along
    radius = np.where(points.y == 1, factor, 1.0)
    return points.part(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))


def make_spirals(
    count: int = 300,
    noise: float = 0.03,
    *,
    classes: int = 2,
    turns: float = 1.5,
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Part:
    """Spiral arms around the origin, one a class, `turns` times around; see `make_moons`."""
    points = _Points("make_spirals", count, noise, seed, dtype, classes)
    # The square root spreads the points evenly along the arm.
    radius = np.sqrt(points.along)
    angle = 2 * np.pi * (turns * radius + points.y / classes)
    return points.part(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))


def make_xor(
    count: int = 200, noise: float = 0.0, *, seed: int = 0, dtype: DTypeLike = np.float32
) -> Part:
    """Points of the square [-1, 1] x [-1, 1]; class 1 where the signs differ; see `make_moons`.

    The class is that of the point before the noise is added.
    """
    points = _Points("make_xor", count, noise, seed, dtype)
    side = 2 * points.second - 1
    x = np.stack([2 * points.along - 1, side], axis=1)
    # Across the axis where the class asks for it, so that the classes are of equal size.
    wrong = (x[:, 0] * x[:, 1] < 0) != (points.y == 1)
    x[wrong, 1] *= -1
    return points.part(x)


class _Points:
    """What all of them draw: classes in turn, places along the curve, noise."""

    def __init__(
        self,
        function: str,
        count: int,
        noise: float,
        seed: int,
        dtype: DTypeLike,
        classes: int = 2,
    ) -> None:
        for name, value, least in (("count", count, 1), ("classes", classes, 2)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{function}: {name} must be an integer, got {value!r}")
            if value < least:
                raise ValueError(f"{function}: {name} must be at least {least}, got {value}")
        if not (np.isfinite(noise) and noise >= 0):
            raise ValueError(f"{function}: noise must be a number from 0 on, got {noise!r}")
        self._dtype = check_dtype(function, dtype, (np.float32, np.float64))
        self._noise, self._function, self._seed = float(noise), function, seed
        self.y: NDArray[np.int64] = np.arange(count, dtype=np.int64) % classes
        self.along, self.second = (
            engine.stream_uniform(seed, f"{function}.{name}", 0, (count,), np.float64, 0.0, 1.0)
            for name in ("along", "second")
        )

    def part(self, x: NDArray[np.float64]) -> Part:
        if self._noise > 0:
            name = f"{self._function}.noise"
            x = x + engine.stream_normal(self._seed, name, 0, x.shape, np.float64, 0.0, self._noise)
        return x.astype(self._dtype), self.y
