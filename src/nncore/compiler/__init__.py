"""The compiled step: a model, a loss and an optimiser as one list of operations, run in one C call."""

from nncore.compiler.step import Step, compile

__all__ = ["Step", "compile"]
