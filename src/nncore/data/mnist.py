"""MNIST from the four IDX files of its authors."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nncore.data._images import Part, Split, as_unit_range, check_dtype
from nncore.data.idx import read_idx

_VARIABLE = "NNCORE_DATA"
_FOLDER = "mnist"
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_SIDE = 28
_CLASSES = 10
_MAXIMUM = 255


def load_mnist(
    root: str | os.PathLike[str] | None = None, *, dtype: DTypeLike = np.float32
) -> Split:
    """Read the MNIST handwritten digits, 28x28 pixels, from their four IDX files.

    Nothing is downloaded. Sets published under the same file names with the same shapes and ten
    classes (Fashion-MNIST, KMNIST) are read as well.

    Parameters
    ----------
    root : str or path-like, optional
        Folder that holds ``mnist/`` with the files, or the files themselves. Default: the
        environment variable ``NNCORE_DATA``. The files are ``train-images-idx3-ubyte``,
        ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``,
        each as it is or with ``.gz``; all four are taken from one folder.
    dtype : float32, float64 or uint8, default float32
        Type of the images. The floating types are scaled to [0, 1] by dividing by 255; uint8
        gives the pixels as they are in the file, 0 to 255, in a quarter of the memory.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` of shape (N, 1, 28, 28) and type ``dtype``, ``y`` of shape (N,), int64, 0 to 9.
        N is 60,000 for training and 10,000 for testing in MNIST itself; the files decide.
        The arrays are fresh and writable at each call.

    Raises
    ------
    FileNotFoundError
        If no folder holds all four files, or ``root`` is not given and ``NNCORE_DATA`` not set.
    TypeError
        If ``dtype`` is none of the three.
    ValueError
        If a file is damaged (see ``read_idx``) or holds something else than uint8 images of
        28x28 or uint8 labels of 0 to 9, or the numbers of images and labels differ.

    Notes
    -----
    Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998,
    CC BY-SA 3.0.
    """
    kind = check_dtype("load_mnist", dtype, (np.float32, np.float64, np.uint8))
    paths = _find(root)
    return _read_part(paths[0], paths[1], kind), _read_part(paths[2], paths[3], kind)


def _find(root: str | os.PathLike[str] | None) -> list[Path]:
    """Return the paths of the four files, all from the first folder that has them."""
    given = root if root is not None else os.environ.get(_VARIABLE)
    if not given:
        raise FileNotFoundError(
            f"load_mnist: no folder given: pass root= or set the environment variable {_VARIABLE} "
            f"to the folder that holds {_FOLDER}/ with {', '.join(_FILES)} (or each with .gz)"
        )
    missing = []
    for folder in (Path(given) / _FOLDER, Path(given)):
        paths = [_plain_or_gzip(folder / name) for name in _FILES]
        found = [path for path in paths if path is not None]
        if len(found) == len(_FILES):
            return found
        lacking = ", ".join(name for name, path in zip(_FILES, paths, strict=True) if path is None)
        missing.append(f"{folder} lacks {lacking}")
    raise FileNotFoundError(
        f"load_mnist: files not found: {'; '.join(missing)} (looked for each as it is and with "
        f".gz); pass root= or set the environment variable {_VARIABLE} to the folder that holds "
        f"{_FOLDER}/"
    )


def _plain_or_gzip(path: Path) -> Path | None:
    """Return the file itself, which is read faster, else its compressed form, else None."""
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    return None


def _read_part(images_path: Path, labels_path: Path, dtype: np.dtype[Any]) -> Part:
    """Read and check the images and the labels of one part."""
    images = read_idx(images_path)
    if images.dtype != np.uint8 or images.shape[1:] != (_SIDE, _SIDE):
        raise ValueError(
            f"load_mnist: {images_path}: expected images of shape (N, {_SIDE}, {_SIDE}) and type "
            f"uint8, got shape {images.shape} and type {images.dtype.name}"
        )
    labels = read_idx(labels_path)
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise ValueError(
            f"load_mnist: {labels_path}: expected labels of shape (N,) and type uint8, "
            f"got shape {labels.shape} and type {labels.dtype.name}"
        )
    if len(images) != len(labels):
        raise ValueError(
            f"load_mnist: {labels_path}: expected one label for each of the {len(images)} images "
            f"in {images_path}, got {len(labels)}"
        )
    wrong = np.flatnonzero(labels >= _CLASSES)
    if wrong.size:
        raise ValueError(
            f"load_mnist: {labels_path}: label {labels[wrong[0]]} in row {wrong[0]}, "
            f"expected 0 to {_CLASSES - 1}"
        )
    x = images[:, np.newaxis]
    if dtype != np.uint8:
        x = as_unit_range(x, _MAXIMUM, dtype)
    return x, labels.astype(np.int64)
