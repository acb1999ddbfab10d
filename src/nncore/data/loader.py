"""Batches of a data set, in an order that its seed decides, prepared ahead by threads."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncore._core import engine
from nncore.data.dataset import Array, ArrayDataset, Source
from nncore.data.transforms import Transform

if TYPE_CHECKING:
    from concurrent.futures import Future


class DataLoader:
    """Batches (x, y) of a data set; each iteration is an epoch.

    Parameters
    ----------
    dataset : ArrayDataset, (x, y), or anything with ``len`` and samples by number
    batch_size : int
        Samples a batch; the last one takes what is left.
    shuffle : bool
        Whether each epoch has a new random order.
    seed : int, optional
        Of the orders and of random transforms: the same seed gives the same epochs. Default: drawn
        once; `seed` tells it.
    drop_last : bool
        Whether to leave out a last batch that is not full.
    transform : Transform or function of a batch, optional
        Applied to x; see `nncore.data.transforms`.
    target_transform : function of a batch, optional
        Applied to y, `OneHot` for example.
    workers : int
        Threads that prepare batches ahead. NumPy and the engine let go of the interpreter while
        they work, so threads are enough. 0: batches are prepared when they are asked for.
    prefetch : int
        Batches each worker may be ahead.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range.

    Notes
    -----
    The order of epoch e comes from (seed, e), so ``loader.epoch = e`` goes on with that epoch, as
    a resumed run does. Neither workers nor batch size change what a sample becomes.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 32,
        shuffle: bool = False,
        *,
        seed: int | None = None,
        drop_last: bool = False,
        transform: Transform | Callable[[Array], Array] | None = None,
        target_transform: Callable[[Array], Array] | None = None,
        workers: int = 0,
        prefetch: int = 2,
    ) -> None:
        if isinstance(dataset, tuple):
            dataset = ArrayDataset(*dataset)
        elif isinstance(dataset, np.ndarray):
            dataset = ArrayDataset(dataset)
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(
                "DataLoader: dataset must have a length and samples by number, got"
                f" {type(dataset).__name__}"
            )
        self.batch_size = _integer("batch_size", batch_size, 1)
        self.workers = _integer("workers", workers, 0)
        self.prefetch = _integer("prefetch", prefetch, 1)
        self.seed = int.from_bytes(os.urandom(4)) if seed is None else _integer("seed", seed, 0)
        for name, value in (("transform", transform), ("target_transform", target_transform)):
            if value is not None and not callable(value):
                raise TypeError(f"DataLoader: {name} must be callable, got {value!r}")
        self.dataset, self.shuffle, self.drop_last = dataset, bool(shuffle), bool(drop_last)
        self.epoch = 0
        self._source = Source(dataset, transform, target_transform, self.seed)

    def __len__(self) -> int:
        """Batches of an epoch."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The rows of the set in the order in which an epoch takes them."""
        count = len(self.dataset)
        if not self.shuffle:
            return np.arange(count)
        return engine.stream_permutation(self.seed, "shuffle", epoch, count)

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self.batches(epoch)

    def batches(self, epoch: int, first: int = 0) -> Iterator[Any]:
        """The batches of an epoch from number `first` on."""
        order, draws = self.order(epoch), self._source.draws(epoch)
        starts = range(first * self.batch_size, len(self) * self.batch_size, self.batch_size)
        rows = (order[start : start + self.batch_size] for start in starts)
        if self.workers == 0:
            return (self._source.batch(taken, draws) for taken in rows)
        return self._ahead(rows, draws)

    def _ahead(self, rows: Iterator[NDArray[np.int64]], draws: Any) -> Iterator[Any]:
        from concurrent.futures import ThreadPoolExecutor  # here, because it loads much

        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="nncore-data")
        waiting: deque[Future[Any]] = deque()
        try:
            for taken in rows:
                waiting.append(pool.submit(self._source.batch, taken, draws))
                if len(waiting) > self.workers * self.prefetch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # also where the caller stops in the middle
            pool.shutdown(wait=True, cancel_futures=True)

    def __repr__(self) -> str:
        return (
            f"DataLoader({self.dataset!r}, batch_size={self.batch_size}, shuffle={self.shuffle},"
            f" seed={self.seed})"
        )


def _integer(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"DataLoader: {name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"DataLoader: {name} must be at least {least}, got {value}")
    return int(value)
