"""Reader of the IDX format, in which MNIST and its relatives are published."""

import math
import os
import sys
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The third byte of the file. Values of more than one byte are big-endian on disk.
_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_MAX_DIMS = 64  # NumPy's own limit
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an IDX file, plain or compressed by gzip, into an array.

    Parameters
    ----------
    path : str or path-like
        The file. Whether it is compressed is seen from its first two bytes, not from its name
        (an IDX file begins with two zeros, so there is no doubt).

    Returns
    -------
    ndarray
        A fresh, writable, C-contiguous array with the shape that the file states, of type uint8,
        int8, int16, int32, float32 or float64 in the byte order of this machine.

    Raises
    ------
    FileNotFoundError
        If there is no such file; other errors of the operating system pass through as well.
    ValueError
        If the file is not a whole IDX file and nothing else: first two bytes not zero, unknown
        type code, number of dimensions not 1 to 64, dimensions whose product no array can have,
        a header or data cut short, bytes after the data, damaged or truncated gzip data. The
        message names the file, the field, what it holds and what was expected.

    Notes
    -----
    The format, from the MNIST page of Y. LeCun, C. Cortes and C. Burges::

        byte 0, 1    0
        byte 2       type: 0x08 uint8, 0x09 int8, 0x0B int16, 0x0C int32, 0x0D float32, 0x0E float64
        byte 3       number of dimensions
        4 bytes each size of a dimension, big-endian; read as unsigned
        the rest     the values, big-endian, last dimension fastest

    Memory is taken as data arrive, never because the header promises some: a header that lies
    about the size costs at most the bytes that are really there, and reading stops at the first
    byte too many. Zero bytes that pad the end of a gzip file are ignored, as gzip itself does.
    """
    name = os.fspath(path)
    with Path(path).open("rb") as file:
        if file.peek(2)[:2] != _GZIP_MAGIC:
            return _parse(file, name)

        import gzip  # here, because most runs never need it
        import zlib

        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                return _parse(stream, name)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"read_idx: {name}: gzip data damaged or cut short: {error}"
            ) from error


def _parse(stream: BufferedIOBase, name: str) -> NDArray[Any]:
    """Read header and data from an open, uncompressed stream."""
    dtype, shape = _read_header(stream, name)
    # Zeros are left out of the product: NumPy wants the rest to fit even when one of them is 0.
    if math.prod(size or 1 for size in shape) * dtype.itemsize > sys.maxsize:
        raise ValueError(
            f"read_idx: {name}: dimensions {shape} of {dtype.name} exceed the largest array, "
            f"expected at most {sys.maxsize} bytes"
        )
    data = _read_data(stream, name, dtype, shape)
    # The array keeps the bytearray as its memory: it is writable, and nothing is copied.
    array = np.frombuffer(data, dtype).reshape(shape)
    if not dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return array


def _read_header(stream: BufferedIOBase, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Read and check the type and the dimensions."""
    magic = _read_up_to(stream, 4)
    if len(magic) < 4:
        raise ValueError(
            f"read_idx: {name}: header cut short in the magic number: "
            f"got {len(magic)} bytes, expected 4"
        )
    code, ndim = magic[2:]
    if magic[:2] != b"\0\0":
        raise ValueError(f"read_idx: {name}: bytes 0 and 1 must be 0, got 0x{magic[:2].hex()}")
    if code not in _TYPES:
        known = ", ".join(f"0x{key:02X}" for key in _TYPES)
        raise ValueError(f"read_idx: {name}: type code (byte 2) must be {known}, got 0x{code:02X}")
    if not 1 <= ndim <= _MAX_DIMS:
        raise ValueError(
            f"read_idx: {name}: number of dimensions (byte 3) must be 1 to {_MAX_DIMS}, got {ndim}"
        )
    sizes = []
    for index in range(ndim):
        field = _read_up_to(stream, 4)
        if len(field) < 4:
            raise ValueError(
                f"read_idx: {name}: header cut short in dimension {index} of {ndim}: "
                f"got {len(field)} bytes, expected 4"
            )
        sizes.append(int.from_bytes(field, "big"))
    return _TYPES[code], tuple(sizes)


def _read_data(
    stream: BufferedIOBase, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> bytearray:
    """Read exactly the values that the header announces, and see that nothing follows."""
    expected = math.prod(shape) * dtype.itemsize
    data = _read_up_to(stream, expected)
    if len(data) < expected:
        raise ValueError(
            f"read_idx: {name}: data cut short: got {len(data)} bytes, "
            f"expected {expected} for {shape} of {dtype.name}"
        )
    # Also what makes gzip check the length and the checksum at its end.
    if stream.read(1):
        raise ValueError(
            f"read_idx: {name}: bytes after the data: got more than {expected}, "
            f"expected exactly these for {shape} of {dtype.name}"
        )
    return data


def _read_up_to(stream: BufferedIOBase, count: int) -> bytearray:
    """Read ``count`` bytes, fewer at the end of the stream, taking memory as they arrive."""
    data = bytearray()
    while len(data) < count:
        chunk = stream.read(min(_CHUNK, count - len(data)))
        if not chunk:
            break
        data += chunk
    return data
