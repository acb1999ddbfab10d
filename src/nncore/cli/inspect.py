"""``nncore inspect``: a report on a saved network."""

import argparse
from pathlib import Path

import nncore
from nncore.cli import saved
from nncore.cli.errors import users


def run(options: argparse.Namespace) -> int:
    """Write the report; returns the exit code."""
    if options.threads is not None:
        nncore.set_num_threads(options.threads)
    found = saved.load(options.file, options.data)
    folder = Path(options.out)
    with users(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    with users(ImportError):
        from nncore.inspection.report import report

        page = report(
            found.model,
            *found.split,
            title=f"{found.network} on {found.data} ({Path(options.file).name})",
        )
    target = folder / "report.html"
    with users(OSError):
        target.write_text(page, encoding="utf-8")
    print(f"report: {target} ({target.stat().st_size / 1e6:.1f} MB)")
    return 0
