"""Checks for mathematics of one's own: gradients against numbers, a layer against nncore's."""

from nncore.checking.gradcheck import GradcheckError, GradcheckReport, gradcheck
from nncore.checking.student import CheckReport, check

__all__ = ["CheckReport", "GradcheckError", "GradcheckReport", "check", "gradcheck"]
