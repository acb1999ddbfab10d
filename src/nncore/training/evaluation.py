"""How well a model does: empirical risk, error rate, the gap between training and test."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nncore.training.table import number, percent


@dataclass(frozen=True)
class Evaluation:
    """A model measured on a set of samples; ``print`` it.

    Attributes
    ----------
    empirical_risk : float
        The mean of the loss over all samples: R = (1/N) sum_i C(model(x_i), y_i). `loss` is the
        same.
    accuracy : float or None
        The fraction of samples whose label has the largest output; None where targets are no
        labels.
    samples : int
        N.
    metrics : dict of str to float or array
        The trainer's metrics, by name.
    """

    empirical_risk: float
    accuracy: float | None
    samples: int
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """The empirical risk, by its usual name."""
        return self.empirical_risk

    @property
    def error_rate(self) -> float | None:
        """The fraction of samples that are classified wrongly, 1 - accuracy."""
        return None if self.accuracy is None else 1 - self.accuracy

    def __str__(self) -> str:
        text = f"empirical risk (loss) {number(self.empirical_risk)}"
        if self.accuracy is not None and self.error_rate is not None:
            text += f", accuracy {percent(self.accuracy)}, error rate {percent(self.error_rate)}"
        for name, value in self.metrics.items():
            if np.ndim(value) == 0 and name != "accuracy":
                text += f", {name} {number(value)}"
        return f"{text}, {self.samples:,} samples"


@dataclass(frozen=True)
class GeneralizationReport:
    """The error on the training set beside that on the test set; ``print`` it.

    The first is the approximation error, the second the test error, their difference the
    generalisation gap.

    Attributes
    ----------
    train, test : Evaluation
        The same model on both sets.
    """

    train: Evaluation
    test: Evaluation

    @property
    def gap(self) -> float:
        """The generalisation gap: risk on the test set minus risk on the training set."""
        return self.test.empirical_risk - self.train.empirical_risk

    @property
    def error_rate_gap(self) -> float | None:
        """The same for the error rate; None where targets are no labels."""
        if self.test.error_rate is None or self.train.error_rate is None:
            return None
        return self.test.error_rate - self.train.error_rate

    def __str__(self) -> str:
        train, test = self.train, self.test
        gap = number(self.gap)
        lines = [
            ("", "training", "test", "gap"),
            ("samples", f"{train.samples:,}", f"{test.samples:,}", ""),
            (
                "empirical risk (loss)",
                number(train.empirical_risk),
                number(test.empirical_risk),
                gap if self.gap < 0 else f"+{gap}",
            ),
        ]
        for title, name in (("error rate", "error_rate"), ("accuracy", "accuracy")):
            first, second = getattr(train, name), getattr(test, name)
            if first is not None and second is not None:
                points = f"{100 * (second - first):+.2f} pts"
                lines.append((title, percent(first), percent(second), points))
        return "\n".join(f"{a:<21}  {b:>10}  {c:>10}  {d:>10}".rstrip() for a, b, c, d in lines)
