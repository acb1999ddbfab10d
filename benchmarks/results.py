"""What a run found: the times of every round, and what follows from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from benchmarks.case import Case, Must
from benchmarks.contestants import ONE_THREAD, OURS
from benchmarks.contestants.contestant import Contestant

Seconds = list[float | None]
"""One entry per round; None where the contestant sat the round out."""


@dataclass
class Measurement:
    """One contestant on one case."""

    contestant: Contestant
    status: Literal["measured", "absent", "failed"] = "measured"
    error: str = ""
    disagreement: float | None = None
    """Largest relative difference to the case's first contestant; None for that one itself."""
    seconds: Seconds = field(default_factory=list)
    repetitions: int = 0
    interrupted_rounds: int = 0
    """Rounds in which somebody else ran on the contestant's cores, even when tried again."""
    first_call_seconds: float | None = None
    peak_bytes: int | None = None
    whole_seconds: float | None = None
    """Of a run from beginning to end."""
    accuracy: float | None = None
    """What such a run has come to."""

    @property
    def times(self) -> list[float]:
        return [value for value in self.seconds if value is not None]

    @property
    def median(self) -> float | None:
        return statistics.median(self.times) if self.status == "measured" and self.times else None


@dataclass
class CaseResult:
    """All contestants on one case."""

    case: Case
    measurements: dict[str, Measurement]
    roof: Measurement | None = None
    """The least time this machine needs for the case's work; None where nothing measures it."""
    roof_alone: Measurement | None = None
    """The same on one thread, in a run of several beside one."""

    @property
    def largest_disagreement(self) -> float | None:
        found = [m.disagreement for m in self.measurements.values() if m.disagreement is not None]
        return max(found, default=None)

    @property
    def agrees(self) -> bool:
        largest = self.largest_disagreement
        return largest is None or largest <= self.case.tolerance

    @property
    def ours(self) -> Measurement | None:
        """Our fastest contestant."""
        return self._fastest(ours=True)

    @property
    def best_peer(self) -> Measurement | None:
        """The fastest of all settings of all peers."""
        return self._fastest(ours=False)

    @property
    def ratio(self) -> float | None:
        """How often we are done while the best peer is done once; refused without agreement."""
        if self.ours is None or self.best_peer is None or not self.agrees:
            return None
        return ratio_within_rounds(self.best_peer.seconds, self.ours.seconds)

    @property
    def roof_share(self) -> float | None:
        """Our speed as a share of what the machine can do."""
        if self.ours is None or self.roof is None:
            return None
        return ratio_within_rounds(self.roof.seconds, self.ours.seconds)

    @property
    def is_scaling(self) -> bool:
        """Whether the peers are nncore itself on one thread."""
        return any(m.contestant.peer == ONE_THREAD for m in self.measurements.values())

    @property
    def roof_ratio(self) -> float | None:
        """How much faster this machine can be on the run's threads than on one."""
        if self.roof is None or self.roof_alone is None:
            return None
        return ratio_within_rounds(self.roof_alone.seconds, self.roof.seconds)

    @property
    def must(self) -> Must | None:
        """What is asked of this run."""
        return Must(ratio=self.case.scales) if self.is_scaling else self.case.must

    @property
    def verdict(self) -> str | None:
        """Whether the case reaches what it must: "met", or what it is short of; None if unmeasured.

        A share or a ratio that nobody measured is not asked for.
        """
        must = self.must
        if must is None or self.ours is None or self.ours.median is None:
            return None
        asked = (
            ("roof", self.roof_share, must.roof_share),
            ("peer", self.ratio, must.ratio if self.best_peer else None),
        )
        short = [
            name
            for name, found, least in asked
            if least is not None
            and (found is not None or name == "peer")
            and round(found or 0, 2) < round(least, 2)
        ]
        return "short: " + ", ".join(short) if short else "met"

    def _fastest(self, *, ours: bool) -> Measurement | None:
        timed = [
            (m.median, m)
            for m in self.measurements.values()
            if m.median is not None and (m.contestant.peer == OURS) == ours
        ]
        return min(timed, key=lambda pair: pair[0])[1] if timed else None

    def as_json(self) -> dict[str, Any]:
        case = self.case
        return {
            "family": case.family,
            "case": case.name,
            "flops": case.flops,
            "bytes": case.bytes,
            "bound": case.bound,
            "tolerance": case.tolerance,
            "disagreement": _finite(self.largest_disagreement),
            "agrees": self.agrees,
            "ours": self.ours.contestant.name if self.ours else None,
            "best_peer": self.best_peer.contestant.name if self.best_peer else None,
            "ratio": self.ratio,
            "roof_share": self.roof_share,
            "roof_ratio": self.roof_ratio,
            "verdict": self.verdict,
            "roof": _measurement_json(self.roof) if self.roof else None,
            "contestants": {n: _measurement_json(m) for n, m in self.measurements.items()},
        }


