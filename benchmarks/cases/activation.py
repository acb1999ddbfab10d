"""Elementwise activations over a million values, forward and backward.

Forward rows write into an array that is there already; a row "as a layer" calls the layer as a user
does, and its output is a new array.
"""

from __future__ import annotations

from benchmarks.case import Case, Input

SIZE = 1 << 20
VALUE = 4  # bytes of a float32
FUNCTIONS = (
    "relu",
    "sigmoid",
    "tanh",
    "leaky_relu",
    "elu",
    "gelu",
    "gelu_tanh",
    "silu",
    "softplus",
    "exp",
    "log",
)
COLD = ("relu", "sigmoid", "tanh")
LAYERS = ("relu", "tanh", "gelu")


def _case(function: str, direction: str, *, cold: bool = False) -> Case:
    x = Input((SIZE,), "magnitude" if function == "log" else "normal", scale=2.0)
    grad = Input((SIZE,))
    backward = direction == "backward"
    return Case(
        family="activation",
        name=f"{function} 1M {'as a layer' if direction == 'layer' else direction}"
        + (" cold" if cold else ""),
        operation=f"activation.{direction}",
        inputs={"x": x, "grad": grad} if backward else {"x": x},
        options={"function": function},
        bytes=float((3 if backward else 2) * SIZE * VALUE),
        bound="bytes",
        tolerance=1e-6,
        cold=cold,
    )


CASES = (
    *(_case(f, direction) for f in FUNCTIONS for direction in ("forward", "backward")),
    *(_case(f, "forward", cold=True) for f in COLD),
    *(_case(f, "layer") for f in LAYERS),
)
