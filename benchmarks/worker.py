"""The process in which one contestant lives, started by ``process.py``.

It answers JSON lines, one for each command read from standard input; whatever a library prints goes
to standard error instead. The driver has set its environment; the cores are set here, before any
library is imported, because thread pools are sized at import.

    {"do": "prepare", "family": .., "case": .., "save": FILE}  build it, save its result as npz
    {"do": "calibrate", "seconds": s}                          how many repetitions fill s seconds
    {"do": "round", "repetitions": k}                          time them: seconds per repetition
    {"do": "compare", "save": FILE}                            save the result of a run that goes on
    {"do": "finish"}                                           drop the case, report peak memory
"""

from __future__ import annotations

import gc
import importlib
import math
import os
import signal
import sys
import time
from itertools import repeat
from typing import TYPE_CHECKING, TextIO

from benchmarks import machine, wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contestants.contestant import Builder, Runner

SLOWEST_WARM_UP = 0.05  # seconds; above, a round's first repetition is not worth a rehearsal
LONGEST_REHEARSAL = 0.04  # seconds
PARTS = 4  # a rehearsal plays so much of a round at a time
STEADY = 3  # parts in a row that were no faster: it is warm
FASTER = 0.99
TRIES = 3
LONGEST_RETRY = 0.02  # seconds
MAX_COPIES = 256
MAX_REPETITIONS = 1 << 24


