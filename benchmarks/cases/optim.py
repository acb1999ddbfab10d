"""One optimiser step over all parameters of a network, the gradients given."""

from __future__ import annotations

from benchmarks.case import Case, Input
from benchmarks.cases.networks import PERCEPTRON, POLICY, Network

VALUE = 4  # bytes of a float32
OPTIMIZERS = {
    # Constructor's arguments, and how often an array of all parameters is moved: read and
    # written are the parameters and each state, read is the gradient.
    "SGD": ({"lr": 0.01, "momentum": 0.9}, 5),
    "Adam": ({"lr": 1e-3}, 7),
}


def _case(network: Network, optimizer: str) -> Case:
    arguments, passes = OPTIMIZERS[optimizer]
    weights = network.weights()
    gradients = {f"grad {name}": Input(spec.shape) for name, spec in weights.items()}
    count = sum(_size(spec) for spec in weights.values())
    return Case(
        family="optim",
        name=f"{network.name} {optimizer}" + (" momentum" if optimizer == "SGD" else ""),
        operation="optim.step",
        inputs=weights | gradients,
        options={"network": network, "optimizer": optimizer, "arguments": arguments},
        bytes=float(passes * VALUE * count),
        bound="bytes",
        tolerance=1e-5,
    )


def _size(spec: Input) -> int:
    size = 1
    for side in spec.shape:
        size *= side
    return size


CASES = tuple(
    _case(network, optimizer) for network in (PERCEPTRON, POLICY) for optimizer in OPTIMIZERS
)
