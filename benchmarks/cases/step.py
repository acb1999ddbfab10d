"""Whole training steps (forward, loss, backward, update, gradients cleared), epochs, predictions.

An epoch is a thousand steps in one call over a data set; its row shows the time of one step.
"""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Input
from benchmarks.cases.networks import CIFAR_CNN, LENET5, NOTES_CNN, PERCEPTRON, POLICY, Network

EPOCH_BATCHES = 1000
OVER_AN_EPOCH = ("epoch", "epochs", "fit", "callback")
"""Kinds of training whose data are many batches."""


def training(
    network: Network,
    batch: int,
    optimizer: str,
    *,
    family: str = "step",
    kind: str = "",
    **arguments: Any,
) -> Case:
    """A case of training, named after its kind."""
    momentum = " momentum" if "momentum" in arguments else ""
    samples = batch * (EPOCH_BATCHES if kind in OVER_AN_EPOCH else 1)
    data = {
        "x": Input((samples, *network.input_shape)),
        "y": Input((samples,), "labels", classes=network.classes),
    }
    suffix = f" {kind}" if kind else ""
    return Case(
        family=family,
        name=f"{network.name} {optimizer}{momentum} b{batch}{suffix}",
        operation=f"{family}.{kind or 'train'}",
        inputs=data | network.weights(),
        options={
            "network": network,
            "optimizer": optimizer,
            "arguments": arguments,
            "batch": batch,
        },
        flops=0.0 if family == "build" else network.training_flops(batch),
        # Adam divides by |g|: where a gradient is nearly zero, its rounding decides the step.
        tolerance=1e-3 if optimizer == "Adam" else 1e-4,
        scales=1.7 if family == "step" and batch == 64 else 0.97,
    )


def _prediction(network: Network, batch: int) -> Case:
    return Case(
        family="step",
        name=f"{network.name} predict b{batch}",
        operation="step.predict",
        inputs={"x": Input((batch, *network.input_shape))} | network.weights(),
        options={"network": network},
        flops=network.forward_flops(batch),
    )


BATCHES = (1, 32, 256)
CASES = (
    training(NOTES_CNN, 64, "SGD", lr=0.05),
    training(LENET5, 64, "SGD", lr=0.05, momentum=0.9),
    training(CIFAR_CNN, 64, "SGD", lr=0.01, momentum=0.9),
    *(training(POLICY, batch, "Adam", lr=1e-3) for batch in BATCHES),
    *(training(PERCEPTRON, batch, "SGD", lr=0.05) for batch in (1, 64)),
    *(training(POLICY, batch, "Adam", kind="epoch", lr=1e-3) for batch in BATCHES),
    _prediction(POLICY, 1),
)
