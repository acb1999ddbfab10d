"""Pooling. The least traffic counts values and, of max pooling, a one-byte index, moved once."""

from __future__ import annotations

from benchmarks.case import Case, Input, Must

VALUE = 4  # bytes of a float32
LARGE = 6e6  # bytes of input in cache from which a second thread has to pay
PASSES = {"forward": "x, y, index", "backward": "dy, index, dx"}
INDEX = 1  # bytes that are enough to name a winner within its window


def _cases(shape: tuple[int, int, int, int], kernel: int, stride: int, padding: int) -> list[Case]:
    n, c, h, w = shape
    out_h = (h + 2 * padding - kernel) // stride + 1
    out_w = (w + 2 * padding - kernel) // stride + 1
    inputs, outputs = n * c * h * w, n * c * out_h * out_w
    forward = inputs * VALUE + outputs * (VALUE + INDEX)
    backward = outputs * (VALUE + INDEX) + inputs * VALUE
    name = f"{n}x{c}x{h}x{w} {kernel}x{kernel} s{stride}" + (f" p{padding}" if padding else "")
    x, grad = Input(shape), Input((n, c, out_h, out_w))
    options = {"kernel_size": kernel, "stride": stride, "padding": padding}

    def case(direction: str, moved: float, *, grad_needed: bool, cold: bool = False) -> Case:
        return Case(
            family="pool",
            name=f"{name} {direction}" + (" cold" if cold else ""),
            operation=f"pool.{direction}",
            inputs={"x": x, "grad": grad} if grad_needed else {"x": x},
            options=options,
            bytes=moved,
            bound="bytes",
            tolerance=1e-6,
            cold=cold,
            passes=PASSES.get(direction, ""),
            must=Must(roof_share=0.6) if kernel == 2 and "+" not in direction else None,
            scales=1.8 if inputs * VALUE > LARGE and not cold else 0.97,
        )

    return [
        case("forward", forward, grad_needed=False),
        case("backward", backward, grad_needed=True),
        case("forward+backward", forward + backward, grad_needed=True),
        case("forward+backward", forward + backward, grad_needed=True, cold=True),
    ]


def _averages(
    shape: tuple[int, int, int, int], kernel: int, stride: int, padding: int
) -> list[Case]:
    n, c, h, w = shape
    out_h = (h + 2 * padding - kernel) // stride + 1
    out_w = (w + 2 * padding - kernel) // stride + 1
    kind = "global" if kernel == h == w else f"{kernel}x{kernel} s{stride}"
    name = f"{n}x{c}x{h}x{w} average {kind}" + (f" p{padding}" if padding else "")
    x, grad = Input(shape), Input((n, c, out_h, out_w))
    moved = float(n * c * (h * w + out_h * out_w) * VALUE)
    options = {"kernel_size": kernel, "stride": stride, "padding": padding}
    return [
        Case(
            family="pool",
            name=f"{name} {direction}",
            operation=f"average.{direction}",
            inputs={"x": x} if direction == "forward" else {"x": x, "grad": grad},
            options=options,
            bytes=moved,
            bound="bytes",
            tolerance=1e-5,
        )
        for direction in ("forward", "backward")
    ]


CASES = (
    *_cases((64, 12, 24, 24), 2, 2, 0),
    *_cases((64, 32, 28, 28), 2, 2, 0),
    *_cases((64, 32, 28, 28), 3, 2, 1),
    *_averages((64, 32, 28, 28), 2, 2, 0),
    *_averages((64, 32, 28, 28), 3, 2, 1),
    *_averages((64, 64, 14, 14), 14, 14, 0),
)
