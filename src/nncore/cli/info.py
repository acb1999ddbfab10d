"""``nncore info``."""

import argparse
import os
from pathlib import Path

import nncore

EXAMPLES = ""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the configuration; returns the exit code."""
    nncore.show_config()
    folder = os.environ.get("NNCORE_DATA")
    if not folder:
        found = "NNCORE_DATA is not set (the digits need no folder)"
    elif not Path(folder).is_dir():
        found = f"{folder} (NNCORE_DATA): no such folder"
    else:
        found = f"{folder} (NNCORE_DATA)"
    print(f"{'data':<16} {found}")
    return 0
