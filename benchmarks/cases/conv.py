"""Convolution layers of the networks one meets. Work counts every tap, padding included."""

from __future__ import annotations

from benchmarks.case import Case, Input

BATCH = 64
LAYERS = (  # in channels, out channels, kernel, padding, side of the image
    (1, 6, 5, 2, 28),
    (6, 16, 5, 0, 14),
    (1, 12, 5, 0, 28),
    (12, 24, 3, 0, 12),
    (3, 32, 3, 1, 32),
    (32, 32, 3, 1, 32),
    (64, 64, 3, 1, 16),
)
FIRST_LAYER_CHANNELS = 3
"""Layers on images of up to this many channels are first layers: nobody needs their dx."""


def _cases(channels: int, filters: int, kernel: int, padding: int, side: int) -> list[Case]:
    out_side = side + 2 * padding - kernel + 1
    fan_in = channels * kernel * kernel
    x = Input((BATCH, channels, side, side))
    weight = Input((filters, channels, kernel, kernel), scale=fan_in**-0.5)
    bias = Input((filters,))
    grad = Input((BATCH, filters, out_side, out_side))
    name = f"{channels}->{filters} {kernel}x{kernel}" + (f" p{padding}" if padding else "")

    def case(direction: str, tolerance: float, **inputs: Input) -> Case:
        return Case(
            family="conv",
            name=f"{name} {side}x{side} {direction}",
            operation=f"conv.{direction}",
            inputs=inputs,
            options={"padding": padding},
            flops=2.0 * BATCH * out_side * out_side * filters * fan_in,
            tolerance=tolerance,
            scales=1.8 if channels == filters == 32 else 0.97,
        )

    forward = case("forward", 1e-5, x=x, weight=weight, bias=bias)
    data = case("backward data", 1e-5, x=x, weight=weight, grad=grad)
    # A weight's gradient is a sum over every pixel of the batch: up to 65,536 terms.
    weights = case("backward weights", 1e-4, x=x, weight=weight, grad=grad)
    return [forward, weights] if channels <= FIRST_LAYER_CHANNELS else [forward, data, weights]


CASES = tuple(case for layer in LAYERS for case in _cases(*layer))
