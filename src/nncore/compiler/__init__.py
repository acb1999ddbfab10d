"""The compiled step: model, loss and optimiser as one list of operations, run in one C call."""

from nncore.compiler.step import Step, compile

__all__ = ["Step", "compile"]
