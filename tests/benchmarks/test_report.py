"""The tables people read."""

from __future__ import annotations

import dataclasses

from benchmarks import report
from benchmarks.case import Case, Must
from benchmarks.contestants import ONE_THREAD
from benchmarks.contestants.contestant import Contestant
from benchmarks.results import CaseResult, Measurement

CASE = Case("linear", "a case", "linear.forward", {}, flops=4e3, tolerance=1e-5)


def measured(name: str, peer: str, *seconds: float, **known: object) -> Measurement:
    return Measurement(Contestant(name, peer, "module"), seconds=list(seconds), **known)


def row(result: CaseResult) -> dict[str, str]:
    """The only row of a table, by column."""
    header, _, line = (
        [cell.strip() for cell in text.strip("|").split("|")]
        for text in report.family_table([result]).splitlines()
    )
    return dict(zip(header, line, strict=True))


def result_of(*measurements: Measurement, roof: Measurement | None = None) -> CaseResult:
    return CaseResult(CASE, {m.contestant.name: m for m in measurements}, roof)


def test_columns_line_up() -> None:
    lines = report.table(["name", "us"], [["short", "1.00"], ["a long name", "12345"]]).splitlines()
    assert lines == [
        "| name        |    us |",
        "|:------------|------:|",
        "| short       |  1.00 |",
        "| a long name | 12345 |",
    ]


def test_a_row_tells_times_ratio_rate_and_share() -> None:
    result = result_of(
        measured("torch", "torch", 6e-6, disagreement=2e-7),
        measured("nncore", "nncore", 2e-6),
        roof=measured("roof", "roof", 1e-6),
    )
    assert row(result) == {
        "linear, us": "a case",
        "nncore": "2.00",
        "torch": "6.00",
        "best peer": "torch",
        "ratio": "3.00",
        "rate": "2.00 GF/s",
        "of roof": "50%",
        "largest difference": "2e-07",
    }


def test_what_a_case_must_reach_stands_beside_the_verdict() -> None:
    case = dataclasses.replace(
        CASE, bytes=8.0, bound="bytes", passes="x, y", must=Must(roof_share=0.6)
    )
    others = measured("torch", "torch", 3e-6), measured("roof", "roof", 1e-6)
    result = result_of(measured("nncore", "nncore", 2e-6), others[0], roof=others[1])
    cells = row(dataclasses.replace(result, case=case))
    assert list(cells)[-3:] == ["passes", "must", "verdict"]
    assert list(cells.values())[-3:] == ["x, y", "60% of copy, 1.00", "short: roof"]
    lines = report.family_table([result, dataclasses.replace(result, case=case)]).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[-4:-1]] == ["-", "-", "-"]


def test_two_threads_stand_beside_what_they_must_and_what_the_machine_gains() -> None:
    two, one = measured("x2", "nncore", 2e-6), measured("x1", ONE_THREAD, 3e-6)
    roofs = measured("roof", "roof", 1e-6), measured("roof x1", "roof", 2e-6)
    case = dataclasses.replace(CASE, scales=1.8, must=Must())
    cells = row(CaseResult(case, {"x2": two, "x1": one}, *roofs))
    assert list(cells)[-3:] == ["roof's ratio", "must", "verdict"]
    assert list(cells.values())[-3:] == ["2.00", "1.80", "short: peer"]


def test_a_disagreement_stands_where_the_ratio_would() -> None:
    wrong = measured("torch", "torch", 6e-6, disagreement=0.03)
    cells = row(result_of(measured("nncore", "nncore", 2e-6), wrong))
    assert cells["ratio"] == "disagrees: 3e-02"
    assert cells["torch"] == "6.00"


def test_without_ours_there_is_no_ratio() -> None:
    cells = row(result_of(measured("torch", "torch", 6e-6)))
    assert (cells["ratio"], cells["rate"], cells["of roof"]) == ("n/a", "n/a", "n/a")


def test_failed_and_absent_contestants() -> None:
    failed = measured("jax", "jax", status="failed", error="round: worker died of signal 9")
    absent = measured("numpy loop", "numpy", status="absent")
    result = result_of(measured("nncore", "nncore", 2e-6), failed, absent)
    cells = row(result)
    assert cells["jax"] == "failed"
    assert "numpy loop" not in cells
    assert report.failures([result]) == [
        "linear, a case: jax failed in round: worker died of signal 9"
    ]


def test_first_calls_and_costs() -> None:
    result = result_of(
        measured("nncore", "nncore", 1e-6, first_call_seconds=2e-3),
        measured("jax", "jax", 1e-6, first_call_seconds=0.5),
    )
    assert "|   2.00 | 500.00 |" in report.first_call_table([result])
    known = {"jax": {"version": "1.2", "import_seconds": 0.25, "interrupted_share": 0.125}}
    line = report.contestants_table(known).splitlines()[-1]
    assert line == (
        "| jax        |     1.2 |       250 |            - |              - |                12% |"
    )


def test_three_digits() -> None:
    assert [report.significant(v) for v in (0.1234, 1.234, 12.34, 123.4, 12345.6)] == [
        "0.12",
        "1.23",
        "12.3",
        "123",
        "12346",
    ]


def test_whole_runs_tell_seconds_and_accuracy() -> None:
    case = dataclasses.replace(CASE, runs_on=3)
    ours = measured("nncore", "nncore", 2e-6, whole_seconds=5.4321, accuracy=0.98765)
    lines = report.runs_table([CaseResult(case, {"nncore": ours}, None)]).splitlines()
    assert lines[2:] == [
        "| a case, seconds    |   5.43 |",
        "| a case, accuracy   | 98.77% |",
    ]
    assert report.runs_table([result_of(ours)]) == ""
