"""Comparison with an older run: what is a fall, and against what."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.compare import changes


def document(case: str = "a case", best_peer: str | None = "torch", **medians: float) -> Any:
    contestants = {name: {"status": "measured", "median_us": us} for name, us in medians.items()}
    ours = "nncore" if "nncore" in medians else None
    entry = {"family": "linear", "case": case, "ours": ours, "best_peer": best_peer}
    return {"cases": [{**entry, "contestants": contestants}]}


@pytest.mark.parametrize(("now", "fell"), [(10.9, False), (11.2, True), (5.0, False)])
def test_more_than_ten_percent_slower_against_the_same_peer_is_a_fall(
    now: float, fell: bool
) -> None:
    old, new = document(nncore=10.0, torch=30.0), document(nncore=now, torch=30.0)
    (change,) = changes(old, new)
    assert change.fell is fell
    assert change.speed == pytest.approx(10.0 / now)
    assert change.measure == "torch"


def test_a_slower_machine_is_no_fall() -> None:
    old, new = document(nncore=10.0, torch=30.0), document(nncore=20.0, torch=60.0)
    assert not changes(old, new)[0].fell


def test_the_old_best_peer_counts_even_if_another_is_best_now() -> None:
    old = document(nncore=10.0, torch=30.0, jax=40.0)
    new = document(best_peer="jax", nncore=10.0, torch=30.0, jax=15.0)
    assert changes(old, new)[0].speed == pytest.approx(1.0)


def test_without_that_peer_the_time_itself_counts_and_the_line_says_so() -> None:
    old = document(nncore=10.0, torch=30.0)
    new = document(best_peer=None, nncore=20.0)
    (change,) = changes(old, new)
    assert change.fell
    assert str(change) == "linear, a case: 0.50 of the old speed by its own time"


def test_cases_that_one_run_lacks_are_not_compared() -> None:
    old = document(nncore=10.0, torch=30.0)
    assert changes(old, document(case="another", nncore=99.0, torch=30.0)) == []
    assert changes(old, document(torch=30.0)) == []
