"""The family gemm: nncore's engine, NumPy's OpenBLAS and PyTorch's MKL, all called from one C loop.

The loop and the engine are built by CMake into ``build/benchmarks``, from the sources as they are.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.case import aligned_copy
from benchmarks.contestants.contestant import Runner

if TYPE_CHECKING:
    from benchmarks.case import Arrays, Case

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "benchmarks"
OPTIONS = ("NNCORE_PYTHON=OFF", "NNCORE_BENCHMARKS=ON")

RESULTS = {"forward": ("y",), "dx": ("dx",), "dW+db": ("dw", "db")}
WAYS = tuple(RESULTS)
LETTERS = {"float32": "s", "float64": "d"}  # in the order of nn_dtype
ARRAYS = ("x", "weight", "bias", "y", "grad", "dx", "dw", "db", "work")
LEAST_FLOPS = 1e6  # a call does at least this much, so that it does not count itself


class Task(ctypes.Structure):
    """``products_task`` of products.c."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("way", "dtype")),
        *((name, ctypes.c_int64) for name in ("n", "in", "out", "repetitions")),
        *((name, ctypes.c_void_p) for name in ARRAYS),
    )


class Products:
    """A `Builder`: tasks for the engine, or for a library's ``gemm``."""

    def __init__(
        self, version: str, library: ctypes.CDLL, blas: ctypes.CDLL | None = None, name: str = ""
    ):
        self.version = version
        self._library = library
        self._blas = blas
        self._name = name  # of the function, with {} for the letter of the dtype

    def build(self, case: Case, arrays: Arrays) -> Runner | None:
        family, way = case.operation.split(".")
        if family != "gemm":
            return None
        dtype, (n, features, outputs) = case.options["dtype"], case.options["sizes"]
        given = {name: aligned_copy(array.astype(dtype)) for name, array in arrays.items()}
        shapes = {"y": (n, outputs), "dx": (n, features), "dw": (outputs, features), "db": outputs}
        made = {name: aligned_copy(np.zeros(shape, dtype)) for name, shape in shapes.items()}
        task = Task(WAYS.index(way), list(LETTERS).index(dtype), n, features, outputs)
        room = self._library.products_workspace(ctypes.byref(task))
        made["work"] = aligned_copy(np.zeros(room, np.uint8))
        for name, array in (given | made).items():
            setattr(task, name, array.ctypes.data)
        gemm = self._blas and self._blas[self._name.format(LETTERS[dtype])]
        times = 1 + int(LEAST_FLOPS // case.flops)

        def compute(repetitions: int) -> None:
            task.repetitions = repetitions
            if gemm:
                self._library.products_blas(ctypes.byref(task), gemm)
            elif self._library.products_engine(ctypes.byref(task)):
                raise RuntimeError("the engine refused the product")

        def result() -> Arrays:
            for array in made.values():
                array.fill(0)
            compute(1)
            if gemm and way == "forward":
                made["y"] += given["bias"]
            if gemm and way == "dW+db":
                made["db"] += given["grad"].sum(axis=0)
            return {name: made[name].copy() for name in RESULTS[way]}

        return Runner(lambda: compute(times), result, times=times)


def open_contestant(variant: str, threads: int) -> Products:
    makers = {"nncore": _engine, "openblas": _openblas, "mkl": _mkl}
    return makers[variant](threads)


def _engine(threads: int) -> Products:
    import nncore

    library = _built()
    if library.products_start(os.environ.get("NNCORE_ISA", "").encode(), threads):
        raise RuntimeError("the engine refused the instruction set, or the number of threads")
    return Products(nncore.__version__, library)


def _openblas(_threads: int) -> Products:
    """As many threads as the worker's environment says."""
    found = sorted((Path(np.__file__).parents[1] / "numpy.libs").glob("*openblas64_*"))
    if not found:
        raise ImportError("this NumPy brings no OpenBLAS")
    return Products(np.__version__, _built(), ctypes.CDLL(str(found[0])), "scipy_{}gemm_64_")


def _mkl(threads: int) -> Products:
    import torch

    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    if not hasattr(library, "MKL_Set_Num_Threads_Local"):
        raise ImportError("this PyTorch brings no MKL")
    library.MKL_Set_Num_Threads_Local(threads)
    return Products(torch.__version__, _built(), library, "{}gemm_")


def _built() -> ctypes.CDLL:
    """The library of products.c; built if anything of it changed."""
    configure = ["cmake", "-S", str(ROOT), "-B", str(BUILD), *(f"-D{option}" for option in OPTIONS)]
    for command in (configure, ["cmake", "--build", str(BUILD), "--parallel", "2"]):
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        except FileNotFoundError:
            raise ImportError("cmake, which builds the engine once more, is not there") from None
        if done.returncode:
            said = done.stdout.strip().splitlines() or [f"status {done.returncode}"]
            raise ImportError(f"{command[0]} failed: {said[-1]}")
    library = ctypes.CDLL(str(BUILD / "benchmarks" / "libproducts.so"))
    library.products_workspace.restype = ctypes.c_int64
    return library
