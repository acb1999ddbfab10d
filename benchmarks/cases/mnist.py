"""MNIST from beginning to end: the notes' network, its accuracy on the test set beside the time.

    fit     three epochs of Adam over arrays in memory, batches of 64, shuffled
    recipe  the command of the README: six epochs, each image moved by up to two pixels either way
            anew in each epoch, the rate of Adam changed at each batch by one cycle

Ours goes through `Trainer.fit`, of the recipe with `DataLoader`. PyTorch's is the plain loop over
the same arrays as tensors, fused Adam; there a batch is moved by one indexing of a view of all
windows of the padded images, not sample by sample. Both measure the test set after each epoch.
They take turns epoch by epoch, and start from the same weights; orders and shifts are each one's
own. The row shows the time of one step, evaluation included; a table below it the whole time and
the accuracy, of which the largest relative difference may be 0.3 %.
"""

from __future__ import annotations

import gzip
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.case import Arrays, Case, aligned_copy
from benchmarks.cases.networks import NOTES_CNN

if TYPE_CHECKING:
    import numpy as np

SHIFT = 2
"""Pixels by which the recipe moves images."""
BATCH, SAMPLES = 64, 60_000
BATCHES = math.ceil(SAMPLES / BATCH)
PARTS = {"": "train", "test_": "t10k"}


@dataclass(frozen=True)
class MnistCase(Case):
    """A case whose data are read from the folder ``mnist`` within ``NNCORE_DATA``."""

    def arrays(self) -> Arrays:
        import numpy as np

        arrays = super().arrays()
        for name, part in PARTS.items():
            images = _values(f"{part}-images-idx3-ubyte", header=16).reshape(-1, 1, 28, 28)
            arrays[f"{name}x"] = aligned_copy(images.astype(np.float32) / np.float32(255))
            arrays[f"{name}y"] = _values(f"{part}-labels-idx1-ubyte", header=8).astype(np.int64)
        return arrays


def _values(name: str, header: int) -> np.ndarray:
    """The bytes of an IDX file, which may be compressed."""
    import numpy as np

    folder = Path(os.environ.get("NNCORE_DATA", "")) / "mnist"
    for file, opened in ((folder / name, Path.open), (folder / f"{name}.gz", gzip.open)):
        if file.is_file():
            with opened(file, "rb") as stream:
                return np.frombuffer(stream.read(), np.uint8, offset=header)
    raise FileNotFoundError(f"{name} is not in {folder}: set NNCORE_DATA to the folder above mnist")


def _case(kind: str, epochs: int, **arguments: Any) -> MnistCase:
    return MnistCase(
        family="mnist",
        name=f"notes' CNN Adam b{BATCH} {kind}, {epochs} epochs",
        operation=f"mnist.{kind}",
        inputs=NOTES_CNN.weights(),
        options={
            "network": NOTES_CNN,
            "optimizer": "Adam",
            "arguments": arguments,
            "batch": BATCH,
            "epochs": epochs,
        },
        flops=NOTES_CNN.training_flops(BATCH),
        tolerance=3e-3,
        runs_on=epochs,
    )


CASES = (_case("fit", 3, lr=1e-3), _case("recipe", 6, lr=0.01))