class Worker:
    """The commands, over the case that is prepared at the time."""

    def __init__(self, builder: Builder):
        self._builder = builder
        self._runners: list[Runner] = []
        self._held: list[object] = []
        self._next = 0
        self._seconds_each = 0.0
        self._runs_on = False

    def prepare(self, family: str, case: str, save: str) -> wire.Message:
        """Build the case, time the way to the first repetition's end, save the result."""
        import numpy as np

        from benchmarks.cases import find

        self._drop()
        machine.reset_peak_memory()
        spec = find(family, case)
        arrays = spec.arrays()
        start = time.perf_counter()
        runner = self._builder.build(spec, arrays)
        if runner is None:
            return {"absent": True}
        self._runs_on = bool(spec.runs_on)
        if self._runs_on:
            self._runners = [runner]
            return {}
        with runner.surroundings():
            runner.run()
        first_call = time.perf_counter() - start
        runner.reset()
        np.savez(save, **runner.result())
        self._runners = [runner]
        if spec.cold:
            copies = min(MAX_COPIES, 1 + int(2 * machine.last_level_cache() / spec.bytes))
            others = (self._builder.build(spec, spec.arrays()) for _ in range(copies - 1))
            self._runners += [other for other in others if other]
        self._held = [None] * len(self._runners)
        return {"first_call_seconds": first_call, "copies": len(self._runners)}

    def calibrate(self, seconds: float) -> wire.Message:
        """Double the repetitions until they take long enough to be timed, then scale."""
        self._reset()
        self._time(len(self._runners))  # first touches of memory
        repetitions, (elapsed, _) = 1, self._fastest(1)
        while elapsed < seconds / 4 and repetitions < MAX_REPETITIONS:
            repetitions *= 2
            elapsed, _ = self._fastest(repetitions)
        self._seconds_each = elapsed / repetitions
        wanted = round(seconds / max(self._seconds_each, 1e-9))
        return {
            "repetitions": min(max(1, wanted), MAX_REPETITIONS),
            "seconds_each": self._seconds_each,
        }

    def round(self, repetitions: int) -> wire.Message:
        """Time so many repetitions, after a rehearsal that brings code and data back into cache.

        Of a run that goes on, the next part.
        """
        if self._runs_on:
            return {"seconds": self._time(1) / self._runners[0].times, "interrupted": False}
        self._reset()
        if len(self._runners) > 1:
            self._time(1)  # cold data, but the code is known
        elif self._seconds_each < SLOWEST_WARM_UP:
            self._rehearse(max(1, repetitions // PARTS))
        elapsed, interrupted = self._fastest(repetitions)
        done = repetitions * self._runners[0].times
        return {"seconds": elapsed / done, "interrupted": interrupted}

    def _rehearse(self, repetitions: int) -> None:
        """Repeat until it gets no faster: a shared last level takes dozens of repetitions to fill.

        A row that is not called cold would else show how long its working set takes to come back
        after the others' turns.
        """
        start, fastest, steady = time.perf_counter(), math.inf, 0
        while steady < STEADY and time.perf_counter() - start < LONGEST_REHEARSAL:
            elapsed = self._time(repetitions)
            steady = 0 if elapsed < FASTER * fastest else steady + 1
            fastest = min(fastest, elapsed)

    def compare(self, save: str) -> wire.Message:
        """Save what a run that goes on has come to."""
        import numpy as np

        np.savez(save, **self._runners[0].result())
        return {"times": self._runners[0].times}

    def finish(self) -> wire.Message:
        peak = machine.peak_memory()
        self._drop()
        return {"peak_bytes": peak}

    def _reset(self) -> None:
        for runner in self._runners:
            runner.reset()

    def _fastest(self, repetitions: int) -> tuple[float, bool]:
        """Seconds that so many runs take, and whether the system interrupted them.

        When it gives the core to somebody else, that time is in the figure: short runs are tried
        again a few times.
        """
        fastest = math.inf
        for _ in range(TRIES):
            before = machine.interruptions()
            fastest = min(fastest, self._time(repetitions))
            interrupted = machine.interruptions() > before
            if not interrupted or fastest > LONGEST_RETRY:
                break
        return fastest, interrupted

    def _time(self, repetitions: int) -> float:
        """Seconds that so many runs take."""
        with self._runners[0].surroundings():
            if len(self._runners) == 1:
                return _time_one(self._runners[0].run, repetitions)
            return self._time_in_turn(repetitions)

    def _time_in_turn(self, repetitions: int) -> float:
        """Go on where the last round stopped, so that no copy is still in cache.

        Outputs are held until their turn comes again: a freed one would be the next one's memory,
        and hot.
        """
        count, held = len(self._runners), self._held
        turns = [(self._next + i) % count for i in range(repetitions)]
        self._next = (self._next + repetitions) % count
        order = [(turn, self._runners[turn].run) for turn in turns]
        start = time.perf_counter()
        for turn, run in order:
            held[turn] = run()
        return time.perf_counter() - start

    def _drop(self) -> None:
        self._runners, self._held = [], []
        gc.collect()


def _time_one(run: Callable[[], object], repetitions: int) -> float:
    start = time.perf_counter()
    for _ in repeat(None, repetitions):
        run()
    return time.perf_counter() - start


def serve(worker: Worker, commands: TextIO, answers: TextIO) -> None:
    """Answer every command; an exception is an answer too."""
    for line in commands:
        arguments = wire.read(line)
        command = getattr(worker, arguments.pop("do"))
        try:
            answer = command(**arguments)
        except Exception as error:  # any failure of a contestant belongs in the table
            answer = {"error": wire.describe(error)}
        wire.write(answers, answer)


def open_contestant(
    module_path: str, variant: str, package: str, threads: int
) -> tuple[Builder, wire.Message]:
    """Import the contestant's package, timed; what is known of it before any case."""
    start = time.perf_counter()
    importlib.import_module(package)
    import_seconds = time.perf_counter() - start
    builder: Builder = importlib.import_module(module_path).open_contestant(variant, threads)
    return builder, {"version": builder.version, "import_seconds": import_seconds}


def main(arguments: list[str]) -> None:
    module_path, variant, package, threads, cores = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    machine.pin([int(core) for core in cores.split(",")])
    try:
        builder, known = open_contestant(module_path, variant, package, int(threads))
    except ImportError as error:
        wire.write(answers, {"missing": wire.describe(error)})
        return
    except Exception as error:
        wire.write(answers, {"error": wire.describe(error)})
        return
    gc.freeze()  # a collection within a round would cost more than most rounds
    gc.disable()
    wire.write(answers, known)
    serve(Worker(builder), sys.stdin, answers)


if __name__ == "__main__":
    main(sys.argv[1:])
