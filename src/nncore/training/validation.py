"""What is measured after each epoch: held-out arrays, a part of the data, or a loader."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nncore._core import engine
from nncore.nn.module import Module
from nncore.training.feeds import batch_of, check_loader, first_batch
from nncore.training.runners import Runner
from nncore.training.samples import Samples, gives_batches, samples
from nncore.training.tally import Tally
from nncore.training.weighting import Weights

if TYPE_CHECKING:
    from nncore.training.trainer import Trainer


class Validation(Protocol):
    """Something that a runner can measure."""

    def measure(self, runner: Runner, tally: Tally) -> None:
        """Count all of it; changes and records nothing."""


class ArrayValidation:
    """Arrays in memory."""

    def __init__(self, data: Samples, batch_size: int) -> None:
        self.data, self._batch_size = data, batch_size

    def measure(self, runner: Runner, tally: Tally) -> None:
        runner.measure(self.data, self._batch_size, tally)


class LoaderValidation:
    """Batches as a loader gives them."""

    def __init__(self, function: str, loader: Any, model: Module) -> None:
        check_loader(function, loader)
        self._function, self._loader, self._model = function, loader, model

    def first(self) -> Samples:
        """The first batch, to look at."""
        return first_batch(self._function, self._loader, self._model)

    def measure(self, runner: Runner, tally: Tally) -> None:
        for number, given in enumerate(self._loader, 1):
            data, _ = batch_of(f"{self._function}: batch {number}", given, self._model)
            loss, output = runner.evaluate(data.x, data.y)
            tally.add(loss, output, data.y)
        if tally.batches == 0:
            raise ValueError(f"{self._function}: the {type(self._loader).__name__} gave no batch")


def validation_of(
    trainer: "Trainer", function: str, x: Any, y: Any, batch_size: int
) -> tuple[Validation, Samples]:
    """What is measured, tried on the model, and some samples of it."""
    if not gives_batches(x, y):
        data = samples(function, x, y, trainer.model)
        trainer._try(function, data)
        return ArrayValidation(data, batch_size), data
    loader = LoaderValidation(function, x, trainer.model)
    first = loader.first()
    trainer._try(function, first)
    return loader, first


def split(
    function: str, data: Samples, weights: Weights | None, fraction: Any, seed: int
) -> tuple[Samples, Weights | None, Samples]:
    """Training data, their weights, and the part that is held out, drawn from the seed.

    Drawn, since data sets are often sorted: Keras takes the last samples.
    """
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float, np.floating)):
        raise TypeError(f"{function}: validation_split must be a number, got {fraction!r}")
    if not 0 < fraction < 1:
        raise ValueError(f"{function}: validation_split must be between 0 and 1, got {fraction!r}")
    count = len(data)
    held = round(count * float(fraction))
    if not 0 < held < count:
        raise ValueError(
            f"{function}: validation_split={fraction!r} of {count} samples leaves none on one side"
        )
    order = engine.stream_permutation(seed, "validation_split", 0, count)
    # In the order of the data on both sides: a run that does not shuffle keeps it.
    out, kept = np.sort(order[:held]), np.sort(order[held:])
    return (
        Samples(data.x[kept], data.y[kept]),
        None if weights is None else weights[kept],
        Samples(data.x[out], data.y[out]),
    )
