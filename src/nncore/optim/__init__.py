"""Optimisers, under PyTorch's names."""

from nncore.optim.adam import Adam, AdamW
from nncore.optim.optimizer import Optimizer
from nncore.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
