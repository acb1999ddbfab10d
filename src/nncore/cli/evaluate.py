"""``nncore eval``."""

import argparse

import nncore
from nncore import io, nn
from nncore.cli.errors import UserError, one_line, users
from nncore.cli.recipes import NETWORKS, RECIPES
from nncore.training import Trainer
from nncore.training.table import percent


def run(options: argparse.Namespace) -> int:
    """Rebuild the network that a file names, load it, measure it; returns the exit code."""
    if options.threads is not None:
        nncore.set_num_threads(options.threads)
    with users(OSError, ValueError, ImportError):
        weights = io.load_weights(options.file)
    network = weights.metadata.get("network", "")
    if network not in NETWORKS:
        found = (
            f"holds the network {network!r}" if network else "does not say what network it holds"
        )
        raise UserError(
            f"{options.file}: {found}, expected a file that `nncore train --save` wrote, with"
            f" {' or '.join(NETWORKS)}"
        )
    name = options.data or weights.metadata.get("data", "")
    if name not in RECIPES:
        raise UserError(f"{options.file}: was trained on {name!r}: choose with --data")
    model = NETWORKS[network].build()
    try:
        model.load_state_dict(weights.state_dict)
    except (ValueError, TypeError) as error:
        raise UserError(f"{options.file}: {one_line(error)}") from None
    with users(OSError, ValueError):
        training, test = RECIPES[name].load()
    sample = test[0].shape[1:]
    if sample != NETWORKS[network].sample:
        raise UserError(
            f"{options.file}: the network {network} takes images of shape"
            f" {NETWORKS[network].sample}, those of {name} have {sample}"
        )
    report = Trainer(model, nn.CrossEntropyLoss()).report(training, test)
    print(f"{options.file}: network {network}, data {name}")
    print()
    print(report)
    print()
    print(f"test accuracy {percent(report.test.accuracy or 0.0)}")
    return 0
