"""nncore: trains and runs small neural networks on a CPU."""

from nncore._core import engine as _engine

__version__ = "0.1.0"
