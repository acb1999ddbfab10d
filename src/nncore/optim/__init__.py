"""Optimisers and schedules, under PyTorch's names."""

from nncore.optim import lr_scheduler
from nncore.optim.adagrad import Adagrad
from nncore.optim.adam import Adam, AdamW
from nncore.optim.lion import Lion
from nncore.optim.optimizer import Optimizer
from nncore.optim.rmsprop import RMSprop
from nncore.optim.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Lion", "Optimizer", "RMSprop", "lr_scheduler"]
