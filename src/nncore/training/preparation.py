"""From the arguments of `fit` to a loop that runs: all is checked before anything changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from nncore._core import engine
from nncore.io.checkpoint import read_checkpoint
from nncore.nn.arguments import flag, integer, number
from nncore.training import checks, lr_finder, state, weighting
from nncore.training.callbacks import Callbacks, callbacks_of
from nncore.training.console import Console
from nncore.training.feeds import ArrayFeed, Feed, LoaderFeed
from nncore.training.fitting import Fit, Plan
from nncore.training.lr_finder import RateRange
from nncore.training.rule import Rule, rule_of
from nncore.training.samples import Samples, gives_batches, samples
from nncore.training.saving import Checkpoint, logging_to
from nncore.training.tally import Tally
from nncore.training.validation import ArrayValidation, Validation, split, validation_of
from nncore.training.weighting import weights_of

if TYPE_CHECKING:
    from nncore.training.trainer import Trainer

_HERE = "Trainer.fit"


class Given(NamedTuple):
    """The arguments of `fit`."""

    x: Any
    y: Any
    epochs: Any
    batch_size: Any
    validation_data: Any
    shuffle: Any
    verbose: Any
    compiled: Any
    validation_split: Any
    sample_weight: Any
    class_weight: Any
    clip_grad_norm: Any
    clip_grad_value: Any
    accumulate: Any
    callbacks: Any
    logger: Any
    resume: Any


class Ready(NamedTuple):
    """What they come to."""

    plan: Plan
    console: Console
    rule: Rule
    compiled: bool
    first: Samples
    batch_size: int
    position: dict[str, Any] | None  # within the epoch to begin with
    states: list[Any]  # of callbacks that go on


def prepare(trainer: Trainer, given: Given) -> Ready:
    """Check all arguments; then take over the checkpoint, where there is one to resume from."""
    if trainer.optimizer is None:
        raise RuntimeError(
            f"{_HERE}: the trainer has no optimizer: Trainer(model, loss_fn, optimizer)"
        )
    checks.held(_HERE, trainer.model, trainer.optimizer)
    epochs = integer(_HERE, "epochs", given.epochs, 1)
    batch_size = integer(_HERE, "batch_size", given.batch_size, 1)
    shuffle = flag(_HERE, "shuffle", given.shuffle)
    compiled = flag(_HERE, "compiled", given.compiled)
    verbose = checks.verbosity(_HERE, given.verbose)
    rule = rule_of(_HERE, given.clip_grad_norm, given.clip_grad_value, given.accumulate)
    listed = callbacks_of(_HERE, given.callbacks) + logging_to(_HERE, given.logger)
    if given.sample_weight is not None or given.class_weight is not None:
        weighting.check_loss(_HERE, trainer.loss_fn)
    last = len(trainer.history) + epochs

    tree, path = _checkpoint(given.resume, listed)
    if tree is None:
        goes_on, seed, done = trainer._goes_on, trainer.seed, len(trainer.history)
        position, states = trainer._kept if goes_on else (None, [])
        stopped = goes_on and trainer.stop_training
    else:
        goes_on, seed = True, state.whole(tree, "seed", path)
        done = len(next(iter(state.history_of(tree, path).values()), []))
        position, states = state.position_of(tree, path), state.callback_states_of(tree, path)
        stopped = tree.get("stopped") is True
    if tree is not None and done > last:
        raise ValueError(
            f"{_HERE}: {path} has {done} epochs, more than the {last} that this fit ends with"
        )

    feed, validation = _data(trainer, given, batch_size, shuffle, seed)
    first = feed.peek(done, 0 if position is None else position["tally"]["batches"])
    if feed.batch_size is None:
        trainer._try(_HERE, first)  # the samples in memory have been tried
    run = {
        "samples": feed.size,
        "batch_size": feed.batch_size,
        "shuffle": shuffle,
        "accumulate": rule.accumulate,
    }
    if position is not None and position["run"] != run:
        raise ValueError(
            f"{_HERE}: the checkpoint is from the midst of an epoch with"
            f" {_listed(position['run'])}; this fit has {_listed(run)}"
        )
    if tree is not None:
        if tree.get("loader_seed") != feed.seed:
            raise ValueError(
                f"{_HERE}: {path} was saved with a loader of seed {tree.get('loader_seed')}, this"
                f" one has {feed.seed}: give it that seed"
            )
        state.restore(trainer, tree, path)
    trainer._loader_seed = feed.seed
    trainer._goes_on, trainer.stop_training = False, stopped
    plan = Plan(feed, validation, last, Callbacks(listed), rule.accumulate, verbose, run)
    return Ready(plan, Console(verbose), rule, compiled, first, batch_size, position, states)


@contextmanager
def started(trainer: Trainer, ready: Ready, rule: Rule) -> Iterator[Fit]:
    """The loop, with a runner for these samples; says why it is not the compiled step."""
    room = ready.batch_size if ready.plan.feed.batch_size is not None else len(ready.first)
    with trainer._runner(ready.first.x, room, ready.compiled, rule) as (runner, reason):
        if reason:
            ready.console.note(f"{_HERE}: {reason}")
        yield Fit(trainer, runner, ready.plan, ready.console)


def _listed(run: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in run.items() if value is not None)


def _checkpoint(resume: Any, listed: list[Any]) -> tuple[dict[str, Any] | None, Any]:
    """The tree to go on from, and its path."""
    if resume is None or resume is False:
        return None, None
    if resume is not True:
        if not isinstance(resume, (str, os.PathLike)):
            raise TypeError(f"{_HERE}: resume must be a path or True, got {resume!r}")
        return read_checkpoint(resume)[0], resume
    paths = [c.path for c in listed if isinstance(c, Checkpoint) and not c.weights_only]
    if len(paths) != 1 or "{epoch" in paths[0]:
        raise ValueError(
            f"{_HERE}: resume=True needs one Checkpoint among the callbacks, with one file for all"
            f" epochs; there are {len(paths)}: name the file to go on from"
        )
    if not os.path.exists(paths[0]):
        return None, None
    return read_checkpoint(paths[0])[0], paths[0]


def _data(
    trainer: Trainer, given: Given, batch_size: int, shuffle: bool, seed: int
) -> tuple[Feed, Validation | None]:
    """Where batches come from, and what is measured after each epoch."""
    if given.validation_data is not None and given.validation_split is not None:
        raise ValueError(f"{_HERE}: validation_data and validation_split exclude each other")
    feed: Feed
    validation: Validation | None = None
    if gives_batches(given.x, given.y):
        if given.validation_split is not None or given.sample_weight is not None:
            raise ValueError(
                f"{_HERE}: validation_split and sample_weight are for arrays; a loader gives"
                " (x, y, sample_weight), and validation_data may be a loader"
            )
        feed = LoaderFeed(_HERE, given.x, trainer.model, trainer.loss_fn, given.class_weight)
    else:
        data = samples(_HERE, given.x, given.y, trainer.model)
        trainer._try(_HERE, data)
        weights = weights_of(_HERE, len(data), data.y, given.sample_weight, given.class_weight)
        if given.validation_split is not None:
            data, weights, held = split(_HERE, data, weights, given.validation_split, seed)
            validation = ArrayValidation(held, batch_size)
        feed = ArrayFeed(data, weights, batch_size, shuffle, seed)
    if given.validation_data is not None:
        here = f"{_HERE}: validation_data"
        if gives_batches(given.validation_data, None):
            pair = given.validation_data, None
        else:
            pair = checks.pair(_HERE, "validation_data", given.validation_data)
        validation = validation_of(trainer, here, *pair, batch_size)[0]
    return feed, validation


# ---- the range test


def find_rate(
    trainer: Trainer,
    x: Any,
    y: Any,
    start_rate: Any,
    end_rate: Any,
    steps: Any,
    batch_size: Any,
    compiled: Any,
) -> RateRange:
    """`Trainer.lr_find`."""
    here = "Trainer.lr_find"
    if trainer.optimizer is None or not hasattr(trainer.optimizer, "param_groups"):
        raise RuntimeError(f"{here}: needs an optimizer with param_groups")
    first, last = number(here, "start", start_rate), number(here, "end", end_rate)
    if not 0 < first < last:
        raise ValueError(f"{here}: start and end must be 0 < start < end, got {first:g}, {last:g}")
    steps = integer(here, "steps", steps, 2)
    batch_size = integer(here, "batch_size", batch_size, 1)
    if gives_batches(x, y):
        batches = _endless(x, here, trainer)
    else:
        data = samples(here, x, y, trainer.model)
        batches = _endless_rows(data, batch_size, trainer.seed)
    opening = next(batches)
    trainer._try(here, opening)
    before, groups = state.snapshot(trainer), trainer.optimizer.param_groups
    shares = [_share(group["lr"], groups[0]["lr"]) for group in groups]
    with trainer._restored():
        trainer.model.train()
        try:
            room = max(len(opening), batch_size)
            compiled = flag(here, "compiled", compiled)

            def all_batches() -> Iterator[Samples]:
                yield opening
                yield from batches

            with trainer._runner(opening.x, room, compiled) as (runner, _):

                def train(batch: Samples, rate: float) -> float:
                    for group, share in zip(groups, shares, strict=True):
                        group["lr"] = rate * share
                    return runner.train(batch.x, batch.y, None, Tally())

                return lr_finder.range_test(all_batches(), train, first, last, steps)
        finally:
            state.put_back(trainer, before)
            trainer.model.zero_grad()


def _share(rate: float, first: float) -> float:
    """How a group's rate is to the first group's."""
    return rate / first if first > 0 else 1.0


def _endless(loader: Any, here: str, trainer: Trainer) -> Iterator[Samples]:
    """The batches of a loader, again and again."""
    feed = LoaderFeed(here, loader, trainer.model, trainer.loss_fn, None)
    for epoch in count():
        feed.peek(epoch, 0)
        while not feed.over():
            yield feed.take()


def _endless_rows(data: Samples, batch_size: int, seed: int) -> Iterator[Samples]:
    """Batches of shuffled samples, again and again."""
    for epoch in count():
        order = engine.stream_permutation(seed, "lr_find", epoch, len(data))
        for rows in data.rows(batch_size, order):
            yield Samples(data.x[rows], data.y[rows])
