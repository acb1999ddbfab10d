"""``nncore predict``: what a saved network says to samples of the user's own."""

import argparse
import csv
import io as memory
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nncore
from nncore import data, nn
from nncore.cli import saved, values
from nncore.cli.errors import UserError, one_line, users
from nncore.cli.saved import Saved
from nncore.io.atomic import check_writable, write_atomic
from nncore.training import Trainer
from nncore.training.table import percent

EXAMPLES = """\
examples:
  nncore predict digits.npz images.npy
  nncore predict iris-net.npz iris.csv --out answers.csv

Images are arrays (samples, channels, height, width), grey ones without channels too, of bytes 0 to
255 or of numbers from 0 to 1. A CSV has a row a sample, with the columns of the training, with or
without the target at the end; an npz file has an array x.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    values.add_saved(parser)
    parser.add_argument("input", metavar="INPUT", help="samples: .npy, .npz or .csv")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write a CSV of answers and all outputs (probabilities of the classes) to FILE",
    )
    values.add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Load the network and the samples, print an answer for each; returns the exit code."""
    if options.threads is not None:
        nncore.set_num_threads(options.threads)
    if options.out is not None:
        with users(OSError):
            check_writable(options.out)
    found = saved.load(options.file)
    x = _samples(found, options.input)
    outputs = Trainer(found.model, nn.CrossEntropyLoss()).predict(x).astype(np.float64)
    rows = _classified(outputs) if found.loss == "cross-entropy" else _numbered(outputs)
    if options.out is None:
        _print(rows)
        return 0
    text = memory.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with users(OSError):
        write_atomic(options.out, text.getvalue().encode())
    print(f"answers to {len(x):,} samples: {options.out}")
    return 0


def _classified(outputs: NDArray[Any]) -> list[list[Any]]:
    """A line of names, then for each sample label, its probability, and those of all classes."""
    odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    names = ["row", "label", "probability", *(f"p{label}" for label in range(odds.shape[1]))]
    labels = odds.argmax(axis=1)
    return [
        names,
        *(
            [row, int(label), float(each[label]), *map(float, each)]
            for row, (label, each) in enumerate(zip(labels, odds, strict=True))
        ),
    ]


def _numbered(outputs: NDArray[Any]) -> list[list[Any]]:
    names = [f"output{at}" for at in range(outputs.shape[1])]
    return [["row", *names], *([row, *map(float, each)] for row, each in enumerate(outputs))]


def _print(rows: list[list[Any]]) -> None:
    """A line for each sample."""
    if rows[0][1] == "label":
        print(f"{'row':>6}  {'label':>5}  {'probability':>11}")
        for row, label, probability, *_ in rows[1:]:
            print(f"{row:>6}  {label:>5}  {percent(probability):>11}")
        return
    print(f"{'row':>6}  " + "  ".join(f"{name:>12}" for name in rows[0][1:]))
    for row, *outputs in rows[1:]:
        print(f"{row:>6}  " + "  ".join(f"{value:>12.6g}" for value in outputs))


# ---- samples


def _samples(found: Saved, name: str) -> NDArray[Any]:
    """The samples of a file, in the shape that the network takes, scaled as in training."""
    suffix = Path(name).suffix
    if suffix not in (".csv", ".npy", ".npz"):
        raise UserError(f"{name}: must end in .npy, .npz or .csv")
    try:
        x = _read(name, suffix, found)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        text = one_line(error)
        raise UserError(text if name in text else f"{name}: {text}") from None
    if x.dtype.kind not in "iufb":
        raise UserError(f"{name}: has dtype {x.dtype}, expected numbers")
    x = _shaped(name, x, found)
    is_image = len(found.sample) > 1
    x = x.astype(np.float32) / np.float32(255 if is_image and x.dtype == np.uint8 else 1)
    if len(x) == 0 or not np.isfinite(x).all():
        raise UserError(f"{name}: {'no samples' if len(x) == 0 else 'values are not finite'}")
    return x if found.scale is None else found.scale(x)


def _read(name: str, suffix: str, found: Saved) -> NDArray[Any]:
    if suffix == ".csv":
        return _table(name, math.prod(found.sample))
    if suffix == ".npz":
        return data.load_npz(name, ("x",))[0]
    return np.asarray(np.load(name, allow_pickle=False))


def _shaped(name: str, x: NDArray[Any], found: Saved) -> NDArray[Any]:
    """One row a sample: a single sample, grey images without channels, flat rows of pixels."""
    plain = tuple(size for size in found.sample if size != 1)
    forms = found.sample, plain, (math.prod(found.sample),)
    if x.shape in forms:
        return x.reshape(1, *found.sample)
    if x.ndim > 0 and x.shape[1:] in forms:
        return x.reshape(len(x), *found.sample)
    raise UserError(
        f"{name}: has shape {x.shape}, the network {found.network} takes"
        f" {('N', *found.sample)!s}".replace("'", "")
    )


def _table(name: str, columns: int) -> NDArray[Any]:
    """The first columns of a CSV; a first row that is not of numbers is a header."""
    with Path(name).open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    width = len(rows[0]) if rows else 0
    if width not in (columns, columns + 1):
        raise UserError(
            f"{name}: has {width} columns, the network takes {columns}, or with the target"
            f" {columns + 1}"
        )
    first = 0 if all(map(_is_number, rows[0][:columns])) else 1
    x = np.empty((len(rows) - first, columns), np.float32)
    for number, row in enumerate(rows[first:], first + 1):
        if len(row) != width:
            raise UserError(f"{name}: row {number} has {len(row)} columns, expected {width}")
        for column, cell in enumerate(row[:columns]):
            if not _is_number(cell):
                raise UserError(f"{name}: row {number}, column {column + 1}: {cell!r} is no number")
            x[number - first - 1, column] = float(cell)
    return x


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
