"""Weights to and from a file."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from nncore.io import atomic, forms
from nncore.nn.module import Module


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
        The model, or its `state_dict()`. The arrays are float32, float64, or int64 (counters such
        as BatchNorm's).
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
    forms.form_of("save_weights", path)
    tensors = _checked(source.state_dict() if isinstance(source, Module) else source)
    forms.write("save_weights", path, tensors, _checked_metadata(metadata))


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
    return Weights(*forms.read("load_weights", path))


def check_target(path: str | os.PathLike[str]) -> None:
    """Find out now whether `save_weights(path, ...)` will be able to write; leaves nothing behind.

    Raises
    ------
    ValueError, ImportError, OSError
        As `save_weights` would.
    """
    forms.form_of("save_weights", path).check_installed()
    atomic.check_writable(path)


def _checked(source: Any) -> dict[str, NDArray[Any]]:
    if not isinstance(source, Mapping):
        raise TypeError(
            f"save_weights: expected a Module or its state_dict(), got {type(source).__name__}"
        )
    return forms.checked("save_weights", source)


def _checked_metadata(metadata: Any) -> dict[str, str]:
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in metadata.items()
    ):
        raise TypeError(f"save_weights: metadata must map strings to strings, got {metadata!r}")
    if forms.VERSION_KEY in metadata:
        raise ValueError(f"save_weights: {forms.VERSION_KEY} in metadata is nncore's own")
    return dict(metadata)
