"""Elementwise activations over a million values, forward, and backward from the output."""

from __future__ import annotations

from benchmarks.case import Case, Input

SIZE = 1 << 20
VALUE = 4  # bytes of a float32
FUNCTIONS = ("relu", "sigmoid", "tanh")


def _case(function: str, direction: str, *, cold: bool = False) -> Case:
    x, grad = Input((SIZE,), scale=2.0), Input((SIZE,))
    backward = direction == "backward"
    return Case(
        family="activation",
        name=f"{function} 1M {direction}" + (" cold" if cold else ""),
        operation=f"activation.{direction}",
        inputs={"x": x, "grad": grad} if backward else {"x": x},
        options={"function": function},
        bytes=float((3 if backward else 2) * SIZE * VALUE),
        bound="bytes",
        tolerance=1e-6,
        cold=cold,
    )


CASES = tuple(
    _case(function, direction, cold=cold)
    for function in FUNCTIONS
    for direction, cold in (("forward", False), ("forward", True), ("backward", False))
)
