"""Write src/nncore/data/digits.npz from scikit-learn's copy of the UCI 8x8 digits.

    python tools/make_digits.py [FILE]

The same input gives the same bytes with the same zlib: entries in a fixed order with a fixed
date, and no other metadata. Pixel values go from 0 to 16, one too many for half a byte; deflate
codes bytes by their frequency anyway, so plain uint8 arrays are both the simplest form and within
three percent of the order-0 entropy of the pixels (42.8 kB).
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TARGET = Path(__file__).resolve().parents[1] / "src" / "nncore" / "data" / "digits.npz"


def original() -> dict[str, NDArray[np.uint8]]:
    """Return images (1797, 8, 8) and labels (1797,) as uint8, checked to be what they should."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    if images.shape != (1797, 8, 8) or labels.shape != (1797,):
        raise SystemExit(f"make_digits: unexpected shapes {images.shape} and {labels.shape}")
    if not (np.array_equal(images, digits.images) and np.array_equal(labels, digits.target)):
        raise SystemExit("make_digits: values do not fit into a byte")
    if images.max() != 16 or labels.max() != 9:
        raise SystemExit(f"make_digits: unexpected maxima {images.max()} and {labels.max()}")
    return {"images": images, "labels": labels}


def write(path: Path, arrays: dict[str, NDArray[np.uint8]]) -> None:
    """Write an archive as numpy.savez_compressed does, but at deflate's best level."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            # A ZipInfo made by hand has the date 1980-01-01; one made from a name, the present.
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # "Unix", wherever this runs
            data = io.BytesIO()
            np.lib.format.write_array(data, array, version=(1, 0), allow_pickle=False)
            archive.writestr(entry, data.getvalue(), compresslevel=9)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    write(target, original())
    print(f"{target}: {target.stat().st_size} bytes")
