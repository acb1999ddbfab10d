"""Opening the black box: what goes on inside a network, as numbers and as pictures.

The functions here give numbers; those of `nncore.inspection.plots`, which need matplotlib, draw
them, and return the Axes that they drew on.
"""

from nncore.inspection.attention import grad_cam, saliency
from nncore.inspection.explain import Explanation, explain
from nncore.inspection.features import Projection, features, project
from nncore.inspection.mistakes import Mistakes, confusion_matrix, probabilities, worst_mistakes
from nncore.inspection.probe import activations, gradients
from nncore.inspection.regions import Regions, decision_regions
from nncore.inspection.units import UnitReport, units
from nncore.inspection.updates import UpdateRatio

__all__ = [
    "Explanation",
    "Mistakes",
    "Projection",
    "Regions",
    "UnitReport",
    "UpdateRatio",
    "activations",
    "confusion_matrix",
    "decision_regions",
    "explain",
    "features",
    "grad_cam",
    "gradients",
    "probabilities",
    "project",
    "saliency",
    "units",
    "worst_mistakes",
]
