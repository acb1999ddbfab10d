"""A run that is killed at any moment and resumed ends with the bits of the one that was not."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nncore.io.checkpoint import read_checkpoint

PROGRAM = Path(__file__).with_name("killed_run.py")


def start(data, checkpoint, result, threads):
    child = subprocess.Popen(
        [sys.executable, str(PROGRAM), data, str(checkpoint), str(result), str(threads)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "begin\n"
    return child


def finish(child):
    assert child.wait(timeout=300) == 0
    child.stdout.close()


def wait_for(path, seconds):
    """Until the file is there, or a run must have ended."""
    end = time.perf_counter() + 10 * seconds
    while not path.exists() and time.perf_counter() < end:
        time.sleep(0.0005)


def result_of(path):
    with np.load(path) as opened:
        return {name: opened[name].tobytes() for name in opened}


def kill_and_resume(data, folder, kills, seed):
    """So many runs, each killed once at a random moment; the moments at which they were."""
    child = start(data, folder / "whole.npz", folder / "whole-result.npz", 2)
    began = time.perf_counter()
    finish(child)
    duration = time.perf_counter() - began
    expected = result_of(folder / "whole-result.npz")
    moments, draw = [], random.Random(seed)
    for number in range(kills):
        checkpoint, result = folder / f"{number}.safetensors", folder / f"{number}-result.npz"
        child = start(data, checkpoint, result, 1 + number % 2)
        if number == 0:  # at least one is surely resumed, however short the run is
            wait_for(checkpoint, duration)
        else:
            time.sleep(draw.uniform(0, 0.8 * duration))
        child.kill()
        child.wait()
        child.stdout.close()
        if not result.exists() and checkpoint.exists():
            tree, _ = read_checkpoint(checkpoint)
            done, position = len(tree["history"].get("loss", [])), tree["position"]
            moments.append((done, 0 if position is None else position["tally"]["batches"]))
        finish(start(data, checkpoint, result, 1 + (number + 1) % 2))
        assert result_of(result) == expected, f"run {number}, resumed at {moments[-1:]}"
    return moments


def test_three_kills(tmp_path):
    pytest.importorskip("safetensors")
    assert len(kill_and_resume("digits", tmp_path, 3, seed=1)) >= 1


@pytest.mark.slow
def test_twenty_kills_on_mnist(tmp_path):
    pytest.importorskip("safetensors")
    moments = kill_and_resume("mnist", tmp_path, 20, seed=2)
    print(f"20 of 20 equal, resumed at (epochs, batches) {moments}")
    assert len(moments) >= 10
    assert any(batches for _, batches in moments)
