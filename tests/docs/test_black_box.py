"""docs/black-box.md: its lines run and draw what they say, and what it quotes is printed."""

import re
from pathlib import Path

import numpy as np
import pytest

from nncore.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "black-box.md"
PICTURES = PAGE.parent / "pictures"


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.S)


def test_every_picture_appears(tmp_path, monkeypatch, capsys):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    code = blocks("python")
    names: dict = {}
    try:
        for block in code:
            exec(compile(block, str(PAGE), "exec"), names)
    finally:
        plt.close("all")
    expected = set(re.findall(r'savefig\("([\w.-]+)"', "".join(code)))
    assert len(expected) == 14
    assert {file.name for file in tmp_path.iterdir()} == expected
    for file in tmp_path.iterdir():
        assert plt.imread(file)[..., :3].std() > 0.02, f"{file.name} is blank"
    shown = set(re.findall(r"\(pictures/([\w.-]+)\)", PAGE.read_text()))
    assert shown <= expected | {"transfer.png"}
    assert (names["answers"] == names["y_test"]).mean() > 0.9
    assert names["whole"].evaluate(names["x_test"], names["y_test"] % 2).accuracy > 0.9


def test_the_pictures_that_are_there_are_small():
    shown = set(re.findall(r"\(pictures/([\w.-]+)\)", PAGE.read_text()))
    files = list(PICTURES.glob("*.png"))
    assert {file.name for file in files} == shown
    assert max(file.stat().st_size for file in files) < 40_000
    assert sum(file.stat().st_size for file in files) < 150_000


def test_the_quoted_step_is_what_is_printed(capsys):
    (command,) = (
        line for block in blocks("sh") for line in block.splitlines() if "explain" in line
    )
    assert main(command.split()[1:]) == 0
    printed = [rounded(line) for line in capsys.readouterr().out.splitlines()]
    quoted = next(block for block in blocks("text") if "z1[0]" in block).splitlines()
    assert len(quoted) == 5
    for line in quoted:
        assert rounded(line) in printed


def rounded(line):
    """Numbers to four digits: the last ones differ from one instruction set to the next."""
    return re.sub(r"\d+\.\d+", lambda found: f"{np.float64(found[0]):.4g}", line)
