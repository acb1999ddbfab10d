"""Losses: how far predictions are from the truth, and the gradient of that to begin backward with.

A loss function is called with a batch, returns the mean over it (or the sum) as a float, and
remembers what its `backward` needs (not within `nncore.no_record`):
``model.backward(loss_fn.backward())``. With ``reduction="none"`` it returns an array of the losses,
and `backward` takes an array of their factors; such a loss does not compile.
"""

from nncore.losses.base import Loss, LossFunction
from nncore.losses.difference import HingeLoss, HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from nncore.losses.engine_loss import EngineLoss
from nncore.losses.labels import CrossEntropyLoss, NLLLoss
from nncore.losses.probability import BCELoss, BCEWithLogitsLoss, KLDivLoss

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "EngineLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "Loss",
    "LossFunction",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]
