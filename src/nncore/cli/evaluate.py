"""``nncore eval``."""

import argparse

import nncore
from nncore import nn
from nncore.cli import datasets, saved, values
from nncore.cli.errors import UserError
from nncore.cli.outcome import measure
from nncore.training import Trainer

EXAMPLES = """\
examples:
  nncore eval digits.npz
  nncore eval mnist.npz --data kmnist
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    values.add_saved(parser)
    values.add_data(parser, datasets.NAMES, "data to measure on, default: those it was trained on")
    values.add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Rebuild the network that a file names, load it, measure it; returns the exit code."""
    if options.threads is not None:
        nncore.set_num_threads(options.threads)
    found = saved.load(options.file)
    data = saved.data_of(found, options.data)
    _, outputs, split = datasets.objective(found.loss, data)
    if outputs != found.outputs and found.loss == "mse":
        raise UserError(
            f"{found.file}: the network {found.network} has {found.outputs} outputs, the targets of"
            f" {data.name} have {outputs}"
        )
    loss_fn = nn.CrossEntropyLoss() if found.loss == "cross-entropy" else nn.MSELoss()
    result = measure(Trainer(found.model, loss_fn), split, data)
    print(f"{options.file}: network {found.network}, data {data.name}")
    print()
    print(result.report)
    print()
    print(result.line)
    return 0
