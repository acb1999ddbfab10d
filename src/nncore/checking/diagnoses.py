"""From what is wrong to why: known faults, computed and compared with what the student has.

The list begins with the faults of the NumPy framework behind the lecture notes: a bias in the
place of its gradient, a winner mask that is never cleared, the winner's place by the stride instead
of the kernel, one row of an integral image for all, weight decay without the learning rate, a batch
size frozen at construction, Dropout that scales one way only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nncore.nn.arrays import Array


@dataclass
class Finding:
    """One quantity of the student's beside what it should be, and all that it was computed from."""

    place: str
    what: str
    expected: Any = None
    got: Any = None
    error: Exception | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, place: str, what: str, expected: Array, call: Callable[[], Any], **extra: Any
    ) -> Finding:
        try:
            return cls(place, what, np.array(expected, np.float64), call(), None, extra)
        except Exception as error:  # the student's own
            return cls(place, what, np.array(expected, np.float64), None, error, extra)

    def wrong(self, rtol: float, atol: float) -> bool:
        if self.error is not None or np.shape(self.got) != np.shape(self.expected):
            return True
        self._bad = ~np.isclose(self.got, self.expected, rtol=rtol, atol=atol, equal_nan=True)
        return bool(self._bad.any())

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.what}: it raises {type(self.error).__name__}: {self.error}"
        if np.shape(self.got) != np.shape(self.expected):
            got = "nothing" if self.got is None else f"shape {np.shape(self.got)}"
            return f"{self.what} has {got}, expected shape {np.shape(self.expected)}"
        at = tuple(int(i) for i in np.argwhere(self._bad)[0])
        index = f"[{', '.join(map(str, at))}]" if at else ""
        return (
            f"{self.what}{index} is {float(self.got[at]):.9g}, expected"
            f" {float(self.expected[at]):.9g} ({int(self._bad.sum())} of {self._bad.size} elements"
            " differ)"
        )

    @property
    def parts(self) -> tuple[Any, Any, Any]:
        """The layer, the input and the gradient from above; None where there is none."""
        return self.extra.get("like"), self.extra.get("x"), self.extra.get("grad")

    def equals(self, guess: Any) -> bool:
        """Whether the student has what a known fault would give."""
        return (
            self.got is not None
            and np.shape(guess) == np.shape(self.got)
            and bool(np.allclose(self.got, guess, rtol=1e-5, atol=1e-7, equal_nan=True))
        )


def cause(finding: Finding) -> str | None:
    """The first known fault that gives just what the student has."""
    return next(_causes(finding), None)


def _causes(f: Finding) -> Iterator[str]:
    if "smaller batch" in f.place:
        yield "the batch size is frozen when the layer is built or first called"
    if f.error is not None or f.got is None:
        return
    if np.shape(f.got) != np.shape(f.expected):
        if np.shape(f.got) == np.shape(f.expected)[::-1]:
            yield "the result is transposed"
        return
    if "param" in f.extra:
        yield from _update(f)
    elif f.extra.get("dropout"):
        yield from _dropout(f)
    else:
        yield from _pooling(f)
        yield from _gradients(f)
        yield from _kept(f)
        yield from _anywhere(f)


def _update(f: Finding) -> Iterator[str]:
    param, grad = f.extra["param"], f.extra["grad"]
    lr, decay = f.extra["lr"], f.extra["decay"]
    if f.equals(param - lr * param):
        yield "the parameter itself is subtracted in the place of its gradient"
    if f.equals(param):
        yield "the parameter is not changed"
    if f.equals(param + lr * grad):
        yield "the gradient is added: descent goes against it"
    if f.equals(param - grad):
        yield "the learning rate is not applied"
    if decay and (
        f.equals(param - lr * grad - decay * param)
        or f.equals((param * (1 - decay)) - lr * grad)
        or f.equals((param - lr * grad) * (1 - decay))
    ):
        yield "weight decay is not scaled by the learning rate"
    if decay and f.equals(param - lr * grad):
        yield "weight decay is left out"


