"""nncore: trains and runs small neural networks on a CPU."""

from nncore import data, interop, io, nn, optim
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

__version__ = "0.1.0"

__all__ = [
    "Evaluation",
    "History",
    "Step",
    "Trainer",
    "__version__",
    "compile",
    "concatenate",
    "data",
    "get_num_threads",
    "get_winograd",
    "interop",
    "io",
    "nn",
    "no_record",
    "optim",
    "recording",
    "set_num_threads",
    "set_winograd",
    "show_config",
]
