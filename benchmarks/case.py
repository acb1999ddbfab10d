"""What a benchmark case is: an operation, its inputs, its work and how far results may differ.

A case is data. It says nothing about who computes it, so that every contestant gets the same bytes
and the same count of work is divided by everybody's time.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

Arrays = dict[str, "np.ndarray"]

ALIGNMENT = 64  # bytes; a cache line, and what the engines' own allocators give


@dataclass(frozen=True)
class Input:
    """One input array: its shape and the distribution its seeded values are drawn from."""

    shape: tuple[int, ...]
    kind: Literal["normal", "magnitude", "uniform", "labels"] = "normal"
    scale: float = 1.0
    """Standard deviation of a normal, also of one without its sign; half width of a uniform one."""
    classes: int = 0
    """Labels are drawn from ``0 .. classes - 1``."""

    def draw(self, seed: int) -> np.ndarray:
        import numpy as np

        stream = np.random.default_rng(seed)
        if self.kind == "labels":
            return stream.integers(0, self.classes, self.shape, dtype=np.int64)
        if self.kind == "uniform":
            values = stream.uniform(-self.scale, self.scale, self.shape)
        else:
            values = stream.normal(0.0, self.scale, self.shape)
            if self.kind == "magnitude":
                values = np.abs(values)
        return aligned_copy(values.astype(np.float32))


@dataclass(frozen=True)
class Must:
    """What a case has to reach; the report says whether it did."""

    roof_share: float | None = None
    ratio: float = 1.0
    """To the best peer."""


@dataclass(frozen=True)
class Case:
    """One row of a table.

    ``flops`` counts a multiply-add as two, 0 where there is none; ``bytes`` is the traffic that
    nobody can avoid (each input read once, each output written once; ``passes`` names them where
    that is not plain). ``bound`` names what limits the case: arithmetic, memory, or the engine's
    own kernel, where a row is a layer and shows what is spent around it.
    """

    family: str
    name: str
    operation: str
    """What contestants look up, e.g. ``"linear.forward"``."""
    inputs: Mapping[str, Input]
    options: Mapping[str, Any] = field(default_factory=dict)
    flops: float = 0.0
    bytes: float = 0.0
    bound: Literal["flops", "bytes", "kernel"] = "flops"
    passes: str = ""
    tolerance: float = 1e-5
    """Largest accepted difference of two results, relative to an array's largest magnitude."""
    cold: bool = False
    """Repetitions rotate over copies that together exceed the last-level cache."""
    runs_on: int = 0
    """A run from beginning to end, in so many parts: each round is the next part, none is repeated,
    rehearsed or put back, and results are compared at the end."""
    must: Must | None = None
    scales: float = 0.97
    """How much faster two threads have to be than one; sharing what is small must not cost."""

    def arrays(self) -> Arrays:
        """The inputs, the same in every process and every run."""
        return {
            name: spec.draw(zlib.crc32(f"{self.operation}/{name}/{spec.shape}".encode()))
            for name, spec in self.inputs.items()
        }


def aligned_copy(source: np.ndarray) -> np.ndarray:
    """A C-contiguous copy that starts on a cache line, as every engine's own memory does."""
    import numpy as np

    room = np.empty(source.nbytes + ALIGNMENT, dtype=np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    copy = room[start : start + source.nbytes].view(source.dtype).reshape(source.shape)
    copy[...] = source
    return copy
