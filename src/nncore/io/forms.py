"""The two forms of a file of named arrays, by suffix; which arrays may be in it."""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore.io import atomic

Arrays = dict[str, NDArray[Any]]

_SUFFIXES = ".npz", ".safetensors"
# The version of the form that nncore writes into the metadata, and of nothing else: files without
# it are read too.
VERSION_KEY, VERSION = "nncore_format", 1


def form_of(function: str, path: str | os.PathLike[str]) -> ModuleType:
    """The module that reads and writes files of this suffix; loaded when first needed."""
    suffix = Path(path).suffix
    if suffix not in _SUFFIXES:
        raise ValueError(
            f"{function}: the file name must end in {' or '.join(_SUFFIXES)}, got {str(path)!r}"
        )
    return import_module(f"nncore.io.{suffix[1:]}")


def write(
    function: str,
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str],
) -> None:
    """Write checked arrays and metadata, whole or not at all."""
    form = form_of(function, path)
    atomic.write_atomic(path, form.encode(tensors, {**metadata, VERSION_KEY: str(VERSION)}))


def read(
    function: str, path: str | os.PathLike[str], what: str = "weight file"
) -> tuple[Arrays, dict[str, str]]:
    """Arrays and metadata of a file of any origin; ValueError where it is not `what`."""
    form = form_of(function, path)
    form.check_installed()
    file = Path(path)
    if file.exists() and not file.is_file():
        # A device has no end, a pipe no size.
        raise OSError(f"{path}: is not a regular file")
    try:
        tensors, metadata = form.read(file)
    except ValueError as error:
        raise ValueError(f"{path}: not a {what}, or damaged: {error}") from None
    version = metadata.pop(VERSION_KEY, str(VERSION))
    if version != str(VERSION):
        raise ValueError(
            f"{path}: has format version {version[:20]!r}, this nncore reads version {VERSION}:"
            " a newer one may"
        )
    return tensors, metadata


def checked(function: str, source: Mapping[Any, Any]) -> Arrays:
    """`source` as arrays that both forms can hold, in C order and this machine's byte order."""
    tensors = {}
    for name, array in source.items():
        if not isinstance(name, str):
            raise TypeError(f"{function}: the names of arrays must be strings, got {name!r}")
        if not name or name.startswith("__") or "/" in name or "\\" in name or "\0" in name:
            raise ValueError(f"{function}: an array cannot be named {name!r}")
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{function}: {name} is a {type(array).__name__}, expected an array")
        if not can_be_held(array.dtype):
            raise TypeError(
                f"{function}: {name} has dtype {array.dtype}, expected float32, float64 or int64"
            )
        # safetensors writes the memory as it lies there.
        tensors[name] = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
    return tensors


def can_be_held(dtype: np.dtype[Any]) -> bool:
    """Weights, and the counters that stand beside them (BatchNorm's `num_batches_tracked`)."""
    return (dtype.kind == "f" and dtype.itemsize in (4, 8)) or (
        dtype.kind == "i" and dtype.itemsize == 8
    )
