"""How well a network does, in a table and in one line."""

from typing import Any, NamedTuple

import numpy as np

from nncore.cli.datasets import Data
from nncore.cli.recipes import Split
from nncore.training import GeneralizationReport, Trainer
from nncore.training.table import number, percent


class Outcome(NamedTuple):
    """Training and test set side by side, and what to remember."""

    report: GeneralizationReport
    line: str


def measure(trainer: Trainer, split: Split, found: Data) -> Outcome:
    """Measure on targets as the loss wants them (`split`); labels are those of `found`."""
    report = trainer.report(*split)
    accuracy = report.test.accuracy
    x, y = found.split[1]
    if accuracy is None and found.classes is not None and split[1][1].shape[1] == found.classes > 1:
        # Targets are rows of zeros with a one: the largest output is the answer.
        accuracy = _right(trainer.predict(x), y)
    if accuracy is None:
        return Outcome(report, f"test loss {number(report.test.loss)}")
    return Outcome(report, f"test accuracy {percent(accuracy)}")


def _right(outputs: Any, labels: Any) -> float:
    return float(np.mean(outputs.argmax(axis=1) == labels))
