"""Layers over about a million elements, forward and backward, each with what it has to reach.

What is bound by memory has to move its necessary passes, named in the row, at 60 % of the copy
bandwidth of the same run. Activations with a transcendental function may take 1.3 times the kernel
that they are made of. Nothing may be slower than the best peer.
"""

from __future__ import annotations

from math import prod
from typing import Any

from benchmarks.case import Case, Input, Must

VALUE = 4  # bytes of a float32
FLAT = (1 << 20,)
ROWS = (4096, 256)
IMAGES = (64, 32, 28, 28)
LINES = (64, 32, 784)
BANDWIDTH = Must(roof_share=0.6)
KERNEL = Must(roof_share=1 / 1.3)
PEER = Must()

FORWARD, BACKWARD = ("x", "y"), ("x or y", "dy", "dx")


def _case(
    layer: str,
    direction: str,
    shape: tuple[int, ...],
    *,
    passes: tuple[str, ...] | None = None,
    moved: float | None = None,
    must: Must = BANDWIDTH,
    y_shape: tuple[int, ...] | None = None,
    weights: tuple[int, ...] | None = None,
    bias: bool = True,
    note: str = "",
    inputs: dict[str, Input] | None = None,
    **options: Any,
) -> Case:
    """``moved`` counts elements; without it each of the passes is as long as x."""
    passes = passes or (FORWARD if direction == "forward" else BACKWARD)
    given = {"x": Input(shape, scale=2.0)} | (inputs or {})
    if direction == "backward":
        given["grad"] = Input(y_shape or shape)
    if weights is not None:
        given["weight"] = Input(weights)
        if bias:
            given["bias"] = Input(weights)
    size = "x".join(map(str, shape)) if len(shape) > 1 else "1M"
    return Case(
        family="layers",
        name=f"{layer}{note and ' ' + note} {size} {direction}",
        operation=f"layer.{direction}",
        inputs=given,
        options={"layer": layer, "arguments": {}} | options,
        bytes=float(VALUE * (moved or len(passes) * prod(shape))),
        bound="kernel" if must is KERNEL else "bytes",
        passes=", ".join(passes),
        tolerance=2e-5,
        must=must,
    )


def _both(layer: str, shape: tuple[int, ...] = FLAT, **given: Any) -> list[Case]:
    return [_case(layer, direction, shape, **given) for direction in ("forward", "backward")]


# The kernel that an activation is made of.
TRANSCENDENTAL = {
    "ELU": "elu",
    "SELU": "elu",
    "CELU": "elu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Softplus": "softplus",
    "Sigmoid": "sigmoid",
    "LogSigmoid": "softplus",
    "Tanh": "tanh",
}
PLAIN = ("ReLU", "LeakyReLU", "Hardtanh", "ReLU6", "Hardswish", "Hardsigmoid", "Softsign")


def _activations() -> list[Case]:
    cases = [case for name in PLAIN for case in _both(name)]
    cases += _both("PReLU", weights=(1,), bias=False)
    for name, kernel in TRANSCENDENTAL.items():
        cases += _both(name, must=KERNEL, kernel=kernel)
    cases += _both(
        "GELU", must=KERNEL, kernel="gelu_tanh", note="tanh", arguments={"approximate": "tanh"}
    )
    cases += _both("Mish", must=PEER)
    for name in ("Softmax", "LogSoftmax"):
        cases += _both(name, ROWS, must=PEER, arguments={"dim": -1})
    return cases


def _norms() -> list[Case]:
    """A batch is too large for the cache between its two readings; a row or a sample is not."""
    images = {"weights": IMAGES[1:2], "arguments": {"num_features": IMAGES[1]}}
    rows = {"weights": ROWS[1:], "arguments": {"normalized_shape": ROWS[1]}}
    groups = {"weights": IMAGES[1:2], "arguments": {"num_groups": 8, "num_channels": IMAGES[1]}}
    again = ("x", "dy", "x", "dy", "dx")
    return [
        _case("BatchNorm2d", "forward", IMAGES, passes=("x", "x", "y"), **images),
        _case("BatchNorm2d", "forward", IMAGES, note="eval", training=False, **images),
        _case("BatchNorm2d", "backward", IMAGES, passes=again, **images),
        *(_case("GroupNorm", d, IMAGES, **groups) for d in ("forward", "backward")),
        *(_case("LayerNorm", d, ROWS, **rows) for d in ("forward", "backward")),
        *(_case("RMSNorm", d, ROWS, bias=False, **rows) for d in ("forward", "backward")),
    ]


def _resampled(layer: str, y_shape: tuple[int, ...], arguments: dict[str, Any], **given: Any):
    """Pooling and resizing: x and y, or dy and dx, each once."""
    shape = given.pop("shape", IMAGES)
    moved = prod(shape) + prod(y_shape)
    for direction, passes in (("forward", ("x", "y")), ("backward", ("dy", "dx"))):
        yield _case(
            layer,
            direction,
            shape,
            passes=passes,
            moved=moved,
            y_shape=y_shape,
            arguments=arguments,
            **given,
        )


def _images() -> list[Case]:
    n, c, h, w = IMAGES
    half = (n, c, h // 2, w // 2)
    return [
        *_resampled("AvgPool2d", half, {"kernel_size": 2}, note="2x2"),
        *_resampled("GlobalAvgPool2d", (n, c, 1, 1), {}, must=PEER),
        *_resampled("AdaptiveAvgPool2d", (n, c, 5, 5), {"output_size": 5}, must=PEER, note="5x5"),
        *_resampled("AdaptiveMaxPool2d", (n, c, 5, 5), {"output_size": 5}, must=PEER, note="5x5"),
        *_resampled("MaxPool1d", (n, c, 392), {"kernel_size": 2}, must=PEER, shape=LINES, note="2"),
        *_resampled("AvgPool1d", (n, c, 392), {"kernel_size": 2}, must=PEER, shape=LINES, note="2"),
        *_resampled("Resize2d", half, {"size": (h // 2, w // 2)}, must=PEER, note="nearest 14x14"),
        *_resampled(
            "Resize2d",
            (n, c, 56, 56),
            {"size": (56, 56), "mode": "bilinear"},
            must=PEER,
            note="bilinear 56x56",
        ),
    ]


def _others() -> list[Case]:
    entries, width = 1000, 256
    indices = {"x": Input(ROWS[:1], "labels", classes=entries)}
    table = {"weights": (entries, width), "bias": False, "must": PEER, "inputs": indices}
    arguments = {"num_embeddings": entries, "embedding_dim": width}
    count = ROWS[0] * width
    return [
        _case("Add", "forward", FLAT, passes=("x", "other", "y"), inputs={"other": Input(FLAT)}),
        *(
            _case("Dropout", d, FLAT, passes=p, must=PEER, arguments={"p": 0.5})
            for d, p in (("forward", FORWARD), ("backward", ("dy", "dx")))
        ),
        _case("Embedding", "forward", ROWS, moved=2 * count, arguments=arguments, **table),
        _case(
            "Embedding",
            "backward",
            ROWS,
            passes=("dy", "dweight"),
            moved=count + entries * width,
            arguments=arguments,
            **table,
        ),
    ]


CASES = (*_activations(), *_norms(), *_images(), *_others())
