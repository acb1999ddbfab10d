"""Weights to and from a file."""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore.io import atomic
from nncore.nn.module import Module

_SUFFIXES = ".npz", ".safetensors"
# The version of what nncore writes into the metadata, and of nothing else: files without it are
# read too.
_VERSION_KEY, _VERSION = "nncore_format", 1


class Weights(NamedTuple):
    """What `load_weights` read."""

    state_dict: dict[str, NDArray[Any]]
    metadata: dict[str, str]


def save_weights(
    path: str | os.PathLike[str],
    source: Module | Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the weights of a model to a file.

    The file is there whole or not at all: after an error, a full disk or a power cut the old file
    of that name stands as it was.

    Parameters
    ----------
    path
        Its suffix decides: ``.safetensors`` (needs the package safetensors) or ``.npz``. PyTorch,
        JAX and others read the first one, `numpy.load` the second.
    source : Module or mapping of str to array
        The model, or its `state_dict()`. The arrays are float32, float64 or int64.
    metadata : mapping of str to str, optional
        Whatever should be known when the file is read.

    Raises
    ------
    TypeError
        An array or a value of the metadata is of another type.
    ValueError
        The suffix is another one, or a name is reserved.
    ImportError
        ``.safetensors`` without the package: the message has the line to run.
    OSError
        The file cannot be written.
    """
    form = _form_of("save_weights", path)
    tensors = _checked(source.state_dict() if isinstance(source, Module) else source)
    notes = {**_checked_metadata(metadata), _VERSION_KEY: str(_VERSION)}
    atomic.write_atomic(path, form.encode(tensors, notes))


def load_weights(path: str | os.PathLike[str]) -> Weights:
    """Read a file of weights: ``model.load_state_dict(load_weights(path).state_dict)``.

    Files of any origin are safe to read: no code in them is run, every size is checked against the
    file's, and memory stays below it plus a constant.

    Returns
    -------
    Weights
        ``state_dict``, arrays by name, and ``metadata``.

    Raises
    ------
    ValueError
        The file is damaged or something else than its suffix says, or written by a later version.
    ImportError
        ``.safetensors`` without the package: the message has the line to run.
    OSError
        The file cannot be read.
    """
    form = _form_of("load_weights", path)
    form.check_installed()
    file = Path(path)
    if file.exists() and not file.is_file():
        # A device has no end, a pipe no size.
        raise OSError(f"{path}: is not a regular file")
    try:
        state_dict, metadata = form.read(file)
    except ValueError as error:
        raise ValueError(f"{path}: not a weight file, or damaged: {error}") from None
    version = metadata.pop(_VERSION_KEY, str(_VERSION))
    if version != str(_VERSION):
        raise ValueError(
            f"{path}: has format version {version[:20]!r}, this nncore reads version {_VERSION}:"
            " a newer one may"
        )
    return Weights(state_dict, metadata)


def check_target(path: str | os.PathLike[str]) -> None:
    """Find out now whether `save_weights(path, ...)` will be able to write; leaves nothing behind.

    Raises
    ------
    ValueError, ImportError, OSError
        As `save_weights` would.
    """
    _form_of("save_weights", path).check_installed()
    atomic.check_writable(path)


def _form_of(function: str, path: str | os.PathLike[str]) -> ModuleType:
    """The module that reads and writes files of this suffix; loaded when first needed."""
    suffix = Path(path).suffix
    if suffix not in _SUFFIXES:
        raise ValueError(
            f"{function}: the file name must end in {' or '.join(_SUFFIXES)}, got {str(path)!r}"
        )
    return import_module(f"nncore.io.{suffix[1:]}")


def _checked(source: Any) -> dict[str, NDArray[Any]]:
    if not isinstance(source, Mapping):
        raise TypeError(
            f"save_weights: expected a Module or its state_dict(), got {type(source).__name__}"
        )
    tensors = {}
    for name, array in source.items():
        if not isinstance(name, str):
            raise TypeError(f"save_weights: the names of arrays must be strings, got {name!r}")
        if not name or name.startswith("__") or "/" in name or "\\" in name or "\0" in name:
            raise ValueError(f"save_weights: an array cannot be named {name!r}")
        if not isinstance(array, np.ndarray):
            raise TypeError(f"save_weights: {name} is a {type(array).__name__}, expected an array")
        dtype = array.dtype
        # Whole numbers are counters among the buffers.
        if (dtype.kind, dtype.itemsize) not in {("f", 4), ("f", 8), ("i", 8)}:
            raise TypeError(
                f"save_weights: {name} has dtype {dtype}, expected float32, float64 or int64"
            )
        # In C order and this machine's byte order: safetensors writes the memory as it lies there.
        tensors[name] = np.asarray(array, dtype=dtype.newbyteorder("="), order="C")
    return tensors


def _checked_metadata(metadata: Any) -> dict[str, str]:
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in metadata.items()
    ):
        raise TypeError(f"save_weights: metadata must map strings to strings, got {metadata!r}")
    if _VERSION_KEY in metadata:
        raise ValueError(f"save_weights: {_VERSION_KEY} in metadata is nncore's own")
    return dict(metadata)
