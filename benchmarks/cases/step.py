"""One whole training step: forward, loss, backward, update, gradients cleared."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Input
from benchmarks.cases.networks import LENET5, NOTES_CNN, PERCEPTRON, POLICY, Network


def _case(network: Network, batch: int, optimizer: str, **arguments: Any) -> Case:
    momentum = " momentum" if "momentum" in arguments else ""
    data = {
        "x": Input((batch, *network.input_shape)),
        "y": Input((batch,), "labels", classes=network.classes),
    }
    return Case(
        family="step",
        name=f"{network.name} {optimizer}{momentum} b{batch}",
        operation="step.train",
        inputs=data | network.weights(),
        options={"network": network, "optimizer": optimizer, "arguments": arguments},
        flops=network.training_flops(batch),
        # Adam divides by |g|: where a gradient is nearly zero, its rounding decides the step.
        tolerance=1e-3 if optimizer == "Adam" else 1e-4,
    )


CASES = (
    _case(NOTES_CNN, 64, "SGD", lr=0.05),
    _case(LENET5, 64, "SGD", lr=0.05, momentum=0.9),
    *(_case(POLICY, batch, "Adam", lr=1e-3) for batch in (1, 32, 256)),
    *(_case(PERCEPTRON, batch, "SGD", lr=0.05) for batch in (1, 64)),
)
