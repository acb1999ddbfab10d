"""What comes before the first step: ours compiles a Step, JAX traces and compiles a function.

Ours lowers the layers, plans each operation and lays out the arena. Neither side runs the step, and
layers, data and weights are there before.
"""

from __future__ import annotations

from benchmarks.cases.networks import CIFAR_CNN, LENET5, NOTES_CNN, PERCEPTRON, POLICY
from benchmarks.cases.step import training

CASES = (
    training(POLICY, 32, "Adam", family="build", lr=1e-3),
    training(PERCEPTRON, 64, "SGD", family="build", lr=0.05),
    training(NOTES_CNN, 64, "SGD", family="build", lr=0.05),
    training(LENET5, 64, "SGD", family="build", lr=0.05, momentum=0.9),
    training(CIFAR_CNN, 64, "SGD", family="build", lr=0.01, momentum=0.9),
)
