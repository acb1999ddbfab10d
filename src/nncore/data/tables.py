"""The user's own data: tables in CSV files, data frames and npz files, as arrays to train on."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore.data._images import check_dtype

if TYPE_CHECKING:
    import zipfile

Column = str | int

_LARGEST_RATIO = 1032  # of deflate, reached by zeros


def load_csv(
    path: str | os.PathLike[str],
    target: Column = -1,
    *,
    delimiter: str = ",",
    header: bool | None = None,
    dtype: DTypeLike = np.float32,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read a table of numbers whose one column is the target.

    Parameters
    ----------
    path : str or path-like
        A text file in UTF-8, one sample a row.
    target : str or int
        The target's column, by its name in the header or by its number (-1 is the last).
    delimiter : str
        What stands between the columns.
    header : bool, optional
        Whether the first row has names. Default: it has where not all of its cells are numbers.
    dtype : float32 or float64

    Returns
    -------
    x, y
        x (N, columns - 1) of `dtype`. y (N,): int64 where all targets are whole numbers, or names,
        which are numbered in sorted order; else `dtype`.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    TypeError
        `dtype` is neither.
    ValueError
        Rows of different length, a cell that is no number (with its row and column), no rows, no
        such column.
    """
    kind = check_dtype("load_csv", dtype, (np.float32, np.float64))
    import csv  # here, because most runs never need it

    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file, delimiter=delimiter) if row]
    if header is None:
        header = bool(rows) and not all(_is_number(cell) for cell in rows[0])
    names = [cell.strip() for cell in rows[0]] if header and rows else None
    first = 2 if header else 1
    rows = rows[1:] if header else rows
    if not rows:
        raise ValueError(f"load_csv: {path} has no rows of numbers")
    width = len(names or rows[0])
    for number, row in enumerate(rows, first):
        if len(row) != width:
            raise ValueError(
                f"load_csv: {path}: row {number} has {len(row)} columns, expected {width}"
            )
    at = _column("load_csv", target, names, width)
    x = np.empty((len(rows), width - 1), kind)
    others = [column for column in range(width) if column != at]
    for place, column in enumerate(others):
        for number, row in enumerate(rows):
            if not _is_number(row[column]):
                named = f" ({names[column]})" if names else ""
                raise ValueError(
                    f"load_csv: {path}: row {number + first}, column {column + 1}{named}:"
                    f" {row[column]!r} is no number"
                )
            x[number, place] = float(row[column])
    return x, _targets([row[at].strip() for row in rows], kind)


def from_frame(
    frame: Any, target: Column, *, dtype: DTypeLike = np.float32
) -> tuple[NDArray[Any], NDArray[Any]]:
    """x and y of a data frame (pandas, polars or whatever has `columns` and gives its columns).

    Parameters
    ----------
    frame : data frame
    target : str or int
        The target's column, by name or number.
    dtype : float32 or float64

    Returns
    -------
    x, y
        As `load_csv`.

    Raises
    ------
    TypeError
        `frame` is no data frame; a column is not of numbers.
    ValueError
        There is no such column.
    """
    kind = check_dtype("from_frame", dtype, (np.float32, np.float64))
    if not hasattr(frame, "columns"):
        raise TypeError(f"from_frame: frame must be a data frame, got {type(frame).__name__}")
    names = list(frame.columns)
    at = _column("from_frame", target, names, len(names))
    columns = []
    for number, name in enumerate(names):
        if number == at:
            continue
        values = np.asarray(frame[name])
        if values.dtype.kind not in "fiub":
            raise TypeError(
                f"from_frame: column {name!r} has dtype {values.dtype}, expected numbers: drop it"
                " or number its values"
            )
        columns.append(values.astype(kind))
    x = np.stack(columns, axis=1) if columns else np.empty((len(frame), 0), kind)
    y = np.asarray(frame[names[at]])
    if y.dtype.kind in "fiub":
        return x, _whole(y, kind)
    return x, _targets([str(value) for value in y], kind)


def load_npz(
    path: str | os.PathLike[str], names: Sequence[str] = ("x", "y")
) -> tuple[NDArray[Any], ...]:
    """The arrays of an npz file by their names, by default x and y; no pickled objects.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is no npz file, has no such array (the message lists what it has), holds objects, or
        the arrays have different numbers of rows.
    """
    import zipfile  # here, because most runs never need them
    import zlib

    try:
        with zipfile.ZipFile(path) as file:
            held = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            missing = [name for name in names if name not in held]
            if missing:
                raise ValueError(f"it has no {', '.join(missing)}, but {', '.join(held)}")
            arrays = tuple(_read_entry(file, held[name]) for name in names)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"load_npz: {path}: {error}") from None
    if len({len(array) if array.ndim else -1 for array in arrays}) > 1:
        shapes = ", ".join(f"{n} {a.shape}" for n, a in zip(names, arrays, strict=True))
        raise ValueError(f"load_npz: {path}: arrays of different numbers of rows: {shapes}")
    return arrays


def _read_entry(file: "zipfile.ZipFile", info: "zipfile.ZipInfo") -> NDArray[Any]:
    """An array; memory is taken for what the file can really hold, whatever its headers say."""
    if info.file_size > _LARGEST_RATIO * info.compress_size + 1024:
        raise ValueError(f"{info.filename}: {info.file_size} bytes from {info.compress_size}")
    with file.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, kind = read(stream)
        size = math.prod(shape) * kind.itemsize
        if kind.hasobject:
            raise ValueError(f"{info.filename} holds objects, expected numbers")
        if size > info.file_size:
            raise ValueError(f"{info.filename}: {size} bytes announced, it has {info.file_size}")
    with file.open(info) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _column(function: str, target: Column, names: Sequence[Any] | None, width: int) -> int:
    if isinstance(target, str):
        if names is None or target not in names:
            known = ", ".join(map(str, names)) if names else "no names: give its number"
            raise ValueError(f"{function}: no column {target!r}, there are {known}")
        return list(names).index(target)
    if not -width <= target < width:
        raise ValueError(f"{function}: no column {target}, there are {width}")
    return target % width


def _targets(cells: list[str], kind: np.dtype[Any]) -> NDArray[Any]:
    if all(_is_number(cell) for cell in cells):
        return _whole(np.array([float(cell) for cell in cells]), kind)
    return np.unique(np.array(cells), return_inverse=True)[1].astype(np.int64)


def _whole(values: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Labels where all are whole numbers that int64 holds, else numbers."""
    if values.dtype.kind != "f":
        return values.astype(np.int64)
    whole = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**53)
    return values.astype(np.int64 if whole.all() else kind)
