"""`Trainer`: epochs over a data set, measured and shown."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nncore.io.checkpoint import read_checkpoint, write_checkpoint
from nncore.nn import init
from nncore.nn.arguments import flag, integer
from nncore.nn.arrays import Array
from nncore.nn.module import Module
from nncore.nn.recording import no_record
from nncore.training import checks, preparation, state
from nncore.training.evaluation import Evaluation, GeneralizationReport
from nncore.training.fitting import Fit
from nncore.training.history import History
from nncore.training.kept import KeptSteps
from nncore.training.lr_finder import RateRange
from nncore.training.metrics import metrics_of
from nncore.training.rule import Rule
from nncore.training.runners import EagerRunner, Runner, compiled_or_eager
from nncore.training.samples import Samples, inputs
from nncore.training.tally import Tally
from nncore.training.validation import validation_of


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
        Of everything random in training, by name: the order of the samples in each epoch, the part
        that `validation_split` holds out. The same seed, data and initial weights give the same
        weights, bit for bit, at any number of threads. The weights themselves are left as they are
        (they may be trained already): ``model.reset_parameters(seed)`` initialises them. Without a
        seed one is drawn from the operating system's entropy.
    metrics : list, optional
        What is measured besides loss and accuracy, in training and validation: names ("accuracy",
        "top5", "precision", "recall", "f1", "mae", "r2", "confusion_matrix"), functions of outputs
        and targets, or objects of `nncore.training.metrics`.
    scheduler : optional
        Of the optimizer's learning rates, from `nncore.optim.lr_scheduler`: its `step` is called
        after each epoch (one that takes a value gets the validation loss, else the training loss).
    scheduler_interval : str
        "epoch", or "batch": `step` after each update.

    Attributes
    ----------
    history : History
        All epochs of this trainer.
    seed : int
        The seed, given or drawn: with it a run can be repeated.
    steps : int
        Updates of the weights so far.
    stop_training : bool
        Set by a callback: ends the run after the epoch (or batch, where it has batch hooks).

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
        self,
        model: Module,
        loss_fn: Any,
        optimizer: Any = None,
        *,
        seed: int | None = None,
        metrics: Any = None,
        scheduler: Any = None,
        scheduler_interval: str = "epoch",
    ) -> None:
        checks.parts(model, loss_fn, optimizer)
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer
        self.seed = init.seed_or_entropy(seed, "Trainer")
        self.metrics = metrics_of("Trainer", metrics)
        self.scheduler = scheduler
        self._schedule = checks.schedule(scheduler, scheduler_interval, optimizer)
        self.history = History()
        self.steps = 0
        self.stop_training = False
        # The fit that runs, and what the last one left in the midst of an epoch.
        self._fit: Fit | None = None
        self._steps_kept = KeptSteps()
        self._kept: tuple[dict[str, Any] | None, list[Any]] = None, []
        self._loader_seed: Any = None
        # Whether the next fit begins there, as after `load_checkpoint`.
        self._goes_on = False

    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: Any = None,
        shuffle: bool = True,
        verbose: int = 1,
        compiled: bool = True,
        *,
        validation_split: float | None = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        clip_grad_norm: float | None = None,
        clip_grad_value: float | None = None,
        accumulate: int = 1,
        callbacks: Any = None,
        logger: Any = None,
        resume: bool | str | os.PathLike[str] | None = None,
    ) -> History:
        """Train for some epochs.

        Parameters
        ----------
        x : array_like, or loader
            Inputs, one row a sample. Lists, data frames and float64 arrays are converted to the
            model's dtype. A loader is any object that gives batches (x, y) or
            (x, y, sample_weight) each time it is iterated over; see `nncore.training.feeds`.
        y : array_like
            Integer labels or floating targets, as the loss wants them; none beside a loader.
        epochs : int
            How many epochs to train. A second `fit` goes on: with the numbers of the epochs, their
            orders of samples and the history, as if it had been one.
        batch_size : int
            Samples a step. The last batch of an epoch takes what is left, and is trained on like
            the others.
        validation_data : tuple (x, y), or loader
            Measured after each epoch, in eval mode.
        shuffle : bool
            Whether each epoch has an order of its own, drawn from the seed and the number of the
            epoch.
        verbose : int
            0: silent. 1: a row for each epoch and, on a terminal, a bar within it. 2: rows only.
        compiled : bool
            Whether to train by the compiled step where the model has one. The result is the same
            bit for bit.
        validation_split : float
            In place of `validation_data`: this fraction of the samples, drawn from the seed, is
            held out.
        sample_weight : array_like
            How much each sample counts: the loss of a batch is (1/N) sum_i w_i l_i.
        class_weight : mapping or array_like
            The same by label; those of a mapping that are missing count 1. Both multiply.
            Validation and metrics are without weights.
        clip_grad_norm, clip_grad_value : float
            The largest norm of all gradients together, then the largest magnitude of each number
            in them. (Optimizers have the same as options of their own.)
        accumulate : int
            So many batches are one update, by the gradient of the mean over all their samples:
            weights are those of batches so many times as large, within rounding.
        callbacks : list of Callback
            See `nncore.training.Callback`.
        logger : Logger or list of them
            Objects with ``log_hyperparams(params)`` and ``log_metrics(metrics, step)``.
        resume : path, or True
            Go on from a checkpoint, up to the epoch that this fit would have ended with; everything
            else is as in the fit that was broken off. True: from the file of the `Checkpoint` among
            the callbacks, and from the beginning where there is none yet.

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
            A loss was infinite or not a number: names epoch, batch, sample, and the layer where it
            began. That batch was not trained on. (See `TerminateOnNaN`.)
        RuntimeError
            There is no optimizer.

        Notes
        -----
        After any exception, `KeyboardInterrupt` included, the model is in the modes it was in,
        gradients are zero, weights are those after the last whole batch, and the history ends with
        the last whole epoch. `save_checkpoint` then saves that very moment; another `fit` begins
        the broken epoch anew.
        """
        given = preparation.Given(
            x, y, epochs, batch_size, validation_data, shuffle, verbose, compiled, validation_split,
            sample_weight, class_weight, clip_grad_norm, clip_grad_value, accumulate, callbacks,
            logger, resume,
        )  # fmt: skip
        ready = preparation.prepare(self, given)
        with (
            self._restored(),
            ready.rule.given_to(self.optimizer) as rule,
            preparation.started(self, ready, rule) as self._fit,
        ):
            try:
                self._fit.run(ready.position, ready.states)
            finally:
                self._fit.give_up()
                self._kept, self._fit = self._where(), None
                ready.console.clear_bar()
                self.model.zero_grad()
        return self.history

    def lr_find(
        self,
        x: Any,
        y: Any = None,
        *,
        start: float = 1e-6,
        end: float = 1.0,
        steps: int = 100,
        batch_size: int = 32,
        compiled: bool = True,
    ) -> RateRange:
        """Try growing learning rates, a batch each, and suggest one (Smith's range test).

        Model, optimizer and random streams are put back: it is as if nothing had been trained.

        Parameters
        ----------
        x, y, batch_size, compiled
            As for `fit`.
        start, end : float
            The first and the last rate; the test ends early when the loss explodes.
        steps : int
            How many rates.

        Returns
        -------
        RateRange
            `rates`, `losses`, `smoothed`, `suggestion`, and `plot()`.

        Notes
        -----
        Source: Smith, "Cyclical learning rates for training neural networks" (2017).
        """
        return preparation.find_rate(self, x, y, start, end, steps, batch_size, compiled)

    def evaluate(
        self, x: Any, y: Any = None, *, batch_size: int = 256, compiled: bool = True
    ) -> Evaluation:
        """Measure the model on samples: the empirical risk, the accuracy for labels, the metrics.

        In eval mode; nothing is changed or recorded. Arguments and errors are those of `fit`.
        """
        here = "Trainer.evaluate"
        batch_size = integer(here, "batch_size", batch_size, 1)
        validation, first = validation_of(self, here, x, y, batch_size)
        tally = Tally(self.metrics)
        with self._restored():
            self.model.eval()
            compiled = flag(here, "compiled", compiled)
            with self._runner(first.x, batch_size, compiled) as (runner, _):
                validation.measure(runner, tally)
        measured = {metric.name: metric.compute() for metric in tally.metrics}
        return Evaluation(tally.meter.loss, tally.meter.accuracy, tally.meter.samples, measured)

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
        rows = inputs(here, x, self.model)
        with self._restored():
            self.model.eval()
            first = self._output_of(rows[:1])
            with self._runner(rows, batch_size, compiled) as (runner, _):
                return runner.outputs(rows, batch_size, first)

    # ---- files

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Write everything that decides how training goes on, whole or not at all.

        Weights, optimizer, scheduler, history, the seed, the state of callbacks and, within an
        epoch or after it was broken off, the batch. A file that ends in ``.safetensors`` (needs the
        package of that name) or ``.npz``.

        Raises
        ------
        TypeError, ValueError, ImportError, OSError
            It cannot be saved; an old file of that name stands as it was.
        """
        write_checkpoint(path, state.collect(self))

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Take over what `save_checkpoint` wrote; the next `fit` goes on from there, bit for bit.

        The trainer has been made as the one that was saved: of the same network, optimizer and
        scheduler. All or nothing.

        Raises
        ------
        ValueError
            The file is damaged, no checkpoint, of a later version, or of other parts.
        ImportError, OSError
            It cannot be read.
        """
        state.restore(self, read_checkpoint(path)[0], path)

    def _where(self) -> tuple[dict[str, Any] | None, list[Any]]:
        """The position within an epoch, and the states of callbacks: now, or as a fit left them."""
        if self._fit is not None:
            return self._fit.position(), self._fit.callback_states()
        return self._kept

    # ---- preparation

    @contextmanager
    def _runner(
        self, x: Array, batch_size: int, compiled: bool, rule: Rule | None = None
    ) -> Iterator[tuple[Runner, str]]:
        """What runs batches of samples like these, and why it is not the compiled step alone."""
        rule = Rule() if rule is None else rule
        parts = self.model, self.loss_fn, self.optimizer
        runner: Runner
        if compiled:
            room = max(1, min(batch_size, len(x)))
            runner, reason = compiled_or_eager(*parts, x.shape[1:], room, rule, self._steps_kept)
        else:
            runner, reason = EagerRunner(*parts, rule), ""
        try:
            yield runner, reason
        finally:
            runner.end(self._steps_kept)

    def _try(self, function: str, data: Samples) -> None:
        """Whether samples fit the model and the loss: the first one is tried."""
        with self._restored():
            self.model.eval()
            output = self._output_of(data.x[:1])
        checks.indices(function, self.model, data.x)
        checks.target(function, self.loss_fn, output, data)

    def _output_of(self, x: Array) -> Array:
        with no_record():
            output: Array = self.model(x)
            return output

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
