"""The training loop: `Trainer`, what it records (`History`) and what it measures (`Evaluation`)."""

from nncore.training.evaluation import Evaluation, GeneralizationReport
from nncore.training.history import History
from nncore.training.trainer import Trainer

__all__ = ["Evaluation", "GeneralizationReport", "History", "Trainer"]
