"""Commands and options."""

import argparse
import math
from typing import NoReturn

import nncore
from nncore.cli import evaluate, explain, info, inspect, train
from nncore.cli.recipes import RECIPES

_DESCRIPTION = "Train and run small neural networks on the CPU."
_EXAMPLES = """\
examples:
  nncore train                        a small CNN on 8x8 handwritten digits (inside the package)
  nncore train --seed 0 --save digits.npz
  nncore eval digits.npz              how well it does on training and test set
  nncore train --data mnist           the folder with the files is in NNCORE_DATA
  nncore inspect digits.npz --out report    what it has learned, as a page with pictures
  nncore explain                      one step of a 2-2-1 network, every number shown
  nncore info                         instruction set, threads, build, data folder
"""
_TRAIN_EXAMPLES = """\
examples:
  nncore train
  nncore train --epochs 5 --lr 0.001 --batch-size 64
  nncore train --data mnist --seed 1 --threads 2 --save mnist.npz

The same seed gives the same weights, bit for bit, at any number of threads.
"""
_EVAL_EXAMPLES = """\
example:
  nncore eval digits.npz
"""


_INSPECT_EXAMPLES = """\
example:
  nncore inspect digits.npz --out report
"""
_EXPLAIN_EXAMPLES = """\
examples:
  nncore explain
  nncore explain --sizes 2,3,2 --activation tanh --loss cross-entropy --x 0.5,-1 --y 1
  nncore explain --html step.html
"""


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

    def command(name: str, text: str, examples: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=examples,
            formatter_class=raw,
            allow_abbrev=False,
        )

    _add_train(command("train", "train a network and measure it", _TRAIN_EXAMPLES))
    _add_eval(command("eval", "measure a network that `nncore train` saved", _EVAL_EXAMPLES))
    _add_inspect(command("inspect", "report on a saved network, as a page", _INSPECT_EXAMPLES))
    _add_explain(
        command("explain", "show one step of a small network, number by number", _EXPLAIN_EXAMPLES)
    )
    about = command("info", "show what nncore computes with, and where it looks for data", "")
    about.set_defaults(run=info.run)
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    def default(name: str) -> str:
        return ", ".join(f"{getattr(recipe, name)} for {data}" for data, recipe in RECIPES.items())

    parser.set_defaults(run=train.run)
    parser.add_argument(
        "--data",
        choices=RECIPES,
        default="digits",
        help="digits: 8x8 digits inside the package (default); mnist: 28x28, read from NNCORE_DATA",
    )
    parser.add_argument(
        "--epochs",
        type=_positive,
        metavar="N",
        help=f"times through the training set (default: {default('epochs')})",
    )
    parser.add_argument(
        "--batch-size",
        type=_positive,
        metavar="N",
        help=f"samples a step (default: {default('batch_size')})",
    )
    parser.add_argument(
        "--lr",
        type=_rate,
        metavar="RATE",
        help="learning rate of the first epoch, from which it falls in equal steps"
        f" (default: {default('lr')})",
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        help="of initial weights and order of samples (default: drawn, and shown)",
    )
    _add_threads(parser)
    parser.add_argument(
        "--save", metavar="FILE", help="write the weights to FILE (.npz or .safetensors)"
    )
    parser.add_argument("--quiet", action="store_true", help="print the result only")


def _add_eval(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=evaluate.run)
    parser.add_argument("file", metavar="FILE", help="what `nncore train --save FILE` wrote")
    parser.add_argument(
        "--data", choices=RECIPES, help="data to measure on (default: those it was trained on)"
    )
    _add_threads(parser)


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=inspect.run)
    parser.add_argument("file", metavar="FILE", help="what `nncore train --save FILE` wrote")
    parser.add_argument(
        "--data", choices=RECIPES, help="data to look at it with (default: those of its training)"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        default=".",
        help="folder for report.html, made where it is not (default: the current one)",
    )
    _add_threads(parser)


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=explain.run)
    parser.add_argument(
        "--sizes",
        type=_sizes,
        default=[2, 2, 1],
        metavar="N,N,...",
        help="inputs, hidden units, outputs (default: 2,2,1)",
    )
    parser.add_argument("--activation", choices=explain.ACTIVATIONS, default="sigmoid")
    parser.add_argument("--loss", choices=explain.LOSSES, default="mse")
    parser.add_argument(
        "--x", type=_numbers, metavar="NUMBERS", help="the sample (default: drawn from the seed)"
    )
    parser.add_argument(
        "--y", type=_numbers, metavar="NUMBERS", help="the target, or the class (default: 1, or 0)"
    )
    parser.add_argument("--lr", type=_rate, default=0.5, metavar="RATE", help="default: 0.5")
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="of weights and sample (default: 0)"
    )
    parser.add_argument("--html", metavar="FILE", help="write a page instead of printing")


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=_threads,
        metavar="N",
        help="threads to use (default: all that the process may have); results do not depend on it",
    )


def _integer(text: str, least: int, most: float, expected: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return number


def _positive(text: str) -> int:
    return _integer(text, 1, 2**31, "a positive integer")


def _threads(text: str) -> int:
    return _integer(text, 1, 1024, "an integer from 1 to 1024")


def _seed(text: str) -> int:
    return _integer(text, 0, 2**64 - 1, "an integer from 0 to 2**64 - 1")


def _sizes(text: str) -> list[int]:
    sizes = [_integer(part, 1, 1000, "integers from 1 to 1000") for part in text.split(",")]
    if len(sizes) < 2:
        raise argparse.ArgumentTypeError(f"expected at least two sizes, got {text!r}")
    return sizes


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise argparse.ArgumentTypeError(f"expected numbers with commas between, got {text!r}")
    return numbers


def _rate(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return number
