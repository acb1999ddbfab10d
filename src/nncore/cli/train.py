"""``nncore train``."""

import argparse
import os

import nncore
from nncore import io, nn, optim
from nncore.cli.errors import UserError, one_line, users
from nncore.cli.recipes import NETWORKS, RECIPES, Split
from nncore.training import GeneralizationReport, LearningRateScheduler, Trainer
from nncore.training.table import percent, seconds


def run(options: argparse.Namespace) -> int:
    """Train, measure, save; returns the exit code."""
    recipe = RECIPES[options.data]
    epochs, batch_size = options.epochs or recipe.epochs, options.batch_size or recipe.batch_size
    rate = options.lr or recipe.lr
    seed = int.from_bytes(os.urandom(4)) if options.seed is None else options.seed
    if options.threads is not None:
        nncore.set_num_threads(options.threads)
    if options.save is not None:
        # Before the work, not after it.
        with users(OSError, ValueError, ImportError):
            io.check_target(options.save)
    with users(OSError, ValueError):
        split = recipe.load()

    model = NETWORKS[recipe.network].build()
    model.reset_parameters(seed)
    optimizer = optim.Adam(model.parameters(), lr=rate)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, seed=seed)
    if not options.quiet:
        _print_plan(options.data, split, model, batch_size, rate, seed, options.seed is None)
    report = _train(trainer, split, epochs, batch_size, rate, quiet=options.quiet)
    _print_result(trainer, report, quiet=options.quiet)
    if options.save is not None:
        notes = {"network": recipe.network, "data": options.data, "nncore": nncore.__version__}
        with users(OSError):
            io.save_weights(options.save, model, notes)
        if not options.quiet:
            print(f"saved to {options.save}; measure it again: nncore eval {options.save}")
    return 0


def _train(
    trainer: Trainer, split: Split, epochs: int, batch_size: int, rate: float, *, quiet: bool
) -> GeneralizationReport:
    training, test = split
    falling = LearningRateScheduler(lambda epoch, _: rate * (1 - epoch / epochs))
    try:
        trainer.fit(
            *training,
            epochs=epochs,
            batch_size=batch_size,
            validation_data=test,
            verbose=0 if quiet else 1,
            callbacks=[falling],
        )
        return trainer.report(training, test)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{len(trainer.history)} of {epochs} epochs were done, nothing was saved"
        ) from None
    except FloatingPointError as error:
        raise UserError(f"{one_line(error)}: try a smaller --lr") from None
    except MemoryError as error:
        raise UserError(f"{one_line(error)}: try a smaller --batch-size") from None


def _print_plan(
    name: str,
    split: Split,
    model: nn.Sequential,
    batch_size: int,
    rate: float,
    seed: int,
    drawn: bool,
) -> None:
    (x, _), (x_test, _) = split
    print(
        f"data {name}: {len(x):,} training and {len(x_test):,} test images"
        f" of {x.shape[2]}x{x.shape[3]}"
    )
    print()
    print(model.summary(x.shape[1:]))
    print()
    print(
        f"Adam, learning rate {rate:g} falling to 0, batches of {batch_size},"
        f" threads {nncore.get_num_threads()}"
    )
    print(f"seed {seed}{f' (drawn; --seed {seed} repeats the run)' if drawn else ''}")
    print(flush=True)


def _print_result(trainer: Trainer, report: GeneralizationReport, *, quiet: bool) -> None:
    spent = seconds(sum(trainer.history.history["seconds"]))
    if not quiet:
        print()
        print(report)
        print()
    accuracy = percent(report.test.accuracy or 0.0)
    count = len(trainer.history)
    print(
        f"test accuracy {accuracy} after {count} {'epoch' if count == 1 else 'epochs'} in {spent}"
    )