def _dropout(f: Finding) -> Iterator[str]:
    p = float(f.extra["like"].p)
    keep = 1 - p
    if f.what == "p":
        if abs(float(f.got) - keep) < 0.05:
            yield "p is taken as the probability to keep, it is that to drop"
        return
    kept = f.expected != 0
    if f.equals(kept * 1.0):
        yield (
            f"what is kept is not divided by the keep probability, {keep:g}, {f.place}:"
            " both passes must scale alike"
        )
    if f.equals(kept / keep**2):
        yield f"what is kept is divided by the keep probability twice, {f.place}"
    if f.place == "backward" and not np.array_equal(f.got != 0, kept):
        yield "backward has another mask than forward"


# ---- pooling


def is_max_pool(like: Any) -> bool:
    return type(like).__name__ == "MaxPool2d"


def _pooling(f: Finding) -> Iterator[str]:
    like, x, grad = f.parts
    if f.what == "dx" and x is not None and x.ndim == 4 and is_max_pool(like):
        winners = _winners(like, x)
        if f.equals(_scattered(winners, x, grad, like, "stride")):
            yield (
                "the winner's row and column are computed with the stride in the place of the"
                " kernel size"
            )
        before = f.extra.get("before")
        if before is not None:
            old = _winners(like, before)
            pairs = zip(winners, old, strict=False)
            both = [tuple(dict.fromkeys((*new, *was))) for new, was in pairs]
            if f.equals(_scattered(both, x, grad, like, "all")):
                yield "the winner mask is not cleared between two forwards"
        if f.equals(_scattered(winners, x, grad, like, "all")):
            yield "at a tie every largest element gets the whole gradient, not only the first"
        if f.equals(_scattered(winners, x, grad, like, "share")):
            yield "at a tie the gradient is split among the largest, not given to the first"
        if f.equals(_scattered(winners, x, grad, like, "last")):
            yield "at a tie the last of the largest gets the gradient, not the first"
        if f.equals(_scattered(winners, x, grad, like, "overwrite")):
            yield "where windows overlap, gradients are overwritten instead of added"
    if type(like).__name__ in ("AvgPool2d", "GlobalAvgPool2d") and f.what in ("y", "dx"):
        size = int(np.prod(getattr(like, "kernel_size", f.expected.shape[2:])))
        for factor, text in (
            (size, "the sums are not divided by the number of cells"),
            (1 / size, "the sums are divided by the number of cells twice"),
        ):
            if f.equals(f.expected * factor):
                yield f"{text}, {size}"
        counted = getattr(like, "count_include_pad", None)
        if counted is not None and f.what == "y":
            like.count_include_pad = not counted
            other = like(x)
            like.count_include_pad = counted
            if f.equals(other):
                yield "the divisor: whether cells of the padding count (count_include_pad)"
    if f.what == "y" and f.expected.ndim == 4 and f.expected.shape[2] > 1:
        good = np.isclose(f.got, f.expected, rtol=1e-5, atol=1e-7).all(axis=(0, 1, 3))
        if good.any() and not good.all():
            rows = ", ".join(str(int(row)) for row in np.flatnonzero(good))
            yield (
                f"only row {rows} of the output is right: a row is written into the code as a"
                " number (of an integral image, perhaps) where it depends on the window"
            )


def _winners(like: Any, x: Array) -> list[tuple[tuple[int, int], ...]]:
    """Of each window, in order, the largest elements as (row, column) within it."""
    y = like(x)
    found = []
    for n, c, i, j in np.ndindex(y.shape):
        cells = [
            (h, w)
            for h, w in np.ndindex(*like.kernel_size)
            if (at := _cell(like, x, i, j, h, w)) is not None and x[n, c][at] == y[n, c, i, j]
        ]
        found.append(tuple(cells))
    return found


def _cell(like: Any, x: Array, i: int, j: int, h: int, w: int) -> tuple[int, int] | None:
    """Where a window's cell lies in the image; None outside of it."""
    at = (
        i * like.stride[0] - like.padding[0] + h * like.dilation[0],
        j * like.stride[1] - like.padding[1] + w * like.dilation[1],
    )
    inside = 0 <= at[0] < x.shape[2] and 0 <= at[1] < x.shape[3]
    return at if inside else None


