"""How fast weights move: the size of each update beside the size of what it changes."""

from __future__ import annotations

import numpy as np

from nncore.inspection.probe import Array
from nncore.nn.module import Module


class UpdateRatio:
    """The ratio ||w_new - w_old|| / ||w_old|| of each parameter, from one `note` to the next.

    About 0.001 per step is healthy; far less learns nothing, far more does not settle.

    Parameters
    ----------
    model : Module

    Attributes
    ----------
    history : dict of str to list of float
        By the parameters' names, one number for each `note` but the first.

    Examples
    --------
    >>> ratio = nc.inspection.UpdateRatio(model)
    >>> for rows in np.split(order, 40):
    ...     step(x[rows], y[rows])
    ...     ratio.note()
    """

    def __init__(self, model: Module) -> None:
        self._model = model
        self._last: dict[str, Array] = {}
        self.history: dict[str, list[float]] = {}
        self.note()

    def note(self) -> dict[str, float]:
        """Compare with the last time; returns the ratios."""
        ratios: dict[str, float] = {}
        for name, parameter in self._model.named_parameters():
            last = self._last.get(name)
            if last is not None and parameter.requires_grad:
                size = float(np.linalg.norm(last))
                moved = float(np.linalg.norm(parameter.data - last))
                ratios[name] = moved / size if size > 0 else (np.inf if moved > 0 else 0.0)
                self.history.setdefault(name, []).append(ratios[name])
            self._last[name] = parameter.data.copy()
        return ratios
