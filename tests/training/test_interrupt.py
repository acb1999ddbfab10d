"""Ctrl-C in an epoch gives control back at once, and everything can be used."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("interrupted_run.py")
HANG = 60  # seconds after which a child is given up; what it takes is printed, not asserted


def seconds_until_back(folder, moments):
    """For each moment (seconds into the training) how long a child takes to have control back."""
    found = []
    for number, moment in enumerate(moments):
        child = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(folder / f"{number}.npz")],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert child.stdout.readline() == "begin\n"
            time.sleep(moment)
            sent = time.monotonic()
            child.send_signal(signal.SIGINT)
            back = child.communicate(timeout=HANG)[0]
        finally:
            child.kill()
            child.wait()
        assert child.returncode == 0, f"sent after {moment:.3f} s"
        found.append(float(back) - sent)
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a child there")
def test_a_run_is_interrupted_and_goes_on(tmp_path):
    assert max(seconds_until_back(tmp_path, [0.02, 0.3])) < HANG


@pytest.mark.slow
def test_twenty_moments(tmp_path):
    draw = random.Random(3)
    found = seconds_until_back(tmp_path, [draw.uniform(0.01, 1.5) for _ in range(20)])
    print(f"Ctrl-C in fit: control is back after {max(found):.3f} s at worst of {len(found)}")