def _scattered(
    winners: list[tuple[tuple[int, int], ...]], x: Array, grad: Array, like: Any, how: str
) -> Array:
    """dx of max pooling with a fault."""
    dx = np.zeros(x.shape)
    for (n, c, i, j), cells in zip(np.ndindex(grad.shape), winners, strict=True):
        value = float(grad[n, c, i, j])
        if how == "share":
            value /= len(cells)
        taken = {"all": cells, "share": cells, "last": cells[-1:]}.get(how, cells[:1])
        for h, w in taken:
            if how == "stride":
                place = h * like.kernel_size[1] + w
                h, w = place // like.stride[1], place % like.stride[1]
            at = _cell(like, x, i, j, h, w)
            if at is None:
                continue
            dx[(n, c, *at)] = value if how == "overwrite" else dx[(n, c, *at)] + value
    return dx


# ---- layers with parameters


def _gradients(f: Finding) -> Iterator[str]:
    like, x, grad = f.parts
    parameters = dict(like.named_parameters()) if hasattr(like, "named_parameters") else {}
    own = parameters.get("bias")
    if f.what == "the gradient of bias" and own is not None and f.equals(own.data):
        yield "the bias itself stands in the place of its gradient"
    if "gradients added" in f.place and f.equals(f.expected / 2):
        yield "the gradient is overwritten: each backward must add to it"
    weight = parameters.get("weight")
    if weight is not None and weight.ndim == 2 and x is not None and x.ndim == 2:
        bias = 0.0 if own is None else own.data
        if weight.shape[0] == weight.shape[1] and (
            (f.what == "y" and f.equals(x @ weight.data + bias))
            or (f.what == "dx" and grad is not None and f.equals(grad @ weight.data.T))
        ):
            yield "a transposition is forgotten: the weight is used the other way round"
        if f.what == "y" and f.equals(x @ weight.data.T):
            yield "the bias is not added"
        if f.what == "the gradient of weight" and grad is not None:
            for rows, which in ((slice(-1), "last"), (slice(1, None), "first")):
                if f.equals(grad[rows].T @ x[rows]):
                    yield f"the {which} sample is left out"
    if weight is not None and weight.ndim == 4 and f.what == "y":
        kept = weight.data.copy()
        weight.data[...] = kept[:, :, ::-1, ::-1]
        flipped = like(x)
        weight.data[...] = kept
        if f.equals(flipped):
            yield "the kernel is flipped: Conv2d correlates"


def _kept(f: Finding) -> Iterator[str]:
    if "second call" in f.place:
        yield "something is kept from the call before"


def _anywhere(f: Finding) -> Iterator[str]:
    expected, got = f.expected, f.got
    if not got.any():
        yield "it is all zeros: not computed, or not stored"
        return
    if f.equals(-expected):
        yield "the sign is wrong"
    large = np.abs(expected) > 1e-6
    ratios = got[large] / expected[large] if large.any() else np.ones(1)
    ratio = float(np.median(ratios))
    if np.allclose(ratios, ratio, rtol=1e-4) and f.equals(ratio * expected):
        yield _factor(f, ratio)
    if got.ndim > 1 and np.allclose(np.sort(got.ravel()), np.sort(expected.ravel()), rtol=1e-5):
        yield "the values are right but in another order"
    if got.ndim > 1 and len(got) > 1:
        good = np.isclose(got, expected, rtol=1e-5, atol=1e-7).reshape(len(got), -1).all(axis=1)
        if f.what in ("y", "dx") and good.any() and not good.all():
            yield f"only sample {', '.join(map(str, np.flatnonzero(good)))} of the batch is right"


def _factor(f: Finding, ratio: float) -> str:
    x = f.extra.get("x")
    counts = {} if x is None else {len(x): "the batch size", x.size: "the number of elements"}
    for count, name in counts.items():
        if np.isclose(ratio, 1 / count):
            return f"it is divided by {name}, {count}, once too often"
        if np.isclose(ratio, count):
            return f"it is not divided by {name}, {count}"
    return f"it is wrong by the factor {ratio:.6g} everywhere"
