"""Real workers with fake contestants: what the driver makes of each way to misbehave."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks import machine
from benchmarks.case import Case
from benchmarks.cases import FAMILIES, find
from benchmarks.contestants.contestant import Contestant, Runner
from benchmarks.measure import Effort, Team, measure
from benchmarks.process import MissingError, WorkerError, WorkerProcess
from benchmarks.results import CaseResult
from benchmarks.roofline import ROOF
from benchmarks.worker import Worker

CORES = machine.available_cores()[:1]
EFFORT = Effort(round_seconds=1e-4, rounds=4, budget_seconds=0.05)


@pytest.fixture
def case() -> Case:
    return find("linear", "7x33x19 forward")


def run(case: Case, *contestants: Contestant, effort: Effort = EFFORT) -> CaseResult:
    with Team(contestants, CORES) as team:
        return measure(case, team, effort)


def test_all_contestants_are_timed_in_every_round(case: Case, fake) -> None:
    result = run(case, fake("right"), fake("right", "torch"))
    for m in result.measurements.values():
        assert m.status == "measured"
        assert len(m.times) == EFFORT.rounds
        assert all(seconds > 0 for seconds in m.times)
        assert m.repetitions >= 1
        assert m.first_call_seconds
        assert m.first_call_seconds > 0
    assert result.measurements["torch right"].disagreement == 0.0
    assert result.ratio is not None


@pytest.mark.parametrize(("variant", "least"), [("wrong", 0.029), ("nan", float("inf"))])
def test_a_deliberately_wrong_contestant_is_refused(
    case: Case, fake, variant: str, least: float
) -> None:
    result = run(case, fake("right"), fake("right", "numpy"), fake(variant, "torch"))
    assert result.largest_disagreement is not None
    assert result.largest_disagreement >= least
    assert result.ratio is None


def test_we_are_refused_if_we_are_the_wrong_one(case: Case, fake) -> None:
    result = run(case, fake("wrong"), fake("right", "torch"), fake("right", "jax"))
    assert result.ratio is None


@pytest.mark.parametrize(
    ("variant", "error"),
    [
        ("raises", "prepare: ArithmeticError: this case is too much"),
        ("dies", "prepare: worker died of signal 9"),
        ("leaves", "prepare: worker ended with status 3"),
        ("dies in a round", "calibrate: worker ended with status 3"),
    ],
)
def test_a_failure_is_reported_and_the_others_go_on(
    case: Case, fake, variant: str, error: str
) -> None:
    with Team([fake("right"), fake(variant, "torch"), fake("right", "jax")], CORES) as team:
        result = measure(case, team, EFFORT)
        assert result.measurements[f"torch {variant}"].status == "failed"
        assert result.measurements[f"torch {variant}"].error == error
        assert result.best_peer is result.measurements["jax right"]
        assert result.ratio is not None
        # The worker was replaced: it answers on the next case.
        other = measure(find("activation", "relu 1M forward"), team, EFFORT)
        assert other.measurements[f"torch {variant}"].status == "measured"


def test_a_hanging_worker_is_given_up(case: Case, fake, tmp_path: Path) -> None:
    worker = WorkerProcess(fake("hangs"), CORES, hang=30)
    try:
        worker.wait_until_ready()
        worker.hang = 0.2
        with pytest.raises(WorkerError, match=r"no answer within 0\.2 s"):
            worker.ask("prepare", family=case.family, case=case.name, save=str(tmp_path / "x.npz"))
    finally:
        worker.close()


def test_a_missing_package_is_left_out_with_its_reason(case: Case, fake) -> None:
    contestants = [fake("right"), fake("missing", "torch"), fake("broken", "jax")]
    with Team(contestants, CORES) as team:
        assert team.missing == {
            "torch missing": "ImportError: no package of that name",
            "jax broken": "failed to start: RuntimeError: does not open",
        }
        assert [c.name for c in team.contestants] == ["nncore right"]
        assert measure(case, team, EFFORT).ours is not None


def test_missing_is_told_from_broken(fake) -> None:
    worker = WorkerProcess(fake("missing"), CORES)
    with pytest.raises(MissingError):
        worker.wait_until_ready()


def test_an_operation_without_a_part_in_it_is_absent(fake) -> None:
    result = run(find("optim", "4-64-64-2 Adam"), fake("right"))
    assert result.measurements["nncore right"].status == "absent"
    assert result.ours is None


@pytest.mark.parametrize("cores", [CORES, machine.available_cores()[:2]], ids=len)
def test_a_worker_runs_on_its_cores_with_as_many_threads(fake, cores: list[int]) -> None:
    with Team([fake("right")], cores) as team:
        known = team.known["nncore right"]
    assert known["version"] == f"{len(cores)} {cores} {len(cores)}"


def test_a_slow_contestant_sits_rounds_out(case: Case, fake) -> None:
    result = run(
        case,
        fake("right"),
        fake("slow", "torch"),
        effort=Effort(round_seconds=1e-4, rounds=8, budget_seconds=0.05, least_rounds=2),
    )
    seconds = result.measurements["torch slow"].seconds
    assert [s is not None for s in seconds] == [True, False, False, False] * 2
    assert len(result.measurements["nncore right"].times) == 8
    assert result.ratio is not None


def test_what_a_library_prints_does_not_disturb(case: Case, fake) -> None:
    assert run(case, fake("chatty")).measurements["nncore chatty"].status == "measured"


def test_weights_are_reset_before_the_result_and_every_round(
    case: Case, fake, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    run(case, fake("right", notes=notes))
    before_result, before_calibration = 1, 1
    resets = notes.read_text().count("reset")
    assert resets == before_result + before_calibration + EFFORT.rounds


def test_a_run_that_goes_on_is_run_once_and_compared_at_its_end(
    fake, two_images, tmp_path: Path
) -> None:
    case, notes = FAMILIES["mnist"][0], tmp_path / "notes"
    result = run(case, fake("right", notes=notes), fake("wrong", "torch"))
    assert notes.read_text().split() == ["part"] * case.runs_on
    ours = result.measurements["nncore right"]
    assert ours.accuracy == 0.9
    assert ours.whole_seconds == pytest.approx(2 * sum(ours.times))
    entry = result.as_json()["contestants"]["nncore right"]
    assert (entry["whole_seconds"], entry["accuracy"]) == (ours.whole_seconds, 0.9)
    assert len(ours.times) == case.runs_on
    assert result.measurements["torch wrong"].disagreement == pytest.approx(0.1 / 0.9)
    assert result.ratio is None


def test_cold_cases_rotate_over_more_than_the_cache_holds(fake, tmp_path: Path) -> None:
    case = find("activation", "relu 1M forward cold")
    notes = tmp_path / "notes"
    run(case, fake("right", notes=notes))
    uses = Counter(notes.read_text().split("\n"))
    copies = {line: count for line, count in uses.items() if line.startswith("copy")}
    assert len(copies) * case.bytes > 2 * machine.last_level_cache()
    # The first is used once more, for the first call.
    assert max(copies.values()) - min(copies.values()) <= 2


def test_the_roof_of_a_memory_bound_case_is_a_copy(fake) -> None:
    result = run(find("activation", "relu 1M forward"), fake("right"), ROOF)
    assert ROOF.name not in result.measurements
    assert result.roof is not None
    assert result.roof_share is not None
    assert result.roof_share > 0


def test_a_rehearsal_goes_on_until_it_gets_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(_Runs())
    times = iter([9.0, 8.0, 7.0, 6.99, 7.0, 6.98])
    monkeypatch.setattr(worker, "_time", lambda repetitions: next(times))
    worker._rehearse(1)
    assert list(times) == []


class _Runs:
    """A builder whose only runner does nothing; stands in for a contestant."""

    version = ""

    def build(self, case: Case, arrays: dict) -> Runner:
        return Runner(lambda: None, lambda: {"y": arrays["x"]})


@pytest.mark.parametrize(
    ("interruptions", "tries", "reported"),
    [([0, 0], 1, False), ([0, 1, 1, 1], 2, False), ([0, 1, 1, 2, 2, 3], 3, True)],
    ids=["undisturbed", "once", "always"],
)
def test_an_interrupted_round_is_tried_again(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    interruptions: list[int],
    tries: int,
    reported: bool,
) -> None:
    worker = Worker(_Runs())
    worker.prepare(case.family, case.name, str(tmp_path / "result.npz"))
    asked = iter(interruptions)
    monkeypatch.setattr(machine, "interruptions", lambda: next(asked))
    assert worker.round(3)["interrupted"] is reported
    assert list(asked) == []
    assert len(interruptions) == 2 * tries
