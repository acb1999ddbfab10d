"""The 8x8 handwritten digits that travel inside the package."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore.data._images import Split, as_unit_range, check_dtype

_CLASSES = 10
_MAXIMUM = 16
_EVERY, _FIRST = 5, 2


def load_digits(*, dtype: DTypeLike = np.float32) -> Split:
    """Return the 1,797 handwritten digits of 8x8 pixels, split for training and testing.

    Needs neither network nor any other package: the images are part of nncore.

    Parameters
    ----------
    dtype : float32 or float64, default float32
        Type of the images.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` of shape (N, 1, 8, 8) and type ``dtype``, in [0, 1]: the number of ink pixels, 0 to
        16, in each 4x4 block of the scanned digit, divided by 16. ``y`` of shape (N,), int64,
        0 to 9. N is 1,438 for training and 359 for testing. The arrays are fresh and writable
        at each call.

    Raises
    ------
    TypeError
        If ``dtype`` is neither float32 nor float64.

    Notes
    -----
    The split is fixed: of each class, in the order of the data set, the third sample of every
    five is a test sample (ranks 2, 7, 12, ... counted from 0), so that each class gives one
    fifth of its samples, rounded to the nearest, to the test set. No random numbers are
    involved, and within each part the order of the data set is kept: shuffle before training.
    Both parts hold digits of the same 13 people, so the test error is that for new digits by
    known writers.

    Division by 16 is exact: ``16 * x`` gives back the integers, and
    ``(16 * x).reshape(len(x), 64)`` the layout of scikit-learn's function of this name.

    The data are the test part of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten
    Digits", UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49, licensed
    CC BY 4.0; see ``ATTRIBUTION.md`` beside this file.

    Examples
    --------
    >>> from nncore.data import load_digits
    >>> (x_train, y_train), (x_test, y_test) = load_digits()
    >>> x_train.shape, x_test.shape
    ((1438, 1, 8, 8), (359, 1, 8, 8))
    """
    kind = check_dtype("load_digits", dtype, (np.float32, np.float64))
    images, labels = _read_package_file()
    x = as_unit_range(images[:, np.newaxis], _MAXIMUM, kind)
    y = labels.astype(np.int64)
    test = _test_rows(labels)
    return (x[~test], y[~test]), (x[test], y[test])


def _read_package_file() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (1797, 8, 8), 0..16, and labels (1797,), both uint8, in the original order."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        return np.ascontiguousarray(file["images"]), file["labels"]  # stored pixel by pixel


def _test_rows(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return True for the rows of the test set, by the rule in the notes of ``load_digits``."""
    test = np.zeros(len(labels), dtype=np.bool_)
    for digit in range(_CLASSES):
        rows = np.flatnonzero(labels == digit)
        test[rows[_FIRST::_EVERY]] = True
    return test
