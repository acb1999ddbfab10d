"""The training loop: `Trainer`, its callbacks, what it records and what it measures."""

from nncore.training import metrics
from nncore.training.callbacks import Callback, LambdaCallback, LearningRateScheduler
from nncore.training.evaluation import Evaluation, GeneralizationReport
from nncore.training.history import History
from nncore.training.lr_finder import RateRange
from nncore.training.monitors import EarlyStopping, ReduceLROnPlateau, TerminateOnNaN
from nncore.training.saving import Checkpoint, CSVLogger, Logger
from nncore.training.trainer import Trainer

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "Evaluation",
    "GeneralizationReport",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "Logger",
    "RateRange",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
    "Trainer",
    "metrics",
]
