"""The options of ``nncore train``."""

import argparse

from nncore.cli import choices, datasets, networks, train, values
from nncore.cli.recipes import FILE, RECIPES

EXAMPLES = """\
examples:
  nncore train
  nncore train --epochs 5 --lr 0.001 --batch-size 64 --plot curve.png
  nncore train --data mnist --seed 1 --threads 2 --save mnist.npz
  nncore train --data mnist --augment shift --schedule onecycle --lr 0.01 --epochs 6
  nncore train --data iris.csv --model mlp:32 --optimizer sgd --momentum 0.9 --lr 0.05
  nncore train --data mnist --epochs 20 --checkpoint run.npz
  nncore train --data mnist --epochs 20 --checkpoint run.npz --resume run.npz

The same seed gives the same weights, bit for bit, at any number of threads. A run that goes on
from a checkpoint (the same options, and --resume) ends with the weights of the unbroken one.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    def default(name: str) -> str:
        known = [f"{getattr(recipe, name)} for {data}" for data, recipe in RECIPES.items()]
        return ", ".join([*known, f"{FILE[name]} for files"])

    parser.set_defaults(run=train.run)
    parser.add_argument(
        "--data",
        default="digits",
        metavar="NAME",
        help=f"{datasets.NAMES}. digits: 8x8, inside the package (default); the others are read"
        " from NNCORE_DATA or the cache of downloads. A file's last column (of an npz: y) is the"
        " target; a fifth of its rows is held out for testing",
    )
    parser.add_argument(
        "--download", action="store_true", help="fetch the data set where it is nowhere found"
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help=f"{networks.NAMES} (default: {default('network')})",
    )
    parser.add_argument(
        "--loss",
        choices=choices.LOSSES,
        help="default: cross-entropy for labels, mse for numbers",
    )
    parser.add_argument(
        "--augment",
        metavar="HOW",
        help=f"changes training images anew in each epoch: {choices.AUGMENTATIONS},"
        " with commas between (shift is shift:2, rotate is rotate:10)",
    )
    parser.add_argument(
        "--epochs",
        type=values.positive,
        metavar="N",
        help=f"times through the training set (default: {default('epochs')})",
    )
    parser.add_argument(
        "--batch-size",
        type=values.positive,
        metavar="N",
        help=f"samples a step (default: {default('batch_size')})",
    )
    parser.add_argument(
        "--optimizer", choices=choices.OPTIMIZERS, default="adam", help="default: adam"
    )
    parser.add_argument(
        "--lr",
        type=values.rate,
        metavar="RATE",
        help="learning rate of the first epoch, of onecycle the largest one"
        f" (default: {default('lr')};"
        f" times {' and '.join(f'{n:g} for {o}' for o, n in choices.RATE_FACTORS.items())})",
    )
    parser.add_argument(
        "--schedule",
        choices=choices.SCHEDULES,
        default="linear",
        help="how the rate changes. linear: falls in equal steps towards 0 (default); cosine: along"
        " half a wave; step: to a tenth after each third of the epochs; onecycle: up and down, by"
        " the batch",
    )
    parser.add_argument(
        "--momentum", type=values.fraction, metavar="M", help="of sgd and rmsprop (default: 0)"
    )
    parser.add_argument(
        "--weight-decay",
        type=values.decay,
        metavar="W",
        help="pull of the weights towards 0 (default: the optimiser's own)",
    )
    parser.add_argument(
        "--seed",
        type=values.seed,
        metavar="N",
        help="of initial weights, order of samples and augmentation (default: drawn, and shown)",
    )
    values.add_threads(parser)
    parser.add_argument(
        "--save", metavar="FILE", help="write the weights to FILE (.npz or .safetensors)"
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="write the learning curve to FILE (.png, .svg or .pdf)"
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="after each epoch write all that is needed to go on to FILE (.npz or .safetensors)",
    )
    parser.add_argument(
        "--resume", metavar="FILE", help="go on from such a file, up to the epochs of --epochs"
    )
    parser.add_argument("--quiet", action="store_true", help="print the result only")
