"""Small models for the tests of the training loop and the command line."""

from typing import Any

import numpy as np

from nncore import nn, optim
from nncore.training import Trainer


class Double(nn.Module):
    """y = 2 x: mathematics of one's own, which runs eagerly only."""

    def _forward(self, x: Any) -> tuple[Any, Any]:
        return x * 2, None

    def _backward(self, saved: Any, grad: Any) -> Any:
        return grad * 2


def make_model(*extra: nn.Module, dtype: Any = np.float32, seed: int = 3) -> nn.Sequential:
    """4 inputs, 3 classes."""
    layers = nn.Linear(4, 8, dtype=dtype), nn.ReLU(), nn.Linear(8, 3, dtype=dtype)
    model = nn.Sequential(*layers, *extra)
    model.reset_parameters(seed)
    return model


def make_trainer(
    model: nn.Module | None = None, *, seed: int | None = 5, lr: float = 0.01
) -> Trainer:
    model = make_model() if model is None else model
    return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=lr), seed=seed)


def weights(model: nn.Module) -> bytes:
    """All values, to compare bit for bit."""
    return b"".join(parameter.data.tobytes() for parameter in model.parameters())
