"""docs/tutorial.md: its code runs as it stands, its commands exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from nncore.cli.parser import make_parser

TEXT = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()


def test_the_code_runs(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    names, out = {"__name__": "tutorial"}, io.StringIO()
    with contextlib.redirect_stdout(out):
        for found in re.finditer(r"^```python\n(.*?)^```", TEXT, re.M | re.S):
            # On its line of the page, so that a traceback shows where it is.
            line = TEXT[: found.start(1)].count("\n")
            exec(compile("\n" * line + found[1], "tutorial.md", "exec"), names)
    assert {path.name for path in tmp_path.iterdir()} == {"curve.png", "digits.npz", "run.npz"}
    assert "a 1, says the network" in out.getvalue()
    assert "gradcheck of Swish: passed" in out.getvalue()
    assert "gradcheck of Wrong: FAILED" in out.getvalue()


def test_the_commands_are_there():
    parser = make_parser()
    commands = re.findall(r"^nncore (.+)$|`nncore ([^`]+)`", TEXT, re.M)
    assert len(commands) >= 4
    for command in (first or second for first, second in commands):
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
            assert parser.parse_args(command.split()).command == command.split()[0]
            continue
        assert "--help" in command


def test_the_pages_it_names_are_there():
    for page in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (Path(__file__).parents[2] / "docs" / page).is_file()
