"""CIFAR-10 from the binary version of its authors."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore.data import download as files
from nncore.data._images import Part, Split, as_unit_range, check_dtype

_VARIABLE = "NNCORE_DATA"
_FOLDER = "cifar-10-batches-bin"
_TRAINING = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_TEST = ("test_batch.bin",)
_ARCHIVE = "cifar-10-binary.tar.gz"
_SOURCES = files.Sources(
    ("https://www.cs.toronto.edu/~kriz/",),
    {_ARCHIVE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
)
_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_RECORD = 1 + _PIXELS
_CLASSES = 10


def load_cifar10(
    root: str | os.PathLike[str] | None = None,
    *,
    dtype: DTypeLike = np.float32,
    download: bool = False,
) -> Split:
    """Read CIFAR-10: 60,000 colour images of 32x32 pixels in ten classes, binary version.

    Parameters
    ----------
    root : str or path-like, optional
        Folder that holds ``cifar-10-batches-bin/`` with ``data_batch_1.bin`` to
        ``data_batch_5.bin`` and ``test_batch.bin``, or these files. Default: the environment
        variable ``NNCORE_DATA``, then the cache folder of downloads.
    dtype : float32, float64 or uint8, default float32
        Type of the images. The floating types are scaled to [0, 1]; uint8 leaves them as they are.
    download : bool, default False
        Whether to fetch the archive (170 MB) where the files are nowhere found; see `load_mnist`.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` of shape (N, 3, 32, 32), channels red, green, blue; ``y`` of shape (N,), int64:
        airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck.

    Raises
    ------
    FileNotFoundError, ImportError, OSError, TypeError
        As `load_mnist`.
    ValueError
        A file is no whole number of records of 3,073 bytes, or a label is above 9.

    Notes
    -----
    A record is one byte of label, then 1,024 bytes each of red, green and blue, row by row.
    A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    kind = check_dtype("load_cifar10", dtype, (np.float32, np.float64, np.uint8))
    folder = _find(root, download)
    training = [_read(folder / name) for name in _TRAINING]
    return _part(training, kind), _part([_read(folder / name) for name in _TEST], kind)


def _find(root: str | os.PathLike[str] | None, download: bool) -> Path:
    given = root if root is not None else os.environ.get(_VARIABLE)
    folders = [Path(given) / _FOLDER, Path(given)] if given else []
    if root is None:
        folders.append(files.cache_folder() / _FOLDER)
    missing = []
    for folder in folders:
        lacking = [name for name in _TRAINING + _TEST if not (folder / name).is_file()]
        if not lacking:
            return folder
        missing.append(f"{folder} lacks {', '.join(lacking)}")
    if not download:
        raise FileNotFoundError(
            f"load_cifar10: files not found: {'; '.join(missing)}; pass root= or set the "
            f"environment variable {_VARIABLE} to the folder that holds {_FOLDER}/, or "
            f"download=True to fetch them from {_SOURCES.mirrors[0]}{_ARCHIVE}"
        )
    target = Path(root) if root is not None else files.cache_folder()
    (archive,) = files.fetch("load_cifar10", _SOURCES, target)
    import tarfile  # here, because most runs never need it

    folder = target / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for name in _TRAINING + _TEST:  # under names of our own: nothing can leave the folder
            member = tar.extractfile(f"{_FOLDER}/{name}")
            (folder / name).write_bytes(b"" if member is None else member.read())
    return folder


def _read(path: Path) -> NDArray[np.uint8]:
    """The records of a file, (N, 3073)."""
    data = np.fromfile(path, np.uint8)
    if data.size == 0 or data.size % _RECORD:
        raise ValueError(
            f"load_cifar10: {path}: {data.size} bytes, expected a whole number of records of"
            f" {_RECORD} bytes"
        )
    records = data.reshape(-1, _RECORD)
    wrong = np.flatnonzero(records[:, 0] >= _CLASSES)
    if wrong.size:
        raise ValueError(
            f"load_cifar10: {path}: label {records[wrong[0], 0]} in record {wrong[0]}, "
            f"expected 0 to {_CLASSES - 1}"
        )
    return records


def _part(batches: list[NDArray[np.uint8]], dtype: np.dtype[Any]) -> Part:
    records = np.concatenate(batches)
    images = records[:, 1:].reshape(-1, *_SHAPE)
    labels = records[:, 0].astype(np.int64)
    if dtype == np.uint8:
        return np.ascontiguousarray(images), labels
    return as_unit_range(images, 255, dtype), labels
