"""A data set in memory: samples, their targets, and what is done to both on the way."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore._core import engine
from nncore.data._images import check_dtype
from nncore.data.transforms import Draws, Transform

Array = NDArray[Any]


class ArrayDataset:
    """Arrays with one row a sample.

    Parameters
    ----------
    x : array_like
        Samples. uint8 images stay uint8 in memory, a quarter of the size, and are scaled to
        [0, 1] when they are taken; other arrays are converted to `dtype` once.
    y : array_like, optional
        Labels or targets of the samples.
    dtype : float32 or float64
        Of the samples that are taken.

    Raises
    ------
    TypeError, ValueError
        x is not of numbers, the two have different numbers of rows, `dtype` is neither.

    Notes
    -----
    ``dataset[i]`` is one sample and its target, ``dataset[rows]`` several, ``len(dataset)`` their
    number.
    """

    def __init__(self, x: Any, y: Any = None, *, dtype: DTypeLike = np.float32) -> None:
        self.dtype = check_dtype("ArrayDataset", dtype, (np.float32, np.float64))
        if hasattr(x, "detach"):
            x = x.detach().cpu()
        if isinstance(x, np.ndarray) and x.dtype == np.uint8:
            given: Array = x
        else:
            given = engine.floating(x, self.dtype, "ArrayDataset", "x")
        if given.ndim == 0:
            raise ValueError("ArrayDataset: x is a single number, expected one row a sample")
        self.x, _ = engine.sample_rows(given)
        self.y: Array | None = None
        if y is not None:
            self.y = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
            if self.y.ndim == 0 or len(self.y) != len(self.x):
                raise ValueError(
                    f"ArrayDataset: x has {len(self.x)} samples, y has shape {self.y.shape}"
                )
        self._scaled = np.arange(256, dtype=self.dtype) / self.dtype.type(255)

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Any) -> tuple[Array, Array | None]:
        """The samples of these rows, in `dtype`, and their targets."""
        rows = np.asarray(rows, np.int64)
        table = self._scaled if self.x.dtype == np.uint8 else None
        x = engine.gather_rows(self.x, rows, self.dtype, table, layer="ArrayDataset")
        return x, None if self.y is None else self.y[rows]

    def __getitem__(self, index: Any) -> tuple[Array, Any]:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"ArrayDataset: sample {index} of {len(self)}")
            x, y = self.take([int(index) % len(self)])
            return x[0], None if y is None else y[0]
        return self.take(index)

    def __repr__(self) -> str:
        y = "" if self.y is None else f", y {self.y.dtype} {self.y.shape}"
        return f"ArrayDataset(x {self.x.dtype} {self.x.shape}{y})"


class Source:
    """What a loader reads: a set, and the transforms of both sides."""

    def __init__(
        self,
        dataset: Any,
        transform: Transform | Callable[[Array], Array] | None,
        target_transform: Callable[[Array], Array] | None,
        seed: int,
    ) -> None:
        self.dataset, self.seed = dataset, seed
        self._transform, self._target_transform = transform, target_transform
        self._take = dataset.take if hasattr(dataset, "take") else self._stacked

    def draws(self, epoch: int) -> Draws | None:
        """The random numbers of an epoch."""
        if not isinstance(self._transform, Transform):
            return None
        return Draws(self._transform, len(self.dataset), self.seed, epoch)

    def batch(self, rows: NDArray[np.int64], draws: Draws | None) -> Any:
        """The samples of these rows, transformed, and their targets; without targets x alone."""
        x, y = self._take(rows)
        if draws is not None:
            x = draws.apply(x, rows)
        elif self._transform is not None:
            x = self._transform(x)
        if y is None:
            return x
        return x, y if self._target_transform is None else self._target_transform(y)

    def _stacked(self, rows: NDArray[np.int64]) -> tuple[Array, Array | None]:
        """Samples of a set that gives one at a time."""
        samples = [self.dataset[int(row)] for row in rows]
        if samples and not isinstance(samples[0], tuple):
            return np.stack([np.asarray(x) for x in samples]), None
        x, y = zip(*samples, strict=True)
        return np.stack([np.asarray(v) for v in x]), np.stack([np.asarray(v) for v in y])
