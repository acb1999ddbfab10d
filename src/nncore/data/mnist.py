"""MNIST and the sets published in its form: four IDX files of 28x28 images in ten classes."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from nncore.data import download as files
from nncore.data._images import Part, Split, as_unit_range, check_dtype
from nncore.data.idx import read_idx

_VARIABLE = "NNCORE_DATA"
_SIDE = 28
_CLASSES = 10
_MAXIMUM = 255


class _Set(NamedTuple):
    """Where the files lie, and what they are called there, training images first."""

    function: str
    folder: str
    sources: files.Sources


_MNIST = _Set(
    "load_mnist",
    "mnist",
    files.Sources(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            "train-images-idx3-ubyte.gz": (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
            ),
            "train-labels-idx1-ubyte.gz": (
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
            ),
        },
    ),
)
_FASHION = _Set(
    "load_fashion_mnist",
    "fashion-mnist",
    files.Sources(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        {
            "train-images-idx3-ubyte.gz": (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
            ),
            "train-labels-idx1-ubyte.gz": (
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
            ),
        },
    ),
)
_KMNIST = _Set(
    "load_kmnist",
    "kmnist",
    files.Sources(
        (
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ),
        {
            "train-images-idx3-ubyte.gz": (
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"
            ),
            "train-labels-idx1-ubyte.gz": (
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"
            ),
        },
    ),
)


def load_mnist(
    root: str | os.PathLike[str] | None = None,
    *,
    dtype: DTypeLike = np.float32,
    download: bool = False,
) -> Split:
    """Read the MNIST handwritten digits, 28x28 pixels, from their four IDX files.

    Parameters
    ----------
    root : str or path-like, optional
        Folder that holds ``mnist/`` with the files, or the files themselves. Default: the
        environment variable ``NNCORE_DATA``, then the cache folder of downloads. The files are
        ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
        ``t10k-labels-idx1-ubyte``, each as it is or with ``.gz``; all four are taken from one
        folder.
    dtype : float32, float64 or uint8, default float32
        Type of the images. The floating types are scaled to [0, 1] by dividing by 255; uint8
        gives the pixels as they are in the file, 0 to 255, in a quarter of the memory: training
        scales them on the way.
    download : bool, default False
        Whether to fetch files that are nowhere found (about 12 MB) into ``root``, or into the
        cache folder, through the package pooch; each must have the known SHA-256.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` of shape (N, 1, 28, 28) and type ``dtype``, ``y`` of shape (N,), int64, 0 to 9.
        N is 60,000 for training and 10,000 for testing in MNIST itself; the files decide.
        The arrays are fresh and writable at each call.

    Raises
    ------
    FileNotFoundError
        If no folder holds all four files: the message says where they were looked for and where
        they can be had.
    ImportError
        ``download`` without the package pooch.
    OSError
        The download failed from everywhere: the message names file, addresses and folder.
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
    return _load(_MNIST, root, dtype, download)


def load_fashion_mnist(
    root: str | os.PathLike[str] | None = None,
    *,
    dtype: DTypeLike = np.float32,
    download: bool = False,
) -> Split:
    """Read Fashion-MNIST: 70,000 grey images of clothes, 28x28, in ten classes.

    As `load_mnist`, the folder being ``fashion-mnist/`` and a download about 31 MB. The classes
    are T-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot.

    Notes
    -----
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms", 2017, MIT license.
    """
    return _load(_FASHION, root, dtype, download)


def load_kmnist(
    root: str | os.PathLike[str] | None = None,
    *,
    dtype: DTypeLike = np.float32,
    download: bool = False,
) -> Split:
    """Read Kuzushiji-MNIST: 70,000 handwritten Japanese characters, 28x28, in ten classes.

    As `load_mnist`, the folder being ``kmnist/`` and a download about 21 MB. The classes are o, ki,
    su, tsu, na, ha, ma, ya, re, wo.

    Notes
    -----
    T. Clanuwat and others, "Deep learning for classical Japanese literature", 2018, CC BY-SA 4.0.
    """
    return _load(_KMNIST, root, dtype, download)


def _load(
    known: _Set, root: str | os.PathLike[str] | None, dtype: DTypeLike, download: bool
) -> Split:
    kind = check_dtype(known.function, dtype, (np.float32, np.float64, np.uint8))
    paths = _find(known, root, download)
    return (
        _read_part(known.function, paths[0], paths[1], kind),
        _read_part(known.function, paths[2], paths[3], kind),
    )


def _find(known: _Set, root: str | os.PathLike[str] | None, download: bool) -> list[Path]:
    """Return the paths of the four files, all from the first folder that has them."""
    names = [name.removesuffix(".gz") for name in known.sources.sha256]
    given = root if root is not None else os.environ.get(_VARIABLE)
    cache = files.cache_folder() / known.folder
    folders = [Path(given) / known.folder, Path(given)] if given else []
    if root is None:
        folders.append(cache)
    missing = []
    for folder in folders:
        paths = [_plain_or_gzip(folder / name) for name in names]
        found = [path for path in paths if path is not None]
        if len(found) == len(names):
            return found
        lacking = ", ".join(name for name, path in zip(names, paths, strict=True) if path is None)
        missing.append(f"{folder} lacks {lacking}")
    if download:
        target = cache if root is None else Path(root) / known.folder
        return files.fetch(known.function, known.sources, target)
    where = (
        f"pass root= or set the environment variable {_VARIABLE} to the folder that holds "
        f"{known.folder}/, or download=True to fetch them from {known.sources.mirrors[0]}"
    )
    raise FileNotFoundError(
        f"{known.function}: files not found: {'; '.join(missing)} (looked for each as it is and "
        f"with .gz); {where}"
    )


def _plain_or_gzip(path: Path) -> Path | None:
    """Return the file itself, which is read faster, else its compressed form, else None."""
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    return None


def _read_part(function: str, images_path: Path, labels_path: Path, dtype: np.dtype[Any]) -> Part:
    """Read and check the images and the labels of one part."""
    images = read_idx(images_path)
    if images.dtype != np.uint8 or images.shape[1:] != (_SIDE, _SIDE):
        raise ValueError(
            f"{function}: {images_path}: expected images of shape (N, {_SIDE}, {_SIDE}) and type "
            f"uint8, got shape {images.shape} and type {images.dtype.name}"
        )
    labels = read_idx(labels_path)
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise ValueError(
            f"{function}: {labels_path}: expected labels of shape (N,) and type uint8, "
            f"got shape {labels.shape} and type {labels.dtype.name}"
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{function}: {labels_path}: expected one label for each of the {len(images)} images "
            f"in {images_path}, got {len(labels)}"
        )
    wrong = np.flatnonzero(labels >= _CLASSES)
    if wrong.size:
        raise ValueError(
            f"{function}: {labels_path}: label {labels[wrong[0]]} in row {wrong[0]}, "
            f"expected 0 to {_CLASSES - 1}"
        )
    x = images[:, np.newaxis]
    if dtype != np.uint8:
        x = as_unit_range(x, _MAXIMUM, dtype)
    return x, labels.astype(np.int64)
