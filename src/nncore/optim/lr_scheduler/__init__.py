"""Schedules: how learning rates change from epoch to epoch, under PyTorch's names.

A schedule assigns ``group["lr"]``, which optimisers and compiled steps read at every step. Call
``scheduler.step()`` once an epoch (`OneCycleLR`: once a batch), after the optimiser's step.
"""

from nncore.optim.lr_scheduler.combined import SequentialLR
from nncore.optim.lr_scheduler.decay import ExponentialLR, LambdaLR, MultiStepLR, StepLR
from nncore.optim.lr_scheduler.one_cycle import OneCycleLR
from nncore.optim.lr_scheduler.plateau import ReduceLROnPlateau
from nncore.optim.lr_scheduler.ramps import ConstantLR, CosineAnnealingLR, LinearLR
from nncore.optim.lr_scheduler.scheduler import LRScheduler

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
