"""``nncore inspect``: a report on a saved network."""

import argparse
import time
from pathlib import Path

import nncore
from nncore.cli import datasets, saved, values
from nncore.cli.errors import UserError, users
from nncore.training.table import seconds

EXAMPLES = """\
example:
  nncore inspect digits.npz --out report
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    values.add_saved(parser)
    values.add_data(
        parser, datasets.NAMES, "data to look at it with, default: those of its training"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        default=".",
        help="folder for report.html, made where it is not (default: the current one)",
    )
    values.add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Write the report; returns the exit code."""
    if options.threads is not None:
        nncore.set_num_threads(options.threads)
    started = time.perf_counter()
    found = saved.load(options.file)
    data = saved.data_of(found, options.data)
    if len(found.sample) != 3 or data.classes is None:
        raise UserError(f"{options.file}: a report is for classifiers of images, this is none")
    folder = Path(options.out)
    with users(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    with users(ImportError):
        from nncore.inspection.report import report

        page = report(
            found.model,
            *data.split,
            title=f"{found.network} on {data.name} ({Path(options.file).name})",
        )
    target = folder / "report.html"
    with users(OSError):
        target.write_text(page, encoding="utf-8")
    spent = seconds(time.perf_counter() - started)
    print(f"report: {target} ({target.stat().st_size / 1e6:.1f} MB, written in {spent})")
    return 0
