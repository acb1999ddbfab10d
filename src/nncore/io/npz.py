"""The ``.npz`` form of a weight file: a zip of uncompressed ``.npy`` arrays, one a parameter.

`numpy.load` opens what is written here, and what `numpy.savez` wrote is read here. The reader is
our own, because `numpy.load` allocates what a header asks for before it looks at the data.
"""

import io
import json
import os
import struct
import zipfile
from collections.abc import Mapping
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nncore.io.forms import can_be_held

Arrays = dict[str, NDArray[Any]]

# The entry that holds the metadata, as UTF-8 bytes of a JSON object from strings to strings.
_METADATA = "__metadata__"
# The same weights give the same bytes, whenever they are written.
_DATE = (1980, 1, 1, 0, 0, 0)
_PIECE = 2**16
_HELD = "float32, float64 or int64"


def check_installed() -> None:
    """Nothing to install: the standard library and NumPy do it."""


def encode(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """The bytes of the file."""
    text = json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True)
    entries = {_METADATA: np.frombuffer(text.encode(), dtype=np.uint8), **tensors}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in entries.items():
            entry = zipfile.ZipInfo(f"{name}.npy", _DATE)
            with archive.open(entry, "w", force_zip64=array.nbytes >= 2**31) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return buffer.getvalue()


def read(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, str]]:
    """The arrays and metadata in a file, which may come from anywhere.

    Memory stays below the size of the file plus a constant: entries are uncompressed, their sizes
    are added up before the first one is read, and each is read into its array.

    Raises
    ------
    ValueError
        Anything about it is not as it should be.
    """
    with open(path, "rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size)
        # What zipfile and NumPy's header reader answer to damaged bytes.
        except (
            zipfile.BadZipFile, EOFError, KeyError, IndexError, OverflowError, RuntimeError,
            NotImplementedError, SyntaxError, TypeError, OSError, struct.error,
        ) as error:  # fmt: skip
            raise ValueError(str(error) or type(error).__name__) from None


def _read(file: BinaryIO, size: int) -> tuple[Arrays, dict[str, str]]:
    tensors: Arrays = {}
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        _check_entries(entries, size)
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            with archive.open(entry) as content:
                tensors[name] = _read_array(name, content, entry.file_size)
    packed = tensors.pop(_METADATA, None)
    for name, array in tensors.items():
        if not can_be_held(array.dtype):
            raise ValueError(f"{name} has dtype {array.dtype}, expected {_HELD}")
    return tensors, {} if packed is None else _decode_metadata(packed)


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise ValueError(
                f"{entry.filename} is compressed, expected arrays as numpy.savez writes them"
            )
        if entry.flag_bits & 1:
            raise ValueError(f"{entry.filename} is encrypted")
        if not entry.filename.endswith(".npy") or entry.filename in seen:
            raise ValueError(
                f"unexpected entry {entry.filename!r}, expected each array once, as NAME.npy"
            )
        seen.add(entry.filename)
    # Entries may overlap in the file: without this each could claim all of it.
    total = sum(entry.file_size for entry in entries)
    if total > size:
        raise ValueError(f"the arrays claim {total} bytes, more than the file's {size}")


def _read_array(name: str, file: IO[bytes], size: int) -> NDArray[Any]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"{name} has format version {version}, expected (1, 0) or (2, 0)")
    if not can_be_held(dtype) and dtype != np.uint8:
        raise ValueError(f"{name} has dtype {dtype}, expected {_HELD}")
    expected = dtype.itemsize
    for extent in shape:
        expected *= extent
    there = size - file.tell()
    # Compared before anything is allocated for it.
    if there != expected:
        raise ValueError(
            f"{name} of shape {shape} and dtype {dtype} has {there} bytes, expected {expected}"
        )
    array = np.empty(shape[::-1] if fortran else shape, dtype)
    flat = array.reshape(-1).view(np.uint8).data
    at = 0
    while at < expected:
        # In pieces, since `readinto` of an entry goes through memory of its own; the last one has
        # the CRC compared.
        piece = file.read(min(_PIECE, expected - at))
        if not piece:
            raise EOFError(f"{name} ends after {at} bytes, expected {expected}")
        flat[at : at + len(piece)] = piece
        at += len(piece)
    if fortran:
        array = array.transpose()
    return np.require(array, dtype=dtype.newbyteorder("="), requirements=["C"])


def _decode_metadata(packed: NDArray[Any]) -> dict[str, str]:
    if packed.dtype != np.uint8 or packed.ndim != 1:
        raise ValueError(
            f"{_METADATA} has dtype {packed.dtype} and shape {packed.shape}, expected bytes"
        )
    try:
        metadata = json.loads(packed.tobytes().decode())
    except (ValueError, RecursionError):
        raise ValueError(f"{_METADATA} is not JSON") from None
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise ValueError(f"{_METADATA} is not an object of strings")
    return metadata
