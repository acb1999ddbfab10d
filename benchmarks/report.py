"""Tables for people: aligned on a terminal, and Markdown as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.case import Case
from benchmarks.contestants import OURS
from benchmarks.results import CaseResult, Measurement

EMPTY = "-"
FOOTNOTE = (
    "Rows are warm: before a round each contestant rehearses until it gets no faster. "
    "Rows called cold find none of their data in cache."
)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up; the first column is text, the others are figures."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join([first, *others]) + " |"

    rule = "|" + "|".join(
        [":" + "-" * (widths[0] + 1), *("-" * (width + 1) + ":" for width in widths[1:])]
    )
    return "\n".join([line(header), rule + "|", *(line(row) for row in rows)])


def family_table(results: Sequence[CaseResult]) -> str:
    """Medians in microseconds, the ratio to the best peer, and how near to the machine's roof."""
    names = _contestants(results)
    rows = []
    for result in results:
        cells = [_time(result.measurements.get(name)) for name in names]
        rows.append([result.case.name, *cells, *_comparison(result)])
    header = [*names, "best peer", "ratio", "rate", "of roof", "largest difference"]
    if any(result.is_scaling for result in results):
        header += ["roof's ratio", "must", "verdict"]
        rows = [[*row, *_scaling(result)] for row, result in zip(rows, results, strict=True)]
    elif any(result.case.must for result in results):
        header += ["passes", "must", "verdict"]
        rows = [[*row, *_verdict(result)] for row, result in zip(rows, results, strict=True)]
    return table([f"{results[0].case.family}, us", *header], rows)


def first_call_table(results: Sequence[CaseResult]) -> str:
    """Milliseconds from the arrays to the end of the first repetition, compilation included."""
    names = _contestants(results)
    rows = [
        [result.case.name, *(_first_call(result.measurements.get(name)) for name in names)]
        for result in results
    ]
    return table([f"{results[0].case.family}, first call, ms", *names], rows)


def runs_table(results: Sequence[CaseResult]) -> str:
    """Whole runs: seconds from beginning to end and accuracy; empty where there are none."""
    names = _contestants(results)
    rows = []
    for result in results:
        if result.case.runs_on:
            found = [result.measurements.get(name) for name in names]
            rows.append([f"{result.case.name}, seconds", *(_whole_seconds(m) for m in found)])
            rows.append([f"{result.case.name}, accuracy", *(_accuracy(m) for m in found)])
    return table([f"{results[0].case.family}, whole runs", *names], rows) if rows else ""


def _whole_seconds(m: Measurement | None) -> str:
    return _scaled(m.whole_seconds if m else None, 1, "{:.2f}")


def _accuracy(m: Measurement | None) -> str:
    return _scaled(m.accuracy if m else None, 1, "{:.2%}")


def contestants_table(entries: dict[str, dict[str, Any]]) -> str:
    """Version, import time, size on disk, the largest memory that any case needed.

    The share of interrupted rounds tells how far a busy machine is to blame for odd figures.
    """
    rows = [
        [
            name,
            str(entry.get("version") or EMPTY),
            _scaled(entry.get("import_seconds"), 1e3, "{:.0f}"),
            _scaled(entry.get("installed_bytes"), 1e-6, "{:.1f}"),
            _scaled(entry.get("peak_bytes"), 1e-6, "{:.0f}"),
            _scaled(entry.get("interrupted_share"), 1, "{:.0%}"),
        ]
        for name, entry in entries.items()
    ]
    header = ["contestant", "version", "import ms", "installed MB", "peak memory MB"]
    return table([*header, "interrupted rounds"], rows)


def failures(results: Sequence[CaseResult]) -> list[str]:
    """One line for every contestant that failed on a case."""
    return [
        f"{result.case.family}, {result.case.name}: {name} failed in {m.error}"
        for result in results
        for name, m in result.measurements.items()
        if m.status == "failed"
    ]


def _contestants(results: Sequence[CaseResult]) -> list[str]:
    """Those that had a part in at least one case, ours first."""
    names: dict[str, str] = {}
    for result in results:
        for name, m in result.measurements.items():
            if m.status != "absent":
                names[name] = m.contestant.peer
    return sorted(names, key=lambda name: names[name] != OURS)


def _time(m: Measurement | None) -> str:
    if m is None or m.status == "absent":
        return EMPTY
    if m.median is None:
        return "failed"
    return significant(1e6 * m.median)


def _first_call(m: Measurement | None) -> str:
    return _scaled(m.first_call_seconds if m else None, 1e3, "{:.2f}")


def _verdict(result: CaseResult) -> list[str]:
    """What the case has to move, what it must reach of roof and best peer, and whether it does."""
    must = result.case.must
    if must is None:
        return [result.case.passes or EMPTY, EMPTY, EMPTY]
    asked = [] if must.roof_share is None else [f"{must.roof_share:.0%} of {_roof_of(result.case)}"]
    return [
        result.case.passes or EMPTY,
        ", ".join([*asked, f"{must.ratio:.2f}"]),
        result.verdict or EMPTY,
    ]


def _scaling(result: CaseResult) -> list[str]:
    """What the machine itself gains from more threads; what the case must, and if it does."""
    form = "{:.2f}"
    must = form.format(result.case.scales)
    return [_scaled(result.roof_ratio, 1, form), must, result.verdict or EMPTY]


def _roof_of(case: Case) -> str:
    return {"bytes": "copy", "flops": "peak", "kernel": "kernel"}[case.bound]


def _comparison(result: CaseResult) -> list[str]:
    ours, best, largest = result.ours, result.best_peer, result.largest_disagreement
    if not result.agrees:
        ratio = f"disagrees: {largest:.0e}"
    else:
        ratio = f"{result.ratio:.2f}" if result.ratio else "n/a"
    rate = roof = "n/a"
    if ours and ours.median:
        bytes_bound = result.case.bound != "flops"
        work = result.case.bytes if bytes_bound else result.case.flops
        if work:
            rate = f"{significant(1e-9 * work / ours.median)} {'GB/s' if bytes_bound else 'GF/s'}"
    if result.roof_share:
        roof = f"{result.roof_share:.0%}"
    difference = EMPTY if largest is None else f"{largest:.0e}" if largest else "0"
    return [best.contestant.name if best else EMPTY, ratio, rate, roof, difference]


def significant(value: float) -> str:
    """Three digits, without an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _scaled(value: Any, factor: float, form: str) -> str:
    return EMPTY if value is None else form.format(value * factor)
