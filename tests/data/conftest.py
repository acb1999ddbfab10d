"""What the tests of the data readers share: a writer of IDX files and the folder with MNIST."""

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def _encode(array: np.ndarray) -> bytes:
    """Write the format by its description, independently of the reader."""
    code = _CODES[array.dtype.str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(scope="session")
def encode_idx() -> Callable[[np.ndarray], bytes]:
    return _encode


@pytest.fixture(scope="session")
def write_mnist() -> Callable[..., dict[str, np.ndarray]]:
    """Write a small folder of MNIST's form; keyword arguments replace one file's array or bytes."""

    def write(
        folder: Path, *, compress: bool = False, **replaced: np.ndarray | bytes
    ) -> dict[str, np.ndarray]:
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        contents: dict = {
            "train_images": rng.integers(0, 256, (30, 28, 28), np.uint8),
            "train_labels": (np.arange(30) % 10).astype(np.uint8),
            "t10k_images": rng.integers(0, 256, (20, 28, 28), np.uint8),
            "t10k_labels": (np.arange(20) * 3 % 10).astype(np.uint8),
        }
        contents.update(replaced)
        for key, value in contents.items():
            dims = 3 if key.endswith("images") else 1
            path = folder / f"{key.replace('_', '-')}-idx{dims}-ubyte"
            data = value if isinstance(value, bytes) else _encode(value)
            if compress:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(data))
            else:
                path.write_bytes(data)
        return contents

    return write


@pytest.fixture(scope="session")
def mnist_root() -> str:
    root = os.environ.get("NNCORE_DATA")
    if not root:
        pytest.skip("NNCORE_DATA is not set: no MNIST files to read")
    return root
