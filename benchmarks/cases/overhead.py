"""What our own comforts cost: the same work with them and without, the ratio between the two.

    fit         `Trainer.fit` (shuffled, measured, recorded) against bare calls of the compiled step
    callback    `Trainer.fit` with a callback that has no batch hook, against `fit` without one
    inspection  the compiled step in a process that has imported `nncore.inspection`, against one
                that has not

A ratio of 0.87 says that the work takes 15 % longer with them; 1.00 that they cost nothing.
"""

from __future__ import annotations

from benchmarks.cases.networks import NOTES_CNN, POLICY
from benchmarks.cases.step import BATCHES, training

# The process that imports the inspection stays one that has: its cases come last.
CASES = (
    *(
        training(POLICY, batch, "Adam", family="overhead", kind=kind, lr=1e-3)
        for kind in ("fit", "callback")
        for batch in BATCHES
    ),
    *(
        training(POLICY, batch, "Adam", family="overhead", kind="inspection", lr=1e-3)
        for batch in BATCHES
    ),
    training(NOTES_CNN, 64, "SGD", family="overhead", kind="inspection", lr=0.05),
)
