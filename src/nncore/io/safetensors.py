"""The safetensors form of a weight file, through the library of that name."""

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def check_installed() -> None:
    """Raise ImportError with the line to run where the package is missing."""
    try:
        import safetensors.numpy  # noqa: F401
    except ImportError:
        raise ImportError(
            'safetensors files need the package safetensors: pip install "nncore-cpu[io]"'
            " (files that end in .npz need nothing)"
        ) from None


def encode(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """The bytes of the file."""
    check_installed()
    from safetensors.numpy import save

    return bytes(save(dict(tensors), dict(metadata)))


def read(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, str]]:
    """The arrays and metadata in a file, which may come from anywhere.

    Raises
    ------
    ValueError
        Anything about it is not as it should be.
    """
    check_installed()
    from safetensors import SafetensorError, safe_open

    tensors: Arrays = {}
    name = ""
    try:
        # The library checks the header, and that the arrays lie within the file without gaps or
        # overlap.
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118
                tensors[name] = file.get_tensor(name)
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    except (TypeError, KeyError, AttributeError):
        raise ValueError(f"{name} has an element type that NumPy lacks") from None
    return tensors, metadata
