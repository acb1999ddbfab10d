"""All cases by family; a new family is one file here and one line below."""

from __future__ import annotations

from benchmarks.case import Case
from benchmarks.cases import (
    activation,
    build,
    conv,
    gemm,
    layers,
    linear,
    mnist,
    optim,
    overhead,
    parallel,
    pool,
    step,
)

FAMILIES: dict[str, tuple[Case, ...]] = {
    "pool": pool.CASES,
    "linear": linear.CASES,
    "gemm": gemm.CASES,
    "conv": conv.CASES,
    "activation": activation.CASES,
    "layers": layers.CASES,
    "optim": optim.CASES,
    "step": step.CASES,
    "build": build.CASES,
    "overhead": overhead.CASES,
    "parallel": parallel.CASES,
    "mnist": mnist.CASES,
}
ON_REQUEST = ("gemm", "parallel", "mnist")
"""Families that are measured only when named: they need a build, several cores,
or data and minutes."""


def find(family: str, name: str) -> Case:
    """The case of that name; `KeyError` if there is none."""
    for case in FAMILIES[family]:
        if case.name == name:
            return case
    raise KeyError(f"family {family} has no case {name!r}")
