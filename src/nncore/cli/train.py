"""``nncore train``."""

import argparse
import os
from typing import Any

import nncore
from nncore import data, io, nn
from nncore.cli import choices, curve, datasets, networks
from nncore.cli.choices import Schedule
from nncore.cli.datasets import Data
from nncore.cli.errors import UserError, one_line, users
from nncore.cli.outcome import Outcome, measure
from nncore.cli.recipes import Split
from nncore.io.checkpoint import read_checkpoint
from nncore.training import Callback, Checkpoint, Trainer
from nncore.training.table import seconds


def run(options: argparse.Namespace) -> int:
    """Train, measure, save; returns the exit code."""
    _settle(options)
    if options.threads is not None:
        nncore.set_num_threads(options.threads)
    _check_files(options)
    drawn = options.seed is None and options.resume is None
    options.seed = _seed(options)
    found = datasets.load(options.data, download=options.download)
    loss, outputs, split = datasets.objective(options.loss, found)
    model = networks.build(options.model, found.sample, outputs)
    model.reset_parameters(options.seed)
    source, batches = _source(options, found, split)
    optimizer = choices.optimizer(options, model, options.lr)
    plan = choices.schedule(options.schedule, optimizer, options.lr, options.epochs, batches)
    loss_fn = nn.CrossEntropyLoss() if loss == "cross-entropy" else nn.MSELoss()
    trainer = Trainer(
        model,
        loss_fn,
        optimizer,
        seed=options.seed,
        scheduler=plan.scheduler,
        scheduler_interval=plan.interval,
    )
    if not options.quiet:
        _print_plan(options, found, model, drawn)
    result = _train(trainer, source, split, found, plan, options)
    _print_result(trainer, result, quiet=options.quiet)
    if options.plot is not None:
        curve.draw(trainer.history, options.plot)
        if not options.quiet:
            print(f"learning curve: {options.plot}")
    if options.save is not None:
        _save(options, found, model, loss, outputs)
    return 0


def _settle(options: argparse.Namespace) -> None:
    """What was not given is what suits the data."""
    recipe = datasets.recipe_of(options.data)
    options.model = options.model or recipe.network
    options.epochs = options.epochs or recipe.epochs
    options.batch_size = options.batch_size or recipe.batch_size
    options.lr = options.lr or recipe.lr * choices.RATE_FACTORS.get(options.optimizer, 1.0)


def _check_files(options: argparse.Namespace) -> None:
    """Before the work, not after it."""
    with users(OSError, ValueError, ImportError):
        for file in (options.save, options.checkpoint):
            if file is not None:
                io.check_target(file)
        if options.plot is not None:
            curve.check(options.plot)


def _seed(options: argparse.Namespace) -> int:
    """The seed that was given, or drawn, or that of the run that goes on."""
    if options.resume is None:
        return int.from_bytes(os.urandom(4)) if options.seed is None else int(options.seed)
    with users(OSError, ValueError, ImportError):
        tree, _ = read_checkpoint(options.resume)
    seed = tree.get("seed")
    if not isinstance(seed, int):
        raise UserError(f"{options.resume}: does not say its seed")
    if options.seed not in (None, seed):
        raise UserError(f"--seed: {options.resume} is of seed {seed}, got {options.seed}")
    return seed


def _source(options: argparse.Namespace, found: Data, split: Split) -> tuple[Any, int]:
    """What `fit` gets as x: the arrays, or a loader that changes them; batches an epoch."""
    count = len(split[0][0])
    batches = -(-count // options.batch_size)
    if options.augment is None:
        return split[0], batches
    transform = choices.augmentation(options.augment)
    if len(found.sample) != 3:
        raise UserError(
            f"--augment: {options.augment} is for images, {found.name} has samples of shape"
            f" {found.sample}"
        )
    loader = data.DataLoader(
        split[0], options.batch_size, shuffle=True, seed=options.seed, transform=transform
    )
    return loader, batches


def _train(
    trainer: Trainer,
    source: Any,
    split: Split,
    found: Data,
    plan: Schedule,
    options: argparse.Namespace,
) -> Outcome:
    x, y = source if isinstance(source, tuple) else (source, None)
    callbacks: list[Callback] = [] if plan.callback is None else [plan.callback]
    if options.checkpoint is not None:
        callbacks.append(Checkpoint(options.checkpoint))
    try:
        trainer.fit(
            x,
            y,
            epochs=options.epochs,
            batch_size=options.batch_size,
            validation_data=split[1],
            verbose=0 if options.quiet else 1,
            callbacks=callbacks,
            resume=options.resume,
        )
        return measure(trainer, split, found)
    except KeyboardInterrupt:
        kept = f"{options.checkpoint} has them" if options.checkpoint else "nothing was saved"
        raise KeyboardInterrupt(
            f"{len(trainer.history)} of {options.epochs} epochs were done, {kept}"
        ) from None
    except FloatingPointError as error:
        raise UserError(f"{one_line(error)}: try a smaller --lr") from None
    except MemoryError as error:
        raise UserError(f"{one_line(error)}: try a smaller --batch-size") from None
    except BrokenPipeError:
        raise  # nobody reads what is printed: no mistake
    except OSError as error:
        raise UserError(one_line(error)) from None
    except (ValueError, TypeError) as error:
        if options.resume is None:
            raise  # ours
        text = one_line(error)
        named = options.resume in text
        raise UserError(text if named else f"--resume {options.resume}: {text}") from None


# ---- what is printed


def _print_plan(
    options: argparse.Namespace, found: Data, model: nn.Sequential, drawn: bool
) -> None:
    (x, _), (x_test, _) = found.split
    kind = f"images of {x.shape[2]}x{x.shape[3]}" if x.ndim == 4 else f"rows of {x.shape[1]}"
    print(f"data {found.name}: {len(x):,} training and {len(x_test):,} test {kind}")
    print()
    print(model.summary(x.shape[1:]))
    print()
    name = choices.OPTIMIZERS[options.optimizer].__name__
    print(
        f"{name}, learning rate {options.lr:g} {choices.SCHEDULES[options.schedule]},"
        f" batches of {options.batch_size}, threads {nncore.get_num_threads()}"
    )
    if options.augment is not None:
        print(f"augmentation {options.augment}")
    if options.resume is not None:
        print(f"goes on from {options.resume}")
    seed = options.seed
    print(f"seed {seed}{f' (drawn; --seed {seed} repeats the run)' if drawn else ''}")
    print(flush=True)


def _print_result(trainer: Trainer, result: Outcome, *, quiet: bool) -> None:
    spent = seconds(sum(trainer.history.history["seconds"]))
    if not quiet:
        print()
        print(result.report)
        print()
    count = len(trainer.history)
    print(f"{result.line} after {count} {'epoch' if count == 1 else 'epochs'} in {spent}")


# ---- files


def _save(
    options: argparse.Namespace, found: Data, model: nn.Sequential, loss: str, outputs: int
) -> None:
    """The weights, with all that is needed to build the network again and to feed it."""
    notes = {
        "network": options.model,
        "input": ",".join(map(str, found.sample)),
        "outputs": str(outputs),
        "loss": loss,
        "data": options.data,
        "nncore": nncore.__version__,
        **datasets.to_text(found.scale),
    }
    with users(OSError):
        io.save_weights(options.save, model, notes)
    if not options.quiet:
        print(f"saved to {options.save}; measure it again: nncore eval {options.save}")
