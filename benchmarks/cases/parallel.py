"""Several Steps at once: as many Python threads as cores, each training a network of its own.

A Step runs without the interpreter's lock, on one thread here. Steps are called a batch at a time,
or by `Step.epoch`: very short calls wait for each other's moments with the lock. The row shows the
time of one step with all of them counted, so with ``--scaling`` the ratio is how much more N
threads get done than one; N would be perfect.
"""

from __future__ import annotations

from benchmarks.cases.networks import LENET5, POLICY
from benchmarks.cases.step import training

CASES = (
    *(
        training(POLICY, batch, "Adam", family="parallel", kind=kind, lr=1e-3)
        for kind in ("steps", "epochs")
        for batch in (32, 256)
    ),
    training(LENET5, 64, "SGD", family="parallel", kind="steps", lr=0.05, momentum=0.9),
)
