"""The run of a case: everybody computes it once and agrees, then they take turns."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.agreement import disagreement
from benchmarks.case import Case
from benchmarks.contestants.contestant import Contestant
from benchmarks.process import MissingError, WorkerError, WorkerProcess
from benchmarks.results import CaseResult, Measurement
from benchmarks.roofline import ROOF, ROOF_ALONE

SPINNING = 0.005  # seconds in which the other pools' threads stop waiting actively


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    round_seconds: float
    rounds: int
    budget_seconds: float
    """What one contestant may take for all rounds of a case; a slow one sits rounds out."""
    least_rounds: int = 3


THOROUGH = Effort(round_seconds=0.01, rounds=30, budget_seconds=2.0)
QUICK = Effort(round_seconds=0.001, rounds=3, budget_seconds=0.1, least_rounds=1)


class Team:
    """The workers of a run, one per contestant, started again if they died."""

    def __init__(self, contestants: Iterable[Contestant], cores: list[int]):
        self._cores = cores
        self._workers: dict[str, WorkerProcess] = {}
        self.missing: dict[str, str] = {}
        """Contestants that are left out, with the reason."""
        self.known: dict[str, dict[str, object]] = {}
        """What each worker said when it was ready."""
        self.contestants: list[Contestant] = []
        self._open(list(contestants))

    def _open(self, contestants: list[Contestant]) -> None:
        """Start them one after the other: they share cores, and the import is timed."""
        for contestant in contestants:
            worker = WorkerProcess(contestant, self._cores[-(contestant.threads or 0) :])
            try:
                worker.wait_until_ready()
            except MissingError as error:
                self.missing[contestant.name] = str(error)
            except WorkerError as error:
                self.missing[contestant.name] = f"failed to start: {error}"
            else:
                self._workers[contestant.name] = worker
                self.known[contestant.name] = worker.known
                self.contestants.append(contestant)

    def worker(self, contestant: Contestant) -> WorkerProcess:
        return self._workers[contestant.name]

    def restart(self, contestant: Contestant) -> None:
        """Replace a worker that is in an unknown state; leave the contestant out if that fails."""
        self._workers.pop(contestant.name).close()
        self.contestants.remove(contestant)
        self._open([contestant])

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def threads(self) -> int:
        return len(self._cores)


def measure(case: Case, team: Team, effort: Effort) -> CaseResult:
    """Prepare, compare and time all contestants on one case."""
    run = _Run(case, team, effort)
    run.prepare()
    run.alternate()
    if case.runs_on:
        run.compare()
    run.finish()
    roof, alone = (run.take(contestant) for contestant in (ROOF, ROOF_ALONE))
    return CaseResult(case, run.measurements, roof, alone)


class _Run:
    def __init__(self, case: Case, team: Team, effort: Effort):
        self._case, self._team, self._effort = case, team, effort
        self.measurements = {c.name: Measurement(c) for c in team.contestants}

    def prepare(self) -> None:
        with TemporaryDirectory(prefix="benchmarks-") as directory:
            files: dict[str, Path] = {}
            for number, m in enumerate(self.measurements.values()):
                file = Path(directory) / f"{number}.npz"
                names = {"family": self._case.family, "case": self._case.name}
                answer = self._ask(m, "prepare", **names, save=str(file))
                if answer.get("absent"):
                    m.status = "absent"
                elif m.status == "measured" and not self._case.runs_on:
                    m.first_call_seconds = float(answer["first_call_seconds"])
                    files[m.contestant.name] = file
            self._compare(files)

    def compare(self) -> None:
        """What the parts of a run that goes on have come to."""
        with TemporaryDirectory(prefix="benchmarks-") as directory:
            files: dict[str, Path] = {}
            for number, m in enumerate(self._active()):
                file = Path(directory) / f"{number}.npz"
                answer = self._ask(m, "compare", save=str(file))
                if m.status == "measured" and m.contestant.peer != ROOF.peer:
                    m.whole_seconds = sum(m.times) * float(answer["times"])
                    files[m.contestant.name] = file
            self._compare(files)

    def _compare(self, files: dict[str, Path]) -> None:
        """Each contestant's results with those of the first."""
        import numpy as np

        results: dict[str, dict[str, np.ndarray]] = {}
        for name, file in files.items():
            if self.measurements[name].contestant.peer != ROOF.peer:
                with np.load(file, allow_pickle=False) as arrays:
                    results[name] = dict(arrays)
        for name, arrays in results.items():
            if "accuracy" in arrays:
                self.measurements[name].accuracy = float(arrays["accuracy"])
        if results:
            first, *others = results
            for other in others:
                difference = disagreement(results[first], results[other])
                self.measurements[other].disagreement = difference

    def alternate(self) -> None:
        """A B C A B C ...; one too slow for all rounds takes part in every 2nd, 4th, ... only."""
        effort = self._effort
        every: dict[str, int] = {}
        for m in self._active():
            if self._case.runs_on:
                m.repetitions = every[m.contestant.name] = 1
                continue
            answer = self._ask(m, "calibrate", seconds=effort.round_seconds)
            if m.status == "measured":
                m.repetitions = answer["repetitions"]
                every[m.contestant.name] = self._stride(answer["seconds_each"] * m.repetitions)
        for number in range(self._case.runs_on or effort.rounds):
            for m in self._active():
                if number % every[m.contestant.name]:
                    m.seconds.append(None)
                    continue
                if self._team.threads > 1:
                    time.sleep(SPINNING)
                answer = self._ask(m, "round", repetitions=m.repetitions)
                m.seconds.append(answer.get("seconds"))
                m.interrupted_rounds += bool(answer.get("interrupted"))

    def finish(self) -> None:
        for m in self._active():
            m.peak_bytes = self._ask(m, "finish").get("peak_bytes")

    def take(self, contestant: Contestant) -> Measurement | None:
        """Out of the others' row: the measurement of a roof, where there is one."""
        found = self.measurements.pop(contestant.name, None)
        return found if found and found.status == "measured" else None

    def _stride(self, round_seconds: float) -> int:
        """A power of two, so that of two contestants' rounds one set contains the other."""
        effort = self._effort
        stride = 1
        while (
            round_seconds * effort.rounds / stride > effort.budget_seconds
            and effort.rounds / (2 * stride) >= effort.least_rounds
        ):
            stride *= 2
        return stride

    def _active(self) -> list[Measurement]:
        return [m for m in self.measurements.values() if m.status == "measured"]

    def _ask(self, m: Measurement, do: str, **arguments: object) -> dict[str, object]:
        """Ask a worker; its failure is recorded, and a worker that is gone is replaced."""
        try:
            answer = self._team.worker(m.contestant).ask(do, **arguments)
        except WorkerError as error:
            answer = {"error": str(error)}
            self._team.restart(m.contestant)
        if "error" in answer:
            m.status, m.error = "failed", f"{do}: {answer['error']}"
        return answer
