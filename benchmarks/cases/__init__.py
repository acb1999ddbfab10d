"""All cases by family; a new family is one file here and one line below."""

from __future__ import annotations

from benchmarks.case import Case
from benchmarks.cases import activation, conv, layers, linear, optim, pool, step

FAMILIES: dict[str, tuple[Case, ...]] = {
    "pool": pool.CASES,
    "linear": linear.CASES,
    "conv": conv.CASES,
    "activation": activation.CASES,
    "layers": layers.CASES,
    "optim": optim.CASES,
    "step": step.CASES,
}


def find(family: str, name: str) -> Case:
    """The case of that name; `KeyError` if there is none."""
    for case in FAMILIES[family]:
        if case.name == name:
            return case
    raise KeyError(f"family {family} has no case {name!r}")
