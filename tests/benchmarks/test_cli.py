"""The command line, with fakes where the contestants would be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import cli
from benchmarks.contestants.contestant import Contestant

ONE_CASE = ["linear", "--only", "7x33x19 forward", "--quick"]


@pytest.fixture
def contestants(monkeypatch: pytest.MonkeyPatch):
    """``contestants(...)`` makes these the ones that the command line knows."""

    def use(*chosen: Contestant) -> None:
        monkeypatch.setattr(cli, "chosen", lambda peers: chosen)

    return use


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = cli.main([*arguments])
    return status, capsys.readouterr().out


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as leaving:
        cli.main([*arguments])
    assert leaving.value.code == 2
    return capsys.readouterr().err


def test_list(capsys) -> None:
    status, out = run(capsys, "pool", "--only", "3x3", "--list")
    assert status == 0
    assert out.splitlines()[0] == "pool         64x32x28x28 3x3 s2 p1 forward"
    assert all("3x3" in line for line in out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pools"], "no family 'pools'; there are pool, linear,"),
        (["--peers", "tensorflow"], "no peer 'tensorflow'; there are numpy, torch, jax"),
        (["--threads", "0"], "--threads 0: this process may use 1 to "),
        (["--scaling"], "--scaling compares --threads 2 or more with one"),
        (["--runs", "0"], "--runs 0: one at least"),
        (["--threads", "4096"], "--threads 4096: this process may use 1 to "),
        (["--only", "nothing"], "no case's name contains 'nothing'"),
        (["--compare", "absent.json"], "--compare absent.json: no such file"),
        (["--json", "absent/out.json"], "--json absent/out.json: its folder does not exist"),
    ],
)
def test_mistakes_are_named(capsys, arguments: list[str], message: str) -> None:
    assert message in refuse(capsys, *arguments)


def test_a_run_prints_tables_and_writes_json(capsys, contestants, fake, tmp_path: Path) -> None:
    contestants(fake("right"), fake("right", "torch"))
    status, out = run(capsys, *ONE_CASE, "--json", str(tmp_path / "new.json"))
    assert status == 0
    assert "| linear, us " in out
    assert "| linear, first call, ms " in out
    assert "| contestant " in out
    document = json.loads((tmp_path / "new.json").read_text())
    assert document["schema"] == cli.SCHEMA
    assert {"cpu", "cores", "python"} <= document["machine"].keys()
    assert (document["threads"], len(document["pinned_to"])) == (1, 1)
    assert document["contestants"]["nncore right"]["version"].startswith("1 ")
    cases = {entry["case"]: entry for entry in document["cases"]}
    assert set(cases) == {"7x33x19 forward", "7x33x19 forward+backward"}
    entry = cases["7x33x19 forward"]
    assert entry["best_peer"] == "torch right"
    assert entry["ratio"] > 0
    assert entry["contestants"]["nncore right"]["median_us"] > 0


def test_of_several_runs_the_medians_are_printed_once(
    capsys, contestants, fake, tmp_path: Path
) -> None:
    contestants(fake("right"), fake("right", "torch"))
    status, out = run(capsys, *ONE_CASE, "--runs", "3", "--json", str(tmp_path / "new.json"))
    assert status == 0
    assert out.count("| 7x33x19 forward ") == 2  # its times, its first call
    document = json.loads((tmp_path / "new.json").read_text())
    assert document["runs"] == 3
    measured = document["cases"][0]["contestants"].values()
    assert [m["rounds"] for m in measured] == [3, 3]


def test_several_parts_of_names_choose_cases(capsys) -> None:
    _, out = run(capsys, "linear", "--only", "7x33x19 dx,64x64 dW", "--list")
    assert [line.split(maxsplit=1)[1] for line in out.splitlines()] == [
        "32x64x64 dW+db",
        "7x33x19 dx",
    ]


def test_a_disagreement_is_printed_and_is_a_failure(capsys, contestants, fake) -> None:
    contestants(fake("right"), fake("wrong", "torch"))
    status, out = run(capsys, *ONE_CASE)
    assert status == 1
    assert "disagrees: 3e-02" in out


def test_a_failed_contestant_is_named_and_is_a_failure(capsys, contestants, fake) -> None:
    contestants(fake("right"), fake("dies", "torch"))
    status, out = run(capsys, *ONE_CASE)
    assert status == 1
    line = "linear, 7x33x19 forward: torch dies failed in prepare: worker died of signal 9"
    assert line in out.splitlines()


def test_missing_peers_take_one_line_and_are_no_failure(capsys, contestants, fake) -> None:
    contestants(fake("right"), fake("missing", "torch"))
    status, out = run(capsys, *ONE_CASE)
    assert status == 0
    assert out.splitlines()[0] == "torch: left out (ImportError: no package of that name)"


def test_without_nncore_the_peers_are_measured_but_the_run_fails(capsys, contestants, fake) -> None:
    contestants(fake("missing"), fake("right", "torch"))
    status, out = run(capsys, *ONE_CASE)
    assert status == 1
    assert out.splitlines()[0] == "nncore: not built (ImportError: no package of that name)"
    assert "torch right" in out


def test_compare_flags_a_fall(capsys, contestants, fake, tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    contestants(fake("right"))
    run(capsys, *ONE_CASE, "--json", str(file))
    old = json.loads(file.read_text())
    entry = old["cases"][0]["contestants"]["nncore right"]
    for median, fell in ((1e9, False), (1e-9, True)):
        entry["median_us"] = median
        file.write_text(json.dumps(old))
        status, out = run(capsys, *ONE_CASE, "--compare", str(file))
        assert status == int(fell)
        assert ("of the old speed by its own time" in out) is fell


def test_the_worker_loads_no_numpy_before_it_times_the_import() -> None:
    ask = "import sys, benchmarks.worker; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_progress_goes_to_standard_error(capsys, contestants, fake) -> None:
    contestants(fake("right"))
    cli.main(ONE_CASE)
    captured = capsys.readouterr()
    assert "linear 1/2: 7x33x19 forward" in captured.err
    assert "1/2" not in captured.out
