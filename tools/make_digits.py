"""Write src/nncore/data/digits.npz from scikit-learn's copy of the UCI 8x8 digits.

    python tools/make_digits.py [FILE]

The same input gives the same bytes with the same zlib: entries in a fixed order with a fixed
date, and no other metadata. The images lie pixel by pixel (Fortran order): how often a pixel has
each of its 17 values is a matter of where it is, and deflate codes bytes by their frequency, in
blocks that `LITERALS` makes about as long as there are digits. Matches are of no use here, so
only runs are looked for (Z_RLE), which zipfile cannot be told: hence an archive made by hand. It
comes within a tenth of the pixels' entropy (34.7 kB), where plain order and savez need 44.1 kB.
"""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LITERALS = 5  # zlib's memLevel: a block ends after 2 ** (5 + 6) literals
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


def deflated(data: bytes) -> bytes:
    """Return the shorter of two raw deflate streams: for repeated bytes, for their frequencies."""
    streams = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE):
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15, LITERALS, strategy)
        streams.append(deflate.compress(data) + deflate.flush())
    return min(streams, key=len)


def write(path: Path, arrays: dict[str, NDArray[np.uint8]]) -> None:
    """Write a zip archive of .npy files, as numpy.savez_compressed does, each in Fortran order."""
    archive, directory = b"", b""
    for name, array in arrays.items():
        entry, file = f"{name}.npy".encode(), io.BytesIO()
        np.lib.format.write_array(
            file, np.asfortranarray(array), version=(1, 0), allow_pickle=False
        )
        data = file.getvalue()
        packed = deflated(data)
        # Version 2.0, deflate, the date 1980-01-01; then checksum, sizes, length of the name.
        sizes = zlib.crc32(data), len(packed), len(data), len(entry)
        header = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0x21, *sizes, 0)
        unix = struct.pack("<BB", 20, 3)
        place = struct.pack("<HHHII", 0, 0, 0, 0o600 << 16, len(archive))
        directory += b"PK\1\2" + unix + header + place + entry
        archive += b"PK\3\4" + header + entry + packed
    count = len(arrays)
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(archive), 0)
    path.write_bytes(archive + directory + b"PK\5\6" + end)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    write(target, original())
    print(f"{target}: {target.stat().st_size} bytes")
