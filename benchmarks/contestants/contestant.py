"""The two halves of a contestant: its entry in the list, and its callables for one case."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.case import Arrays, Case

OPTIMIZER_STEPS = 3
TRAINING_STEPS = 5
"""So many steps everybody takes from the same weights before the results are compared."""


@dataclass(frozen=True)
class Contestant:
    """One column of the table, measured in a worker process of its own.

    ``module`` is a module of this package, or a dotted path; it has a function
    ``open_contestant(variant, threads) -> Builder``. A peer may send several contestants, one per
    setting; the best of them counts.
    """

    name: str
    peer: str
    module: str
    variant: str = ""
    package: str = ""
    """What is imported first, timed; the peer's name if empty."""
    families: tuple[str, ...] = ()
    """It is not even started for cases of other families; empty: all."""
    threads: int | None = None
    """Cores and threads of its own; default: those of the run."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def takes_part(self, families: Collection[str]) -> bool:
        return not self.families or not set(self.families).isdisjoint(families)

    @property
    def imports(self) -> str:
        return self.package or self.peer

    @property
    def module_path(self) -> str:
        return self.module if "." in self.module else f"benchmarks.contestants.{self.module}"


def nothing() -> None:
    """What most runners need to do before a round."""


@dataclass(frozen=True)
class Runner:
    """What a contestant made of a case."""

    run: Callable[[], object]
    """One timed repetition; returns when the work is done."""
    result: Callable[[], dict[str, np.ndarray]]
    """Arrays to compare with the other contestants', computed from the case's inputs anew."""
    reset: Callable[[], None] = nothing
    """Back to the case's initial weights; called, untimed, before every round."""
    surroundings: Callable[[], AbstractContextManager[object]] = nullcontext
    """A mode of the library that is entered once around many repetitions."""
    times: float = 1.0
    """How often one `run` does the case's work."""


class Builder(Protocol):
    """What ``open_contestant`` returns."""

    version: str

    def build(self, case: Case, arrays: Arrays) -> Runner | None:
        """A runner, or ``None`` if this contestant has no part in the case.

        ``arrays`` are a fresh copy of the case's inputs: the runner may keep and change them.
        """
        ...


class Operations:
    """A `Builder` from a table: operation of the case -> function that makes the runner."""

    def __init__(self, version: str, makers: Mapping[str, Callable[[Case, Arrays], Runner | None]]):
        self.version = version
        self._makers = makers

    def build(self, case: Case, arrays: Arrays) -> Runner | None:
        maker = self._makers.get(case.operation)
        return maker(case, arrays) if maker else None
