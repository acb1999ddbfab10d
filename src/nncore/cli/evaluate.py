"""``nncore eval``."""

import argparse

import nncore
from nncore import io, nn
from nncore.cli.errors import UserError, users
from nncore.cli.recipes import NETWORKS, RECIPES
from nncore.training import Trainer
from nncore.training.table import percent


def run(options: argparse.Namespace) -> int:
    """Rebuild the network that a file names, load it, measure it; returns the exit code."""
    if options.threads is not None:
        nncore.set_num_threads(options.threads)
    with users(OSError, ValueError, ImportError):
        weights = io.load_weights(options.file)
    network = weights.metadata.get("network")
    if network not in NETWORKS:
        found = "does not say which network it is" if network is None else f"is for {network!r}"
        raise UserError(
            f"{options.file}: {found}, expected a file of `nncore train --save` with one of"
            f" {', '.join(NETWORKS)}"
        )
    name = options.data or weights.metadata.get("data", "")
    if name not in RECIPES:
        raise UserError(f"{options.file}: was trained on {name!r}: choose with --data")
    recipe = RECIPES[name]
    model = NETWORKS[network]()
    with users(ValueError, TypeError):
        try:
            model.load_state_dict(weights.state_dict)
        except (ValueError, TypeError) as error:
            raise UserError(f"{options.file}: {error}") from None
    with users(OSError, ValueError):
        training, test = recipe.load()
    report = Trainer(model, nn.CrossEntropyLoss()).report(training, test)
    print(f"{options.file}: network {network}, data {name}")
    print()
    print(report)
    print()
    print(f"test accuracy {percent(report.test.accuracy or 0.0)}")
    return 0
