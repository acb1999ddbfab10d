"""What is concluded from times: medians, ratios within rounds, refusal."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from benchmarks.case import Case, Must
from benchmarks.contestants import ONE_THREAD
from benchmarks.contestants.contestant import Contestant
from benchmarks.results import (
    CaseResult,
    Measurement,
    median_of_runs,
    quartiles,
    ratio_within_rounds,
)

CASE = Case("linear", "a case", "linear.forward", {}, flops=4e3, tolerance=1e-5)


def measured(name: str, peer: str, *seconds: float | None, disagreement: float | None = None):
    contestant = Contestant(name, peer, "module")
    return Measurement(contestant, seconds=list(seconds), disagreement=disagreement, repetitions=7)


def result_of(*measurements: Measurement, roof: Measurement | None = None) -> CaseResult:
    return CaseResult(CASE, {m.contestant.name: m for m in measurements}, roof)


def test_the_ratio_is_taken_within_rounds() -> None:
    # The machine was ten times slower in the last two rounds. Medians alone would give 3.0 / 2.0.
    ours, theirs = [1.0, 1.0, 2.0, 10.0, 10.0], [3.0, 3.0, 3.0, 30.0, 30.0]
    assert ratio_within_rounds(theirs, ours) == 3.0


def test_rounds_that_one_sat_out_do_not_count() -> None:
    assert ratio_within_rounds([None, 4.0, None, 8.0], [1.0, 2.0, 1.0, 2.0]) == 3.0
    assert ratio_within_rounds([None, 4.0], [1.0, None]) is None


def test_the_fastest_peer_and_our_fastest_contestant_are_compared() -> None:
    result = result_of(
        measured("nncore", "nncore", 4.0, 4.0),
        measured("nncore compiled", "nncore", 2.0, 2.0),
        measured("torch", "torch", 9.0, 9.0),
        measured("torch channels_last", "torch", 5.0, 7.0),
        measured("numpy", "numpy", 60.0, 60.0),
    )
    assert result.ours is result.measurements["nncore compiled"]
    assert result.best_peer is result.measurements["torch channels_last"]
    assert result.ratio == 3.0


def test_a_disagreement_beyond_the_bound_refuses_the_ratio() -> None:
    ours = measured("nncore", "nncore", 1.0)
    near = measured("torch", "torch", 3.0, disagreement=1e-5)
    far = measured("jax", "jax", 2.0, disagreement=1.1e-5)
    assert result_of(ours, near).ratio == 3.0
    refused = result_of(ours, near, far)
    assert refused.ratio is None
    assert not refused.agrees
    assert refused.largest_disagreement == 1.1e-5


def test_failed_and_absent_contestants_are_no_peers() -> None:
    failed = measured("torch", "torch", 0.1)
    failed.status = "failed"
    absent = measured("jax", "jax")
    absent.status = "absent"
    result = result_of(measured("nncore", "nncore", 1.0), failed, absent)
    assert result.best_peer is None
    assert result.ratio is None


def test_the_share_of_the_roof() -> None:
    roof = measured("roof", "roof", 1.0, 2.0)
    assert result_of(measured("nncore", "nncore", 4.0, 8.0), roof=roof).roof_share == 0.25
    assert result_of(measured("nncore", "nncore", 4.0, 8.0)).roof_share is None


@pytest.mark.parametrize(
    ("times", "expected"),
    [([5.0], (5.0, 5.0)), ([1.0, 2.0, 3.0, 4.0, 5.0], (2.0, 4.0)), ([1.0, 2.0], (1.25, 1.75))],
)
def test_quartiles(times: list[float], expected: tuple[float, float]) -> None:
    assert quartiles(times) == expected


def test_json_holds_everything_and_no_infinity() -> None:
    peer = measured("torch", "torch", None, 3e-6, 5e-6, 4e-6, disagreement=math.inf)
    ours = measured("nncore", "nncore", 1e-6, 1e-6, 1e-6, 1e-6)
    entry = json.loads(json.dumps(result_of(ours, peer).as_json(), allow_nan=False))
    assert entry["ratio"] is None
    assert entry["disagreement"] == "inf"
    assert entry["best_peer"] == "torch"
    torch = entry["contestants"]["torch"]
    assert torch["median_us"] == pytest.approx(4.0)
    assert torch["min_us"] == pytest.approx(3.0)
    assert torch["quartiles_us"] == pytest.approx([3.5, 4.5])
    assert (torch["rounds"], torch["repetitions"]) == (3, 7)


@pytest.mark.parametrize(
    ("ours", "roof", "verdict"),
    [
        (1.0, 0.6, "met"),
        (1.0, 0.596, "met"),  # as printed: 60 %
        (1.0, 0.5, "short: roof"),
        (3.0, 1.8, "short: peer"),
        (3.0, 0.6, "short: roof, peer"),
        (1.0, None, "met"),  # a roof that nobody measured is not asked for
    ],
)
def test_the_verdict_says_what_a_case_is_short_of(
    ours: float, roof: float | None, verdict: str
) -> None:
    result = result_of(
        measured("nncore", "nncore", ours),
        measured("torch", "torch", 2.0),
        roof=None if roof is None else measured("roof", "roof", roof),
    )
    assert result.verdict is None
    result = replace(result, case=replace(CASE, must=Must(roof_share=0.6)))
    assert result.verdict == verdict
    assert result.as_json()["verdict"] == verdict


def test_a_disagreement_is_short_of_the_peer_and_no_peer_asks_for_nothing() -> None:
    case = replace(CASE, must=Must())
    wrong = result_of(
        measured("nncore", "nncore", 1.0), measured("torch", "torch", 9.0, disagreement=1.0)
    )
    assert replace(wrong, case=case).verdict == "short: peer"
    assert replace(result_of(measured("nncore", "nncore", 1.0)), case=case).verdict == "met"
    assert replace(result_of(measured("torch", "torch", 1.0)), case=case).verdict is None


@pytest.mark.parametrize(
    ("two", "verdict"), [(1.0, "met"), (2.0, "met"), (2.06, "met"), (2.08, "short: peer")]
)
def test_two_threads_must_be_as_fast_as_one_or_what_the_case_says(two: float, verdict: str) -> None:
    result = result_of(measured("x2", "nncore", two), measured("x1", ONE_THREAD, 2.0))
    assert result.is_scaling
    assert result.verdict == verdict
    strict = replace(result, case=replace(CASE, scales=1.8, must=Must(roof_share=0.6, ratio=9)))
    assert strict.verdict == ("met" if two == 1.0 else "short: peer")


def test_what_the_machine_gains_from_a_second_thread() -> None:
    ours = measured("x2", "nncore", 1.0)
    roof, alone = measured("roof", "roof", 1.0, 2.0), measured("roof x1", "roof", 1.9, 3.8)
    assert CaseResult(CASE, {"x2": ours}, roof, alone).roof_ratio == 1.9
    assert result_of(ours, roof=roof).roof_ratio is None


def test_the_medians_of_runs() -> None:
    runs = []
    for ours, theirs in (((1.0, 1.0, 9.0), (2.0, 2.0)), ((3.0,), (3.0,)), ((2.0,), (8.0,))):
        mine = replace(measured("nncore", "nncore", *ours), first_call_seconds=ours[0])
        other = measured("torch", "torch", *theirs, disagreement=ours[0] * 1e-6)
        runs.append(result_of(mine, other, roof=measured("roof", "roof", ours[0])))
    merged = median_of_runs(runs)
    assert merged.ours is not None
    assert merged.ours.times == [1.0, 3.0, 2.0]
    assert merged.ours.first_call_seconds == 2.0
    assert merged.ratio == 2.0  # of 2, 1 and 4
    assert merged.roof_share == 1.0
    assert merged.roof_alone is None
    assert merged.largest_disagreement == 3e-6
    assert median_of_runs(runs[:1]) is runs[0]


def test_who_failed_or_was_left_out_in_one_run() -> None:
    failed = replace(measured("torch", "torch", 1.0), status="failed", error="round: no")
    whole = result_of(measured("nncore", "nncore", 1.0), measured("torch", "torch", 2.0))
    merged = median_of_runs([whole, result_of(measured("nncore", "nncore", 1.0), failed)])
    assert (merged.measurements["torch"].status, merged.ratio) == ("failed", None)
    merged = median_of_runs([whole, result_of(measured("nncore", "nncore", 1.0))])
    assert merged.ratio == 2.0
    assert merged.measurements["torch"].seconds == [2.0, None]
