"""``nncore eval``."""

import argparse

import nncore
from nncore import nn
from nncore.cli import saved
from nncore.training import Trainer
from nncore.training.table import percent


def run(options: argparse.Namespace) -> int:
    """Rebuild the network that a file names, load it, measure it; returns the exit code."""
    if options.threads is not None:
        nncore.set_num_threads(options.threads)
    found = saved.load(options.file, options.data)
    report = Trainer(found.model, nn.CrossEntropyLoss()).report(*found.split)
    print(f"{options.file}: network {found.network}, data {found.data}")
    print()
    print(report)
    print()
    print(f"test accuracy {percent(report.test.accuracy or 0.0)}")
    return 0
