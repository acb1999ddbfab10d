"""One `fit`: epochs, batches, and who is called when."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from nncore.training import nonfinite
from nncore.training.callbacks import Callbacks
from nncore.training.console import Console
from nncore.training.feeds import Feed, Stop
from nncore.training.monitors import TerminateOnNaN
from nncore.training.runners import Runner, Watcher
from nncore.training.tally import Tally
from nncore.training.validation import Validation

if TYPE_CHECKING:
    from nncore.training.trainer import Trainer


class Plan(NamedTuple):
    """What one `fit` does."""

    feed: Feed
    validation: Validation | None
    last: int  # number of the last epoch
    callbacks: Callbacks
    accumulate: int
    verbose: int
    run: dict[str, Any]  # what must be the same where a run goes on within an epoch


class Fit:
    """The loop. `Trainer.fit` prepares it; a checkpoint asks it where it is."""

    def __init__(self, trainer: Trainer, runner: Runner, plan: Plan, console: Console) -> None:
        self._trainer, self._runner, self._plan, self._console = trainer, runner, plan, console
        self._tally: Tally | None = None
        self._first_rate: float | None = None  # of the epoch

    def run(self, position: dict[str, Any] | None, states: list[Any]) -> None:
        """All epochs, the first from a position within it, callbacks with these states."""
        trainer, plan = self._trainer, self._plan
        feed = plan.feed
        plan.callbacks.begin(
            trainer,
            {
                "epochs": plan.last,
                "steps": feed.batches,
                "batch_size": feed.batch_size,
                "samples": feed.size,
                "verbose": plan.verbose,
                "validation": plan.validation is not None,
            },
        )
        plan.callbacks.load_state_dict(states)
        while len(trainer.history) < plan.last and not trainer.stop_training:
            self._epoch(position)
            position = None
        plan.callbacks.call("on_train_end", logs=self._last_logs())

    def position(self) -> dict[str, Any] | None:
        """Where the epoch is that is under way, and what was counted; None between epochs."""
        if self._tally is None or self._tally.batches == 0:
            return None
        return {"tally": self._tally.state_dict(), "run": self._plan.run, "rate": self._first_rate}

    def give_up(self) -> None:
        """Whatever ended it: batches that still wait for their update changed nothing."""
        self._runner.give_up()

    def callback_states(self) -> list[dict[str, Any]]:
        return self._plan.callbacks.state_dict()

    def _last_logs(self) -> dict[str, Any]:
        history = self._trainer.history
        return dict(history.values(len(history))) if len(history) else {}

    # ---- one epoch

    def _epoch(self, position: dict[str, Any] | None) -> None:
        """Train and validate; the history grows only when both are done."""
        trainer, plan = self._trainer, self._plan
        done = len(trainer.history)
        tally = self._tally = Tally(trainer.metrics)
        if position is None:
            plan.callbacks.call("on_epoch_begin", done, logs={})
            self._first_rate = self._rate()
        else:
            # It has begun already, and what was done then is in the checkpoint.
            tally.load_state_dict(position["tally"])
            self._first_rate = position["rate"]
        started = time.perf_counter()
        before = tally.meter.samples
        trainer.model.train()
        plan.feed.open(done, tally.batches)
        if not self._batches(done, tally):
            return  # TerminateOnNaN
        trained = time.perf_counter()
        samples = tally.meter.samples - before
        values = tally.values()
        if plan.validation is not None:
            values |= self._validate()
        if self._first_rate is not None:
            values["lr"] = self._first_rate
        values["seconds"] = time.perf_counter() - started
        values["samples_per_second"] = samples / max(trained - started, 1e-9)
        self._step_scheduler("epoch", values)
        trainer.history.append(values)
        self._tally = None
        logs = trainer.history.latest
        self._console.row(done + 1, plan.last, logs)
        plan.callbacks.call("on_epoch_end", done, logs=logs)

    def _rate(self) -> float | None:
        """The learning rate, where it may change."""
        trainer = self._trainer
        if trainer.scheduler is None and not self._plan.callbacks.set_rate:
            return None
        return float(trainer.optimizer.param_groups[0]["lr"])

    def _validate(self) -> dict[str, Any]:
        trainer, callbacks = self._trainer, self._plan.callbacks
        if self._plan.validation is None:
            return {}
        trainer.model.eval()
        callbacks.call("on_test_begin", logs={})
        tally = Tally(trainer.metrics)
        self._plan.validation.measure(self._runner, tally)
        values = tally.values()
        callbacks.call("on_test_end", logs=values)
        return {f"val_{name}": value for name, value in values.items()}

    def _step_scheduler(self, interval: str, values: dict[str, Any]) -> None:
        """Tell the scheduler that an epoch or an update is over."""
        scheduler, (wanted, takes_value) = self._trainer.scheduler, self._trainer._schedule
        if scheduler is None or interval != wanted:
            return
        if takes_value:
            scheduler.step(values.get("val_loss", values["loss"]))
        else:
            scheduler.step()

    # ---- its batches

    def _batches(self, done: int, tally: Tally) -> bool:
        """Train on the batches of an epoch; False where it was ended by a loss that is no number.

        The engine runs until somebody wants to know: to the end, where nobody does.
        """
        trainer, plan = self._trainer, self._plan
        callbacks, feed = plan.callbacks, plan.feed
        watcher = self._watcher(done, tally)
        batch = stopped = tally.batches
        self._console.start_bar()
        while not feed.over():
            end = self._next_stop(batch)
            if callbacks.has_batch_hooks:
                callbacks.call("on_train_batch_begin", batch, logs={})
            before = tally.batches
            seen = tally.meter.samples, tally.meter.total
            try:
                batch, stop = feed.run(self._runner, end, tally, watcher)
                if stop is None and feed.over():
                    self._runner.update(tally)
            finally:
                # A group of batches is one update.
                trainer.steps += -(-(tally.batches - before) // plan.accumulate)
            if stop is not None:
                self._end_at(stop, done, batch)
                return False
            if tally.batches > before:
                self._step_scheduler("batch", {})
            if callbacks.has_batch_hooks:
                logs = dict(tally.meter.values())
                if (count := tally.meter.samples - seen[0]) > 0:
                    logs["batch_loss"] = (tally.meter.total - seen[1]) / count
                callbacks.call("on_train_batch_end", batch - 1, logs=logs)
            if callbacks.stops and not feed.over() and batch % plan.accumulate == 0:
                callbacks.stop(stopped, batch)
                stopped = batch
            if trainer.stop_training and callbacks.has_batch_hooks:
                self._runner.drop(tally)
                break
        return True

    def _next_stop(self, batch: int) -> int | None:
        """The batch before which the engine shall stop."""
        plan = self._plan
        if plan.callbacks.has_batch_hooks:
            return batch + 1
        stops = list(plan.callbacks.stops)
        if self._trainer.scheduler is not None and self._trainer._schedule.interval == "batch":
            stops.append(1)
        if not stops:
            return None
        nearest = min(batch + every - batch % every for every in stops)
        return math.ceil(nearest / plan.accumulate) * plan.accumulate

    def _watcher(self, done: int, tally: Tally) -> Watcher | None:
        console, plan = self._console, self._plan
        if not console.has_bar:
            return None
        return Watcher(
            lambda batch: console.bar(
                done + 1, plan.last, batch, plan.feed.batches, tally.meter.loss
            ),
            console.seconds_between_drawings,
        )

    def _end_at(self, stop: Stop, done: int, batch: int) -> None:
        """A loss that is not finite: an error, or the quiet end of the run."""
        trainer, plan = self._trainer, self._plan
        batches = "" if plan.feed.batches is None else f" of {plan.feed.batches}"
        found = nonfinite.describe(trainer.model, stop.data, stop.rows)
        message = (
            f"Trainer.fit: the loss is {stop.loss} in epoch {done + 1}, batch {batch + 1}{batches}"
            f" (step {trainer.steps + 1}): {found}"
        )
        quiet = [c for c in plan.callbacks.all if isinstance(c, TerminateOnNaN)]
        if not quiet:
            raise FloatingPointError(message)
        for callback in quiet:
            callback.message = message
        self._console.note(message)
        trainer.stop_training = True