def ratio_within_rounds(numerator: Seconds, denominator: Seconds) -> float | None:
    """Median of the ratios of rounds both took part in: drift of the machine cancels out."""
    ratios = [a / b for a, b in zip(numerator, denominator, strict=True) if a and b]
    return statistics.median(ratios) if ratios else None


def median_of_runs(results: Sequence[CaseResult]) -> CaseResult:
    """One case's results of several runs as one, in which the median of each run is a round."""
    first = results[0]
    if len(results) == 1:
        return first
    names = dict.fromkeys(name for result in results for name in result.measurements)
    merged = {n: _merged([result.measurements.get(n) for result in results]) for n in names}
    roof = _merged([result.roof for result in results])
    alone = _merged([result.roof_alone for result in results])
    return CaseResult(first.case, {n: m for n, m in merged.items() if m}, roof, alone)


def _merged(runs: Sequence[Measurement | None]) -> Measurement | None:
    """One contestant's runs; it may have been left out of some, and what failed once has failed."""
    found = [m for m in runs if m]
    if not found:
        return None
    return replace(
        next((m for m in found if m.status == "failed"), found[-1]),
        disagreement=_known(max, (m.disagreement for m in found)),
        seconds=[m.median if m else None for m in runs],
        interrupted_rounds=sum(2 * m.interrupted_rounds > len(m.times) for m in found),
        first_call_seconds=_known(statistics.median, (m.first_call_seconds for m in found)),
        peak_bytes=_known(max, (m.peak_bytes for m in found)),
        whole_seconds=_known(statistics.median, (m.whole_seconds for m in found)),
        accuracy=_known(statistics.median, (m.accuracy for m in found)),
    )


def _known(which: Callable[[list[Any]], Any], values: Iterable[Any]) -> Any:
    """The largest or the median of those that there are, None where there is none."""
    known = [value for value in values if value is not None]
    return which(known) if known else None


def _measurement_json(m: Measurement) -> dict[str, Any]:
    entry: dict[str, Any] = {"status": m.status}
    if m.error:
        entry["error"] = m.error
    if m.disagreement is not None:
        entry["disagreement"] = _finite(m.disagreement)
    times = sorted(m.times)
    if times:
        entry |= {
            "median_us": 1e6 * statistics.median(times),
            "quartiles_us": [1e6 * q for q in quartiles(times)],
            "min_us": 1e6 * times[0],
            "rounds": len(times),
            "repetitions": m.repetitions,
            "interrupted_rounds": m.interrupted_rounds,
        }
    if m.first_call_seconds is not None:
        entry["first_call_ms"] = 1e3 * m.first_call_seconds
    if m.peak_bytes is not None:
        entry["peak_bytes"] = m.peak_bytes
    if m.whole_seconds is not None:
        entry |= {"whole_seconds": m.whole_seconds, "accuracy": m.accuracy}
    return entry


def quartiles(times: list[float]) -> tuple[float, float]:
    """The first and the third quartile."""
    if len(times) == 1:
        return times[0], times[0]
    first, _, third = statistics.quantiles(times, n=4, method="inclusive")
    return first, third


def _finite(value: float | None) -> float | str | None:
    """JSON has no infinity."""
    return value if value is None or math.isfinite(value) else str(value)
