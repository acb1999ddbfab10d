"""`python -m nncore` as a program of its own: pipes, terminals, signals, exit codes."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

GUARD = 120  # seconds: against a hang, never a measurement


def test_quiet_through_a_pipe(program):
    process = program("train", "--epochs", "1", "--quiet", "--save", "digits.npz")
    out, err = process.communicate(timeout=GUARD)
    assert (process.returncode, err) == (0, "")
    assert re.fullmatch(r"test accuracy \d+\.\d\d % after 1 epoch in \d+\.\d\d s\n", out)
    process = program("eval", "digits.npz")
    out, err = process.communicate(timeout=GUARD)
    assert (process.returncode, err) == (0, "")
    assert "network digits-cnn, data digits" in out


def test_rows_through_a_pipe(program):
    process = program("train", "--epochs", "2", "--seed", "0")
    out, err = process.communicate(timeout=GUARD)
    assert (process.returncode, err) == (0, "")
    assert re.fullmatch(r"[ -~\n]+", out)
    assert re.search(r"^ +2/2 ", out, re.M)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--epochs", "many"], "expected a positive integer"),
        (["train", "--save", "missing/w.npz"], "does not exist"),
        (["eval", "missing.npz"], "missing.npz: no such file or directory"),
        ([], "required: COMMAND"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(program, arguments, message):
    process = program(*arguments)
    out, err = process.communicate(timeout=GUARD)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_ctrl_c(program, tmp_path):
    process = program("train", "--epochs", "99999", "--save", "w.npz")
    guard = threading.Timer(GUARD, process.kill)
    guard.start()
    for line in process.stdout:
        if re.match(r" *1/99999 ", line):
            break
    guard.cancel()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=GUARD)
    assert process.returncode == 130
    assert re.fullmatch(
        r"nncore train: interrupted: \d+ of 99999 epochs were done, nothing was saved\n", err
    )
    assert os.listdir(tmp_path) == []


def test_a_reader_that_has_had_enough(program):
    process = program("train", "--epochs", "99999")
    assert process.stdout.readline().startswith("data digits")
    process.stdout.close()
    assert process.wait(timeout=GUARD) == 1
    assert process.stderr.read() == ""


def test_a_terminal_has_a_bar(environment, tmp_path):
    ours, theirs = pty.openpty()
    code = (
        "import sys; from nncore.training import console; from nncore.cli import main;"
        "console._SECONDS_BETWEEN_DRAWINGS = 0.0;"  # an epoch may be over in less
        "sys.exit(main(['train', '--epochs', '1', '--seed', '0']))"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    text, end = b"", time.monotonic() + GUARD
    try:
        while time.monotonic() < end:
            if select.select([ours], [], [], 1)[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # the other end is closed
                    break
                text += piece
        assert process.wait(timeout=GUARD) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert re.search(rb"\r +1/1  \[=+ *\] \d+/\d+  loss \d\.\d{4}\x1b\[K", text)
    assert re.search(rb"\r\x1b\[K +epoch +loss", text)
    assert b"test accuracy" in text
