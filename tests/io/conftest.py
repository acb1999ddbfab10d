"""What the tests of weight files share."""

from pathlib import Path

import numpy as np
import pytest

SUFFIXES = [".npz", ".safetensors"]


@pytest.fixture(params=SUFFIXES)
def file(request, tmp_path: Path) -> Path:
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"weights{request.param}"


@pytest.fixture
def state() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "0.weight": rng.standard_normal((4, 3)).astype(np.float32),
        "body.bias": rng.standard_normal(5),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "file": rng.standard_normal((2, 3, 4, 5)).transpose(0, 3, 1, 2),
    }
