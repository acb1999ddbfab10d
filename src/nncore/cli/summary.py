"""``nncore summary``: the layers of a network, without training it."""

import argparse

from nncore.cli import networks, saved, values
from nncore.cli.errors import UserError

EXAMPLES = """\
examples:
  nncore summary digits.npz
  nncore summary --model lenet --input 1,28,28
  nncore summary --model mlp:64,64 --input 4 --outputs 2
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="what `nncore train --save FILE` wrote; or:"
    )
    parser.add_argument("--model", metavar="NAME", help=networks.NAMES)
    parser.add_argument(
        "--input",
        type=values.shape,
        metavar="N,N,...",
        help="shape of one sample: 1,28,28 is a grey image, 4 a row of four numbers",
    )
    parser.add_argument(
        "--outputs", type=values.positive, metavar="N", help="classes or numbers (default: 10)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the table; returns the exit code."""
    if (options.file is None) == (options.model is None):
        raise UserError("expected a FILE, or --model with --input")
    if options.file is not None:
        if options.input is not None or options.outputs is not None:
            raise UserError("--input and --outputs go with --model; a FILE says its own")
        found = saved.load(options.file)
        print(f"{found.file}: network {found.network}, trained on {found.data}")
        print(found.model.summary(found.sample))
        return 0
    if options.input is None:
        raise UserError("--model needs --input, the shape of one sample, such as 1,28,28")
    outputs = options.outputs or 10
    if networks.numbers(options.model, options.input, outputs) > 10**9:
        raise UserError(f"--model: {options.model} has more than 1,000,000,000 weights")
    print(networks.build(options.model, options.input, outputs).summary(options.input))
    return 0
