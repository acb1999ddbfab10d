"""A contestant that multiplies as the case asks, or misbehaves as its variant says.

Python's own floats are enough here; what a fake does to the harness is what is under test.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.case import Arrays
from benchmarks.contestants.contestant import Operations, Runner

SLOW = 0.02  # seconds of the slow variant's repetition


def open_contestant(variant: str, threads: int) -> Operations:
    if variant == "missing":
        raise ImportError("no package of that name")
    if variant == "broken":
        raise RuntimeError("does not open")
    makers = {"linear.forward": lambda _, arrays: _linear(variant, arrays)}
    makers |= {"activation.forward": lambda _, arrays: _relu(arrays)}
    makers |= {"mnist.fit": lambda _, arrays: _part_by_part(variant, arrays)}
    place = f"{threads} {machine.available_cores()} {os.environ['OPENBLAS_NUM_THREADS']}"
    return Operations(place, makers)


def _linear(variant: str, arrays: Arrays) -> Runner:
    x, weight, bias = arrays["x"], arrays["weight"], arrays["bias"]

    def right() -> np.ndarray:
        return x @ weight.T + bias

    misbehaviours: dict[str, Callable[[], object]] = {
        "raises": _raise,
        "dies": lambda: os.kill(os.getpid(), 9),
        "leaves": lambda: os._exit(3),
        "hangs": lambda: time.sleep(60),
        "slow": lambda: time.sleep(SLOW),
        "chatty": lambda: print("a library's own message", flush=True),
    }
    if variant == "dies in a round":
        return Runner(_dies_at_second_look(), lambda: {"y": right()})
    results = {"wrong": lambda: right() * 1.03, "nan": lambda: right() * np.nan}
    result = results.get(variant, right)
    return Runner(misbehaviours.get(variant, right), lambda: {"y": result()}, _note("reset"))


def _relu(arrays: Arrays) -> Runner:
    def run() -> None:
        _note(f"copy {id(arrays)}")()

    return Runner(run, lambda: {"y": np.maximum(arrays["x"], 0)})


def _part_by_part(variant: str, arrays: Arrays) -> Runner:
    """Comes to 0.9 after three parts, in which it must not be put back."""
    parts: list[int] = []

    def run() -> None:
        parts.append(len(arrays["x"]))
        _note("part")()

    end = 0.8 if variant == "wrong" else 0.9
    accuracy = lambda: {"accuracy": np.array(end if len(parts) == 3 else 0.0)}  # noqa: E731
    return Runner(run, accuracy, _note("reset"), times=2)


def _raise() -> None:
    raise ArithmeticError("this case\nis too much")


def _dies_at_second_look() -> Callable[[], None]:
    """Alive in `prepare`, dead when timed."""
    looks = iter(range(1000))

    def run() -> None:
        if next(looks):
            sys.stdout.flush()
            os._exit(3)

    return run


def _note(what: str) -> Callable[[], None]:
    """Append a line to the file of notes, if the test gave one."""
    file = os.environ.get("FAKE_NOTES")

    def note() -> None:
        if file:
            with Path(file).open("a") as notes:
                notes.write(what + "\n")

    return note
