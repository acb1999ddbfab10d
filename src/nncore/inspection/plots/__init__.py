"""Pictures of what is inside a network, drawn by matplotlib.

Each function draws on `ax` if one is given, else on Axes of a new figure, and returns the Axes
(a list of them where it needs several). None of them shows or saves anything.
"""

from nncore.inspection.plots.maps import feature_maps, grad_cam, saliency, weights
from nncore.inspection.plots.mistakes import confusion_matrix, worst_mistakes
from nncore.inspection.plots.regions import decision_regions, hidden_units
from nncore.inspection.plots.units import activation_histograms, features, update_ratios

__all__ = [
    "activation_histograms",
    "confusion_matrix",
    "decision_regions",
    "feature_maps",
    "features",
    "grad_cam",
    "hidden_units",
    "saliency",
    "update_ratios",
    "weights",
    "worst_mistakes",
]
