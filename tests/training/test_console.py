"""What `fit` prints: rows that align, a bar on a terminal only, nothing when asked to be silent."""

import io
import re
import time
from contextlib import redirect_stdout

import pytest
from small_models import Double, make_model, make_trainer

from nncore.training import console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal for the standard output; every batch is worth drawing."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(console, "_SECONDS_BETWEEN_DRAWINGS", 0.0)
    return Terminal()


def test_rows_through_a_pipe(classes, capsys):
    make_trainer().fit(*classes, epochs=12, validation_data=classes)
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.split("\n")
    assert lines.pop() == ""
    assert len(lines) == 13
    assert {len(line) for line in lines} == {len(lines[0])}
    assert lines[0].split() == [
        "epoch",
        "loss",
        "accuracy",
        "val",
        "loss",
        "val",
        "accuracy",
        "time",
        "samples/s",
    ]
    row = r" +NUMBER/12 +\d\.\d{4} +\d+\.\d\d % +\d\.\d{4} +\d+\.\d\d % +\d\.\d\d s +[\d,]+"
    for number, line in enumerate(lines[1:], 1):
        assert re.fullmatch(row.replace("NUMBER", str(number)), line)


def test_no_columns_for_what_is_not_measured(classes, capsys):
    make_trainer().fit(*classes)
    assert capsys.readouterr().out.split("\n")[0].split() == [
        "epoch",
        "loss",
        "accuracy",
        "time",
        "samples/s",
    ]


@pytest.mark.parametrize("extra", [(), (Double(),)], ids=["compiled", "eager"])
def test_silence(classes, capfd, extra):
    make_trainer(make_model(*extra)).fit(*classes, epochs=2, validation_data=classes, verbose=0)
    assert capfd.readouterr() == ("", "")


def test_no_control_characters_without_a_terminal(classes, capsys, monkeypatch):
    monkeypatch.setattr(console, "_SECONDS_BETWEEN_DRAWINGS", 0.0)
    make_trainer().fit(*classes, epochs=2)
    assert re.fullmatch(r"[ -~\n]+", capsys.readouterr().out)


def test_a_bar_on_a_terminal(classes, terminal):
    with redirect_stdout(terminal):
        make_trainer().fit(*classes, epochs=2, batch_size=10)
    text = terminal.getvalue()
    bars = re.findall(r"\r( +\d/2)  \[([= ]{24})\] (\d)/5  loss (\d\.\d{4})\x1b\[K", text)
    assert [bar[2] for bar in bars] == ["1", "2", "3", "4", "5"] * 2
    assert [bar[1].count("=") for bar in bars[:5]] == [4, 9, 14, 19, 24]
    # Each is taken back before the row: what stays on the screen is what a pipe gets.
    stays = [re.sub(r".*\r\x1b\[K", "", line) for line in text.split("\n")]
    assert len(stays) == 4
    assert not any("\r" in line or "[" in line for line in stays)


def test_rows_only(classes, terminal):
    with redirect_stdout(terminal):
        make_trainer().fit(*classes, epochs=2, verbose=2)
    assert re.fullmatch(r"[ -~\n]+", terminal.getvalue())


def test_a_dumb_terminal_has_no_bar(classes, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with redirect_stdout(terminal):
        make_trainer().fit(*classes)
    assert re.fullmatch(r"[ -~\n]+", terminal.getvalue())


def test_the_bar_fits_a_narrow_terminal(classes, terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    with redirect_stdout(terminal):
        make_trainer().fit(*classes, batch_size=10)
    drawn = re.findall(r"\r([^\r\x1b\n]+)\x1b\[K", terminal.getvalue())
    assert drawn
    assert max(map(len, drawn)) == 19


def test_a_quick_epoch_draws_no_bar(terminal, monkeypatch):
    monkeypatch.setattr(console, "_SECONDS_BETWEEN_DRAWINGS", 0.1)
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    with redirect_stdout(terminal):
        shown = console.Console(1)
    shown.start_bar()
    for batch in range(1, 10):
        now[0] += 0.01
        shown.bar(1, 1, batch, 40, 0.5)
    assert terminal.getvalue() == ""
    for batch in range(10, 41):
        now[0] += 0.01
        shown.bar(1, 1, batch, 40, 0.5)
    assert terminal.getvalue().count("\r") == 4


def test_the_bar_is_taken_back_after_an_interrupt(classes, terminal, monkeypatch):
    trainer = make_trainer(make_model(Double()))

    class Interrupting:
        batches = 0

        def step(self):
            Interrupting.batches += 1
            if self.batches == 3:
                raise KeyboardInterrupt

    trainer.optimizer = Interrupting()
    with redirect_stdout(terminal), pytest.raises(KeyboardInterrupt):
        trainer.fit(*classes, batch_size=10)
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_says_once_that_it_runs_eagerly(classes, capsys):
    make_trainer(make_model(Double())).fit(*classes, epochs=2, validation_data=classes)
    lines = capsys.readouterr().out.split("\n")
    assert lines[0].startswith("Trainer.fit: runs layer by layer, not compiled: Double")
    assert lines[1].split()[0] == "epoch"
    assert len(lines) == 5


def test_hooks_make_it_run_eagerly_and_are_called(classes, capsys):
    model, calls = make_model(), []
    with model[1].register_forward_hook(lambda module, x, y: calls.append(len(y))):
        make_trainer(model).fit(*classes, batch_size=20)
        out = capsys.readouterr().out
        assert out.startswith("Trainer.fit: runs layer by layer, not compiled: ReLU (1) has hooks")
    assert calls[-3:] == [20, 20, 10]
    make_trainer(model).fit(*classes)
    assert "layer by layer" not in capsys.readouterr().out


def test_says_nothing_when_asked_to_run_eagerly(classes, capsys):
    make_trainer(make_model(Double())).fit(*classes, compiled=False)
    assert capsys.readouterr().out.split()[0] == "epoch"


def test_going_on_counts_on(classes, capsys):
    trainer = make_trainer()
    trainer.fit(*classes, epochs=2)
    capsys.readouterr()
    trainer.fit(*classes, epochs=2)
    lines = capsys.readouterr().out.split("\n")
    assert [line.split()[0] for line in lines[:3]] == ["epoch", "3/4", "4/4"]


def test_a_program_without_a_console(classes):
    with redirect_stdout(None):
        make_trainer().fit(*classes)


def test_a_closed_console_is_no_terminal():
    stream = io.StringIO()
    stream.close()
    with redirect_stdout(stream):
        assert console.Console(1).has_bar is False
