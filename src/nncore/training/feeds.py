"""Where batches come from: arrays in memory, or a loader.

A loader is any object that gives pairs (x, y), or triples (x, y, sample_weight), each time it is
iterated over. What it may have besides:

    len(loader)               batches in an epoch
    loader.batches(e, first)  iterates over epoch e (from 0) from a batch on, so that a resumed run
                              has the same order; called in place of iter
    loader.set_epoch(e)       else, called before iter; a resumed run draws and drops what was done
    loader.seed               compared when a run is resumed
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore._core import engine
from nncore.nn.arrays import Array
from nncore.nn.module import Module
from nncore.training.runners import Order, Runner, Watcher
from nncore.training.samples import Samples, samples
from nncore.training.tally import Tally
from nncore.training.weighting import Weights, check_loss, weights_of


class Stop(NamedTuple):
    """A batch whose loss was not finite."""

    loss: float
    data: Samples
    rows: NDArray[np.int64] | None  # in the data set, where they are known


class Feed:
    """Gives the batches of an epoch to a runner."""

    batches: int | None = None  # in an epoch, where that is known
    size: int | None = None  # samples in an epoch
    batch_size: int | None = None
    seed: Any = None  # of a loader

    def peek(self, epoch: int, batch: int) -> Samples:
        """Some samples of an epoch that will be opened there, to try model and loss on."""
        raise NotImplementedError

    def open(self, epoch: int, batch: int) -> None:
        """Begin an epoch (from 0) at a batch."""
        raise NotImplementedError

    def run(
        self, runner: Runner, end: int | None, tally: Tally, watcher: Watcher | None
    ) -> tuple[int, Stop | None]:
        """Train up to batch `end` (None: all); the number of the next batch, or of the bad one."""
        raise NotImplementedError

    def over(self) -> bool:
        """Whether there is no batch left."""
        raise NotImplementedError


class ArrayFeed(Feed):
    """Arrays in memory, in an order drawn from the seed and the number of the epoch."""

    def __init__(
        self, data: Samples, weights: Weights | None, batch_size: int, shuffle: bool, seed: int
    ) -> None:
        self._data, self._weights, self._shuffle, self._seed = data, weights, shuffle, seed
        self.size = self._count = len(data)
        self.batch_size = self._rows = batch_size
        self.batches = self._batches = math.ceil(len(data) / batch_size)
        self._order: Order = None
        self._at = 0

    def peek(self, epoch: int, batch: int) -> Samples:
        return self._data

    def open(self, epoch: int, batch: int) -> None:
        self._at = batch
        if self._shuffle:
            self._order = engine.stream_permutation(self._seed, "shuffle", epoch, self._count)

    def over(self) -> bool:
        return self._at >= self._batches

    def run(
        self, runner: Runner, end: int | None, tally: Tally, watcher: Watcher | None
    ) -> tuple[int, Stop | None]:
        end = self._batches if end is None else min(end, self._batches)
        part = self._at, end
        stopped = runner.epoch(
            self._data, self._order, self._rows, part, self._weights, tally, watcher
        )
        if stopped is None:
            self._at = end
            return end, None
        at, loss = stopped
        rows = self._data.rows_between(self._rows, self._order, at, at + 1)
        taken = np.arange(self._count)[rows]
        return at, Stop(loss, Samples(self._data.x[taken], self._data.y[taken]), taken)


class LoaderFeed(Feed):
    """Batches as a loader gives them."""

    def __init__(
        self, function: str, loader: Any, model: Module, loss_fn: Any, class_weight: Any
    ) -> None:
        check_loader(function, loader)
        self._function, self._loader, self._model = function, loader, model
        self._loss_fn, self._class_weight = loss_fn, class_weight
        self.batches = len(loader) if hasattr(loader, "__len__") else None
        self.seed = getattr(loader, "seed", None)
        self._at = 0
        self._source: Iterator[Any] = iter(())
        self._next: tuple[Samples, Weights | None] | None = None
        self._opened: tuple[int, int] | None = None

    def peek(self, epoch: int, batch: int) -> Samples:
        self.open(epoch, batch)
        if self._next is not None:
            return self._next[0]
        # The epoch was left after its last batch, or there is none.
        return first_batch(self._function, self._loader, self._model)

    def take(self) -> Samples:
        """The next batch."""
        data = self.peek(*(self._opened or (0, 0)))
        self._draw()
        return data

    def open(self, epoch: int, batch: int) -> None:
        if self._opened == (epoch, batch):
            return  # and `peek` has looked at it
        if hasattr(self._loader, "batches"):
            self._source = iter(self._loader.batches(epoch, batch))
        else:
            if hasattr(self._loader, "set_epoch"):
                self._loader.set_epoch(epoch)
            self._source = iter(self._loader)
            for _ in zip(range(batch), self._source, strict=False):
                pass
        self._at, self._opened = batch, (epoch, batch)
        self._draw()

    def over(self) -> bool:
        return self._next is None

    def run(
        self, runner: Runner, end: int | None, tally: Tally, watcher: Watcher | None
    ) -> tuple[int, Stop | None]:
        self._opened = None
        while self._next is not None and (end is None or self._at < end):
            data, weights = self._next
            loss = runner.train(data.x, data.y, weights, tally)
            if not math.isfinite(loss):
                return self._at, Stop(loss, data, None)
            self._at += 1
            if watcher is not None:
                watcher.note(self._at)
            self._draw()
        return self._at, None

    def _draw(self) -> None:
        given = next(self._source, None)
        if given is None:
            self._next = None
            return
        where = f"{self._function}: batch {self._at + 1}"
        data, sample_weight = batch_of(where, given, self._model)
        if sample_weight is not None:
            check_loss(where, self._loss_fn)
        weights = weights_of(where, len(data), data.y, sample_weight, self._class_weight)
        self._next = data, weights


def check_loader(function: str, loader: Any) -> None:
    """Whether it can be gone through again and again."""
    if iter(loader) is loader:
        raise TypeError(
            f"{function}: got a {type(loader).__name__}, which can be gone through once: expected"
            " an object that gives its batches anew in each epoch, such as a list or a loader"
        )


def first_batch(function: str, loader: Any, model: Module) -> Samples:
    """The first batch of a loader, to look at."""
    for given in loader:
        return batch_of(f"{function}: batch 1", given, model)[0]
    raise ValueError(f"{function}: the {type(loader).__name__} gave no batch")


def batch_of(where: str, given: Any, model: Module) -> tuple[Samples, Array | None]:
    """What a loader gave, checked: samples, and their weights where there are any."""
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        found = f"{len(given)} parts" if isinstance(given, (tuple, list)) else type(given).__name__
        raise TypeError(f"{where}: expected a pair (x, y), got {found}")
    return samples(where, given[0], given[1], model), given[2] if len(given) == 3 else None
