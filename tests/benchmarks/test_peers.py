"""nncore and the installed peers, on the small cases: every operation runs and all agree."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from benchmarks import machine
from benchmarks.cases import find
from benchmarks.contestants import DEFAULT_PEERS, chosen, scaling
from benchmarks.measure import Effort, Team, measure

# JAX compiles for seconds, and has no operation of its own that the rest could not check.
PEERS = tuple(peer for peer in DEFAULT_PEERS if peer != "jax" and find_spec(peer))
ONCE = Effort(round_seconds=1e-4, rounds=1, budget_seconds=0.01, least_rounds=1)

CASES = (
    ("linear", "7x33x19 forward"),
    ("linear", "7x33x19 dx"),
    ("linear", "7x33x19 dW+db"),
    ("linear", "7x33x19 forward+backward"),
    ("pool", "64x12x24x24 2x2 s2 forward"),
    ("pool", "64x12x24x24 2x2 s2 backward"),
    ("pool", "64x12x24x24 2x2 s2 forward+backward"),
    ("conv", "6->16 5x5 14x14 forward"),
    ("conv", "6->16 5x5 14x14 backward data"),
    ("conv", "6->16 5x5 14x14 backward weights"),
    ("activation", "relu 1M backward"),
    ("activation", "sigmoid 1M backward"),
    ("activation", "tanh 1M forward"),
    ("activation", "leaky_relu 1M backward"),
    ("activation", "elu 1M backward"),
    ("activation", "gelu 1M backward"),
    ("activation", "gelu_tanh 1M forward"),
    ("activation", "silu 1M backward"),
    ("activation", "softplus 1M backward"),
    ("activation", "exp 1M forward"),
    ("activation", "log 1M backward"),
    ("activation", "gelu 1M as a layer"),
    ("pool", "64x32x28x28 average 3x3 s2 p1 forward"),
    ("pool", "64x32x28x28 average 3x3 s2 p1 backward"),
    ("layers", "Softsign 1M backward"),
    ("layers", "PReLU 1M backward"),
    ("layers", "Softmax 4096x256 backward"),
    ("layers", "BatchNorm2d 64x32x28x28 forward"),
    ("layers", "GroupNorm 64x32x28x28 backward"),
    ("layers", "LayerNorm 4096x256 backward"),
    ("layers", "Resize2d nearest 14x14 64x32x28x28 forward"),
    ("layers", "AvgPool1d 2 64x32x784 forward"),
    ("layers", "Add 1M forward"),
    ("layers", "Dropout 1M backward"),
    ("layers", "Embedding 4096x256 backward"),
    ("optim", "4-64-64-2 SGD momentum"),
    ("optim", "4-64-64-2 Adam"),
    ("step", "notes' CNN SGD b64"),
    ("step", "4-64-64-2 Adam b32"),
    ("step", "4-64-64-2 predict b1"),
    ("build", "4-64-64-2 Adam b32"),
    ("overhead", "4-64-64-2 Adam b1 fit"),
    ("overhead", "4-64-64-2 Adam b1 callback"),
    ("overhead", "4-64-64-2 Adam b1 inspection"),
    ("parallel", "4-64-64-2 Adam b32 steps"),
)


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    with Team(chosen(PEERS), machine.available_cores()[:1]) as team:
        yield team


@pytest.mark.parametrize(("family", "name"), CASES, ids=lambda text: text)
def test_contestants_agree(team: Team, family: str, name: str) -> None:
    result = measure(find(family, name), team, ONCE)
    assert [m.error for m in result.measurements.values() if m.status == "failed"] == []
    measured = [m for m in result.measurements.values() if m.status == "measured"]
    assert "nncore" in {m.contestant.peer for m in measured}
    assert result.agrees, {m.contestant.name: m.disagreement for m in measured}


def test_one_thread_is_the_peer_of_several() -> None:
    twice = scaling(2)
    assert {c.peer for c in twice} == {"nncore", "one thread"}
    assert [(c.name, c.threads) for c in twice[:2]] == [("nncore x2", None), ("nncore x1", 1)]
    assert {c.imports for c in twice} == {"nncore"}


def test_contestants_without_a_part_in_a_family_are_not_started() -> None:
    everybody = {c.name for c in chosen(DEFAULT_PEERS)}
    for_linear = {c.name for c in chosen(DEFAULT_PEERS) if c.takes_part({"linear"})}
    assert everybody - for_linear == {
        "nncore kernel",
        "nncore channels_last",
        "nncore compiled",
        "nncore without",
        "openblas",
        "mkl",
        "torch channels_last",
    }
