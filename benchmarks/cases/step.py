"""Whole training steps (forward, loss, backward, update, gradients cleared), epochs, predictions.

An epoch is a thousand steps in one call over a data set; its row shows the time of one step. A fit
is the same through the training loop (shuffled, measured, recorded): how much more it takes than
the step is the loop's overhead.
"""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case, Input
from benchmarks.cases.networks import CIFAR_CNN, LENET5, NOTES_CNN, PERCEPTRON, POLICY, Network

EPOCH_BATCHES = 1000


def _case(
    network: Network, batch: int, optimizer: str, *, kind: str = "train", **arguments: Any
) -> Case:
    momentum = " momentum" if "momentum" in arguments else ""
    samples = batch if kind == "train" else batch * EPOCH_BATCHES
    data = {
        "x": Input((samples, *network.input_shape)),
        "y": Input((samples,), "labels", classes=network.classes),
    }
    return Case(
        family="step",
        name=f"{network.name} {optimizer}{momentum} b{batch}"
        + ("" if kind == "train" else f" {kind}"),
        operation=f"step.{kind}",
        inputs=data | network.weights(),
        options={
            "network": network,
            "optimizer": optimizer,
            "arguments": arguments,
            "batch": batch,
        },
        flops=network.training_flops(batch),
        # Adam divides by |g|: where a gradient is nearly zero, its rounding decides the step.
        tolerance=1e-3 if optimizer == "Adam" else 1e-4,
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
    _case(NOTES_CNN, 64, "SGD", lr=0.05),
    _case(LENET5, 64, "SGD", lr=0.05, momentum=0.9),
    _case(CIFAR_CNN, 64, "SGD", lr=0.01, momentum=0.9),
    *(_case(POLICY, batch, "Adam", lr=1e-3) for batch in BATCHES),
    *(_case(PERCEPTRON, batch, "SGD", lr=0.05) for batch in (1, 64)),
    *(_case(POLICY, batch, "Adam", kind="epoch", lr=1e-3) for batch in BATCHES),
    *(_case(POLICY, batch, "Adam", kind="fit", lr=1e-3) for batch in BATCHES),
    _prediction(POLICY, 1),
)
