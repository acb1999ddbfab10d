"""The driver's end of a worker: starts it, asks it, notices when it dies or hangs."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
from pathlib import Path
from typing import Any, TextIO, cast

from benchmarks import wire
from benchmarks.contestants.contestant import Contestant

ROOT = Path(__file__).resolve().parent.parent
HANG = 600.0  # seconds without an answer after which a worker is given up

POOL_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
MALLOC_VARIABLES = {
    # Without them glibc gives every large array back to the system and pays page faults for the
    # next one. 32 MiB is the largest threshold that glibc accepts.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}


class WorkerError(Exception):
    """The worker died, hung or could not start; the message says which."""


class MissingError(WorkerError):
    """The contestant's package is not installed here."""


class WorkerProcess:
    """A contestant's process, pinned to ``cores`` and told to use that many threads."""

    def __init__(self, contestant: Contestant, cores: list[int], hang: float = HANG):
        self.contestant = contestant
        self.hang = hang
        threads = len(cores)
        command = [sys.executable, "-m", "benchmarks.worker", contestant.module_path]
        command += [contestant.variant, contestant.imports, str(threads)]
        command += [",".join(map(str, cores))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(contestant, threads),
            text=True,
        )
        self._commands = cast("TextIO", self._process.stdin)
        self._answers = cast("TextIO", self._process.stdout)
        self.known: wire.Message = {}

    def wait_until_ready(self) -> None:
        """Read what the worker says of itself; `MissingError` if its package is not there."""
        answer = self._read()
        if "missing" in answer:
            self.close()
            raise MissingError(answer["missing"])
        if "error" in answer:
            self.close()
            raise WorkerError(answer["error"])
        self.known = answer

    def ask(self, do: str, **arguments: Any) -> wire.Message:
        """Send a command and wait for its answer; `WorkerError` if there will be none."""
        try:
            wire.write(self._commands, {"do": do, **arguments})
        except OSError as error:
            raise WorkerError(self._fate()) from error
        return self._read()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._commands, self._answers):
            with contextlib.suppress(OSError):  # a command that was never read
                stream.close()

    def _read(self) -> wire.Message:
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            if not selector.select(self.hang):
                self._process.kill()
                raise WorkerError(f"no answer within {self.hang:g} s")
        line = self._answers.readline()
        if not line:
            raise WorkerError(self._fate())
        return wire.read(line)

    def _fate(self) -> str:
        code = self._process.wait()
        return f"worker died of signal {-code}" if code < 0 else f"worker ended with status {code}"


def _environment(contestant: Contestant, threads: int) -> dict[str, str]:
    environment = dict(os.environ)
    environment |= dict.fromkeys(POOL_VARIABLES, str(threads))
    environment |= MALLOC_VARIABLES
    environment |= contestant.environment
    path = [str(ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
    return environment
