"""nncore: trains and runs small neural networks on a CPU."""

from typing import TYPE_CHECKING, Any

from nncore import data, interop, io, nn, optim, training
from nncore._core.config import (
    get_num_threads,
    get_winograd,
    set_num_threads,
    set_winograd,
    show_config,
)
from nncore.compiler import Step, compile
from nncore.nn.elementary import concatenate
from nncore.nn.recording import no_record, recording
from nncore.training import Evaluation, History, Trainer

if TYPE_CHECKING:
    from nncore import inspection
    from nncore.checking import check, gradcheck

__version__ = "0.1.0"

__all__ = [
    "Evaluation",
    "History",
    "Step",
    "Trainer",
    "__version__",
    "check",
    "compile",
    "concatenate",
    "data",
    "get_num_threads",
    "get_winograd",
    "gradcheck",
    "inspection",
    "interop",
    "io",
    "nn",
    "no_record",
    "optim",
    "recording",
    "set_num_threads",
    "set_winograd",
    "show_config",
    "training",
]


def __getattr__(name: str) -> Any:
    """What only some programs need is loaded when it is asked for."""
    if name in ("check", "gradcheck"):
        from nncore import checking

        return getattr(checking, name)
    if name == "inspection":
        from importlib import import_module

        return import_module("nncore.inspection")
    raise AttributeError(f"module 'nncore' has no attribute {name!r}")
