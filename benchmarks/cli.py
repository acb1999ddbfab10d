"""The command line: which cases, which contestants, where the results go."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import compare, machine, report
from benchmarks.case import Case
from benchmarks.cases import FAMILIES, ON_REQUEST
from benchmarks.contestants import DEFAULT_PEERS, OURS, PEERS, chosen, distributions, scaling
from benchmarks.contestants.contestant import Contestant
from benchmarks.measure import QUICK, THOROUGH, Team, measure
from benchmarks.results import CaseResult, Measurement, median_of_runs
from benchmarks.roofline import ROOF, ROOF_ALONE

SCHEMA = 1  # of the JSON file
INTERRUPTED = 130  # a shell's status for a command ended by Ctrl-C
PEERS_HELP = f"comma-separated, of {', '.join(PEERS)} (default: {','.join(DEFAULT_PEERS)})"
FAMILIES_HELP = f"{', '.join(FAMILIES)} (default: all but {', '.join(ON_REQUEST)})"

EPILOG = """\
Families: each kind of layer by itself, gemm (the products of Linear without Python around them,
beside OpenBLAS and MKL; builds the engine once more), optim (the update alone), step (whole
training steps, epochs, predictions), build (compiling a step, before its first call, beside JAX's),
overhead (the training loop, an idle callback and the imported inspection against the same work
without: 0.87 is 15 % more time), parallel (several Steps in as many Python threads; with
--scaling), mnist (three epochs, and the README's recipe of six, beside PyTorch's plain loops: whole
time and accuracy; needs NNCORE_DATA).

Times are medians over rounds in which the contestants take turns, each in a process of its own on
the same cores. The ratio compares our fastest contestant with the fastest of all peers' settings,
within each round; it is refused where results differ by more than the case's bound.
Exit status: 0 if everything asked for was measured and agrees; 1 if a contestant failed or
disagrees, if nncore is missing, or if --compare found a fall; 2 for a wrong command line.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    if options.list:
        for case in _cases(options):
            print(f"{case.family:12} {case.name}")
        return 0
    try:
        return _run(options)
    except KeyboardInterrupt:
        _progress("interrupted\n")
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    cases = _cases(options)
    families = {case.family for case in cases}
    cores = machine.available_cores()[-options.threads :]
    everybody = scaling(options.threads) if options.scaling else chosen(options.peers)
    roofs = (ROOF, ROOF_ALONE) if options.scaling else (ROOF,)
    contestants = (*(c for c in everybody if c.takes_part(families)), *roofs)
    started = time.monotonic()
    earlier: list[list[CaseResult]] = []
    for run in range(1, options.runs):
        with Team(contestants, cores) as team:
            earlier.append([*_measured(cases, team, options, run)])
    with Team(contestants, cores) as team:
        for line in _missing_lines(contestants, team.missing):
            print(line)
        print(_heading(cores))
        results = _measure_and_print(cases, team, options, earlier)
        known = _known(team, results)
    print("\n" + report.contestants_table(known))
    print(f"\n{report.FOOTNOTE}")
    problems = report.failures(results)
    for line in problems:
        print(line)
    _progress(f"{len(results)} cases in {time.monotonic() - started:.0f} s\n")
    document = _document(options, cores, results, known, team.missing)
    if options.json:
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        options.json.write_text(text, encoding="utf-8")
    fell = _print_changes(options.compare, document) if options.compare else False
    ours_missing = not any(entry["peer"] == OURS for entry in known.values())
    disagree = any(not result.agrees for result in results)
    return int(bool(problems) or disagree or ours_missing or fell)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure nncore beside NumPy, PyTorch and JAX.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("families", nargs="*", metavar="family", help=FAMILIES_HELP)
    add("--threads", type=int, default=1, metavar="N", help="cores and threads for everybody")
    add(
        "--scaling",
        action="store_true",
        help="instead of peers: nncore on --threads cores (then 2 or more) against itself on one",
    )
    add("--runs", type=int, default=1, metavar="N", help="the medians of N whole runs")
    add("--peers", type=_names, default=DEFAULT_PEERS, help=PEERS_HELP)
    add("--only", default="", metavar="A,B", help="only cases whose name contains one of these")
    add("--json", type=Path, metavar="FILE", help="write all results here")
    add("--compare", type=Path, metavar="OLD.json", help="flag falls of more than 10 %%")
    add("--quick", action="store_true", help="few short rounds: does it run, not how fast")
    add("--list", action="store_true", help="print the cases and stop")
    options = parser.parse_args(arguments)
    for family in options.families:
        if family not in FAMILIES:
            parser.error(f"no family {family!r}; there are {', '.join(FAMILIES)}")
    for peer in options.peers:
        if peer not in PEERS:
            parser.error(f"no peer {peer!r}; there are {', '.join(PEERS)}")
    available = len(machine.available_cores())
    if not 1 <= options.threads <= available:
        parser.error(f"--threads {options.threads}: this process may use 1 to {available} cores")
    if options.runs < 1:
        parser.error(f"--runs {options.runs}: one at least")
    if options.scaling and options.threads < 2:
        parser.error("--scaling compares --threads 2 or more with one")
    if options.compare and not options.compare.is_file():
        parser.error(f"--compare {options.compare}: no such file")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json {options.json}: its folder does not exist")
    if not _cases(options):
        parser.error(f"no case's name contains {options.only!r}; see --list")
    return options


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _cases(options: argparse.Namespace) -> list[Case]:
    families = options.families or [name for name in FAMILIES if name not in ON_REQUEST]
    wanted = options.only.split(",")
    return [
        case
        for name in families
        for case in FAMILIES[name]
        if any(text in case.name for text in wanted)
    ]


def _measured(
    cases: list[Case], team: Team, options: argparse.Namespace, run: int
) -> Iterator[CaseResult]:
    """One result after the other, of one run."""
    effort = QUICK if options.quick else THOROUGH
    which = f"run {run}/{options.runs}, " if options.runs > 1 else ""
    for number, case in enumerate(cases, 1):
        _progress(f"{which}{case.family} {number}/{len(cases)}: {case.name}")
        yield measure(case, team, effort)
    _progress("")


def _measure_and_print(
    cases: list[Case], team: Team, options: argparse.Namespace, earlier: list[list[CaseResult]]
) -> list[CaseResult]:
    """The last run and the medians of all; each family's tables appear when they are complete."""
    results: list[CaseResult] = []
    for family in dict.fromkeys(case.family for case in cases):
        members = [case for case in cases if case.family == family]
        last = _measured(members, team, options, options.runs)
        runs = [[r for r in run if r.case.family == family] for run in earlier]
        of_family = [median_of_runs(of_case) for of_case in zip(*runs, last, strict=True)]
        print(f"\n{report.family_table(of_family)}\n")
        further = report.runs_table(of_family) or report.first_call_table(of_family)
        print(further, flush=True)
        results += of_family
    return results


def _known(team: Team, results: list[CaseResult]) -> dict[str, dict[str, Any]]:
    """What is true of a contestant in all cases."""
    known: dict[str, dict[str, Any]] = {}
    for contestant in team.contestants:
        if contestant.peer == ROOF.peer:
            continue
        measured = [result.measurements.get(contestant.name) for result in results]
        peaks = [m.peak_bytes for m in measured if m and m.peak_bytes]
        known[contestant.name] = {
            **team.known[contestant.name],
            "peer": contestant.peer,
            "installed_bytes": machine.installed_bytes(distributions(contestant)),
            "peak_bytes": max(peaks, default=None),
            "interrupted_share": _interrupted_share([m for m in measured if m]),
        }
    return known


def _interrupted_share(measured: list[Measurement]) -> float | None:
    rounds = sum(len(m.times) for m in measured)
    return sum(m.interrupted_rounds for m in measured) / rounds if rounds else None


def _missing_lines(contestants: Sequence[Contestant], missing: dict[str, str]) -> list[str]:
    """One line per peer that is left out."""
    lines: dict[str, str] = {}
    for contestant in contestants:
        reason = missing.get(contestant.name)
        if reason:
            state = "not built" if contestant.peer == OURS else "left out"
            lines.setdefault(contestant.peer, f"{contestant.peer}: {state} ({reason})")
    return list(lines.values())


def _heading(cores: list[int]) -> str:
    facts = machine.facts()
    threads = "1 thread on core" if len(cores) == 1 else f"{len(cores)} threads on cores"
    return f"{facts['cpu']}, {threads} {', '.join(map(str, cores))}; Python {facts['python']}"


def _document(
    options: argparse.Namespace,
    cores: list[int],
    results: list[CaseResult],
    known: dict[str, dict[str, Any]],
    missing: dict[str, str],
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "threads": len(cores),
        "pinned_to": cores,
        "quick": options.quick,
        "runs": options.runs,
        "contestants": known,
        "missing": missing,
        "cases": [result.as_json() for result in results],
    }


def _print_changes(old_file: Path, document: dict[str, Any]) -> bool:
    """Print what fell since the older run; whether anything did."""
    old = json.loads(old_file.read_text(encoding="utf-8"))
    found = compare.changes(old, document)
    fell = [change for change in found if change.fell]
    print(f"\nAgainst {old_file}: {len(found)} cases compared, {len(fell)} fell by more than 10 %")
    for change in fell:
        print(f"  {change}")
    return bool(fell)


def _progress(text: str) -> None:
    """One changing line on a terminal, plain lines elsewhere; never on standard output."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text.rstrip("\n"), file=sys.stderr, flush=True)
