"""`Trainer`: epochs over a data set, measured and shown."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from nncore._core import engine
from nncore.nn import init
from nncore.nn.arguments import flag, integer
from nncore.nn.arrays import Array
from nncore.nn.module import Module
from nncore.nn.recording import no_record
from nncore.training import checks
from nncore.training.console import Console
from nncore.training.evaluation import Evaluation, GeneralizationReport
from nncore.training.history import History
from nncore.training.meter import Meter
from nncore.training.runners import EagerRunner, Runner, Watcher, compiled_or_eager
from nncore.training.samples import Samples, inputs, samples


class Trainer:
    """Trains a model on a data set and measures it.

    Parameters
    ----------
    model : Module
    loss_fn : loss function
        Called with a batch of outputs and targets; the mean over the batch.
    optimizer : Optimizer, optional
        Of the model's parameters. Without one the trainer can `evaluate` and `predict`.
    seed : int, optional
        Of everything random in training, by name: today the order of the samples in each epoch. The
        same seed, data and initial weights give the same weights, bit for bit, at any number of
        threads. The weights themselves are left as they are (they may be trained already):
        ``model.reset_parameters(seed)`` initialises them. Without a seed one is drawn from the
        operating system's entropy.

    Attributes
    ----------
    history : History
        All epochs of this trainer.
    seed : int
        The seed, given or drawn: with it a run can be repeated.

    Examples
    --------
    >>> trainer = nc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), seed=0)
    >>> history = trainer.fit(x_train, y_train, epochs=5, validation_data=(x_test, y_test))
    >>> print(trainer.evaluate(x_test, y_test))

    Raises
    ------
    TypeError, ValueError
        An argument is of another kind, or the optimizer holds none of the model's parameters.
    """

    def __init__(
        self, model: Module, loss_fn: Any, optimizer: Any = None, *, seed: int | None = None
    ) -> None:
        checks.parts(model, loss_fn, optimizer)
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer
        self.seed = init.seed_or_entropy(seed, "Trainer")
        self.history = History()

    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[Any, Any] | None = None,
        shuffle: bool = True,
        verbose: int = 1,
        compiled: bool = True,
    ) -> History:
        """Train for some epochs.

        Parameters
        ----------
        x : array_like
            Inputs, one row a sample. Lists, data frames and float64 arrays are converted to the
            model's dtype.
        y : array_like
            Integer labels or floating targets, as the loss wants them.
        epochs : int
            How many epochs to train. A second `fit` goes on: with the numbers of the epochs, their
            orders of samples and the history, as if it had been one.
        batch_size : int
            Samples a step. The last batch of an epoch takes what is left, and is trained on like
            the others.
        validation_data : tuple (x, y), optional
            Measured after each epoch, in eval mode.
        shuffle : bool
            Whether each epoch has an order of its own, drawn from the seed and the number of the
            epoch.
        verbose : int
            0: silent. 1: a row for each epoch and, on a terminal, a bar within it. 2: rows only.
        compiled : bool
            Whether to train by the compiled step where the model has one. The result is the same
            bit for bit.

        Returns
        -------
        History
            Of all epochs so far: `history`. Loss and accuracy of an epoch are means over its
            samples, each measured when its batch was trained on, so while the weights changed;
            validation comes after.

        Raises
        ------
        TypeError, ValueError, IndexError
            Something is wrong with the arguments, or x or y do not fit the model or the loss: found
            before anything is changed.
        FloatingPointError
            A loss was infinite or not a number: names epoch and batch. That batch was not trained
            on.
        RuntimeError
            There is no optimizer.

        Notes
        -----
        After any exception, `KeyboardInterrupt` included, the model is in the modes it was in,
        gradients are zero, weights are those after the last whole batch, and the history ends with
        the last whole epoch.
        """
        here = "Trainer.fit"
        if self.optimizer is None:
            raise RuntimeError(
                f"{here}: the trainer has no optimizer: Trainer(model, loss_fn, optimizer)"
            )
        checks.held(here, self.model, self.optimizer)
        epochs = integer(here, "epochs", epochs, 1)
        batch_size = integer(here, "batch_size", batch_size, 1)
        shuffle, compiled = flag(here, "shuffle", shuffle), flag(here, "compiled", compiled)
        console = Console(checks.verbosity(here, verbose))
        data = self._samples(here, x, y)
        validation = None
        if validation_data is not None:
            validation = self._samples(
                f"{here}: validation_data", *checks.pair(here, "validation_data", validation_data)
            )

        plan = _Plan(data, validation, batch_size, shuffle, len(self.history) + epochs, console)
        with self._restored():
            try:
                runner = self._runner(data.x, batch_size, compiled, console)
                while len(self.history) < plan.last:
                    self._epoch(runner, plan)
            finally:
                console.clear_bar()
                self.model.zero_grad()
        return self.history

    def evaluate(
        self, x: Any, y: Any = None, *, batch_size: int = 256, compiled: bool = True
    ) -> Evaluation:
        """Measure the model on samples: the empirical risk and, for labels, the accuracy.

        In eval mode; nothing is changed or recorded. Arguments and errors are those of `fit`.
        """
        here = "Trainer.evaluate"
        batch_size = integer(here, "batch_size", batch_size, 1)
        data = self._samples(here, x, y)
        with self._restored():
            self.model.eval()
            runner = self._runner(data.x, batch_size, flag(here, "compiled", compiled), None)
            return _measure(runner, data, batch_size).evaluation()

    def report(
        self,
        train: tuple[Any, Any],
        test: tuple[Any, Any],
        *,
        batch_size: int = 256,
        compiled: bool = True,
    ) -> GeneralizationReport:
        """Measure the model on the training and on the test set, and the gap between the two.

        Each of them is a pair (x, y). The error on the training set is the approximation error,
        that on the test set the test error, their difference the generalisation gap.
        """
        here = "Trainer.report"
        pairs = checks.pair(here, "train", train), checks.pair(here, "test", test)
        first, second = (
            self.evaluate(x, y, batch_size=batch_size, compiled=compiled) for x, y in pairs
        )
        return GeneralizationReport(train=first, test=second)

    def predict(self, x: Any, batch_size: int = 256, *, compiled: bool = True) -> Array:
        """The model's outputs (logits where the loss is cross-entropy), for samples in batches.

        In eval mode; nothing is recorded.

        Returns
        -------
        array
            One row a sample. Labels: ``trainer.predict(x).argmax(axis=1)``.
        """
        here = "Trainer.predict"
        batch_size = integer(here, "batch_size", batch_size, 1)
        compiled = flag(here, "compiled", compiled)
        rows = inputs(here, x, self._dtype)
        with self._restored():
            self.model.eval()
            first = self._output_of(rows[:1])
            runner = self._runner(rows, batch_size, compiled, None)
            return runner.outputs(rows, batch_size, first)

    # ---- one epoch

    def _epoch(self, runner: Runner, plan: "_Plan") -> None:
        """Train and validate; the history grows only when both are done."""
        done = len(self.history)
        self._before_epoch(done, plan.last)
        started = time.perf_counter()
        values = self._train(runner, plan, done)
        trained = time.perf_counter()
        if plan.validation is not None:
            self.model.eval()
            measured = _measure(runner, plan.validation, plan.batch_size)
            values |= {f"val_{name}": value for name, value in measured.values().items()}
        values["seconds"] = time.perf_counter() - started
        values["samples_per_second"] = len(plan.data) / max(trained - started, 1e-9)
        self.history.append(values)
        plan.console.row(done + 1, plan.last, values)

    def _train(self, runner: Runner, plan: "_Plan", done: int) -> dict[str, float]:
        """One epoch's batches, after so many epochs done; the means over them."""
        order = None
        if plan.shuffle:
            order = engine.stream_permutation(self.seed, "shuffle", done, len(plan.data))
        meter, batches = Meter(), math.ceil(len(plan.data) / plan.batch_size)
        self.model.train()
        plan.console.start_bar()
        watcher = None
        if plan.console.has_bar:
            watcher = Watcher(
                lambda batch: plan.console.bar(done + 1, plan.last, batch, batches, meter.loss),
                plan.console.seconds_between_drawings,
            )
        stopped = runner.epoch(plan.data, order, plan.batch_size, meter, watcher)
        if stopped is not None:
            batch, loss = stopped
            raise FloatingPointError(
                f"Trainer.fit: the loss is {loss} in epoch {done + 1}, batch {batch} of"
                f" {batches}: often the learning rate is too large, or the data hold NaN or"
                " infinity"
            )
        return meter.values()

    def _before_epoch(self, done: int, last: int) -> None:
        """Called before each epoch with the number of epochs done and of the last one to come."""

    # ---- preparation

    @property
    def _dtype(self) -> np.dtype[Any]:
        return self.model.dtype or np.dtype(np.float32)

    def _runner(self, x: Array, batch_size: int, compiled: bool, console: Console | None) -> Runner:
        if not compiled:
            return EagerRunner(self.model, self.loss_fn, self.optimizer)
        room = max(1, min(batch_size, len(x)))
        runner, reason = compiled_or_eager(
            self.model, self.loss_fn, self.optimizer, x.shape[1:], room
        )
        if reason and console is not None:
            console.note(f"Trainer.fit: runs layer by layer, not compiled: {reason}")
        return runner

    def _samples(self, function: str, x: Any, y: Any) -> Samples:
        """x and y, found to fit the model and the loss by trying them on the first sample."""
        data = samples(function, x, y, self._dtype)
        with self._restored():
            self.model.eval()
            output = self._output_of(data.x[:1])
        checks.target(function, self.loss_fn, output, data)
        return data

    def _output_of(self, x: Array) -> Array:
        with no_record():
            return self.model(x)

    @contextmanager
    def _restored(self) -> Iterator[None]:
        """Whatever happens within: afterwards the modes of the model are as before."""
        modes = [(module, module.training) for module in self.model.modules()]
        try:
            yield
        finally:
            for module, training in modes:
                # Assigned only where it differs: each change has compiled steps look at the model
                # again.
                if module.training != training:
                    module.training = training


class _Plan(NamedTuple):
    """What one `fit` does."""

    data: Samples
    validation: Samples | None
    batch_size: int
    shuffle: bool
    last: int  # number of the last epoch
    console: Console


def _measure(runner: Runner, data: Samples, batch_size: int) -> Meter:
    meter = Meter()
    runner.measure(data, batch_size, meter)
    return meter
