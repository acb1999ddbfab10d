"""The command line within the process, on few samples; and as a program of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import nncore
from nncore._core import engine
from nncore.cli import main
from nncore.cli.recipes import RECIPES


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def few(monkeypatch) -> None:
    """100 training and 40 test samples of each data set; the images of "mnist" are random."""
    (x, y), (x_test, y_test) = RECIPES["digits"].load(False)
    images = np.random.default_rng(0).random((140, 1, 28, 28), np.float32)
    for name, split in {
        "digits": ((x[:100], y[:100]), (x_test[:40], y_test[:40])),
        "mnist": ((images[:100], y[:100]), (images[100:], y_test[:40])),
    }.items():
        recipe = replace(RECIPES[name], load=lambda _, split=split: split)
        monkeypatch.setitem(RECIPES, name, recipe)


@pytest.fixture
def nncore_command(capsys) -> Callable[..., Result]:
    """Run `nncore ARGUMENTS` here; threads are as before afterwards."""
    threads = engine.threads_get()

    def run(*arguments: object) -> Result:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        return Result(code, *capsys.readouterr())

    yield run
    engine.threads_set(threads)


@pytest.fixture
def environment() -> dict[str, str]:
    """Of a program of its own: the same nncore as here."""
    source = str(Path(nncore.__file__).parents[1])
    path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "TERM": "xterm"}


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def program(environment, tmp_path) -> Callable[..., subprocess.Popen]:
    """Start `python -m nncore ARGUMENTS` in an empty folder."""
    started = []

    def start(*arguments: str, **options) -> subprocess.Popen:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        # A background job begins with Ctrl-C ignored, and its children would too.
        options["preexec_fn"] = _heed_interrupts
        command = [sys.executable, "-W", "error", "-m", "nncore", *arguments]
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
