"""`nncore inspect` and `nncore explain` as commands."""

import pytest

from nncore.cli import main


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    file = tmp_path_factory.mktemp("saved") / "digits.npz"
    assert main(["train", "--epochs", "1", "--seed", "0", "--quiet", "--save", str(file)]) == 0
    return file


def test_inspect_writes_a_page(saved, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["inspect", str(saved), "--out", str(tmp_path / "new" / "folder")]) == 0
    page = tmp_path / "new" / "folder" / "report.html"
    assert str(page) in capsys.readouterr().out
    assert page.stat().st_size < 3_000_000
    assert "digits-cnn on digits (digits.npz)" in page.read_text()


def test_inspect_says_what_is_wrong(saved, tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "none.npz")]) == 2
    assert "none.npz" in capsys.readouterr().err
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("")
    assert main(["inspect", str(saved), "--out", str(tmp_path / "file")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_explain_prints_a_step(capsys):
    assert main(["explain", "--x=0.5,-1", "--y", "0"]) == 0
    out = capsys.readouterr().out
    assert "z1[0] = " in out
    assert "new W2[0,1] = " in out
    assert main(["explain", "--sizes", "3,2", "--loss", "cross-entropy", "--y", "1"]) == 0
    assert "softmax" in capsys.readouterr().out


def test_explain_writes_a_page(tmp_path, capsys):
    file = tmp_path / "step.html"
    assert main(["explain", "--html", str(file)]) == 0
    assert str(file) in capsys.readouterr().out
    assert "dC/dW1" in file.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--x", "1"], "--x: expected 2 numbers, got 1"),
        (["--y", "1,2"], "--y: expected 1 numbers, got 2"),
        (["--loss", "cross-entropy", "--y", "1"], "expected a class from 0 to 0"),
    ],
)
def test_explain_says_what_is_wrong(arguments, message, capsys):
    assert main(["explain", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--sizes=2", "--sizes=2,x", "--x=a", "--lr=0"])
def test_explain_refuses_options(option, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["explain", option])
    assert stop.value.code == 2
    assert "expected" in capsys.readouterr().err
