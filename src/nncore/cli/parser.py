"""Commands; each adds its own options."""

import argparse
from typing import NoReturn

import nncore
from nncore.cli import evaluate, explain, info, inspect, predict, summary, train_options

_DESCRIPTION = "Train and run small neural networks on the CPU."
_EXAMPLES = """\
examples:
  nncore train                        a small CNN on 8x8 handwritten digits (inside the package)
  nncore train --seed 0 --save digits.npz --plot curve.png
  nncore eval digits.npz              how well it does on training and test set
  nncore predict digits.npz my.npy    what it says to images of your own
  nncore summary digits.npz           its layers
  nncore train --data mnist           the folder with the files is in NNCORE_DATA
  nncore inspect digits.npz --out report    what it has learned, as a page with pictures
  nncore explain                      one step of a 2-2-1 network, every number shown
  nncore info                         instruction set, threads, build, data folder
"""

_COMMANDS = {
    "train": (train_options, "train a network and measure it"),
    "eval": (evaluate, "measure a network that `nncore train` saved"),
    "predict": (predict, "show what a saved network says to samples of your own"),
    "summary": (summary, "show the layers of a network"),
    "inspect": (inspect, "report on a saved network, as a page"),
    "explain": (explain, "show one step of a small network, number by number"),
    "info": (info, "show what nncore computes with, and where it looks for data"),
}


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong; the whole help is one option away."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser; the options it returns have the function to `run`."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="nncore",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=raw,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nncore {nncore.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, text) in _COMMANDS.items():
        module.configure(
            commands.add_parser(
                name,
                help=text,
                description=f"{text[0].upper()}{text[1:]}.",
                epilog=module.EXAMPLES,
                formatter_class=raw,
                allow_abbrev=False,
            )
        )
    return parser
