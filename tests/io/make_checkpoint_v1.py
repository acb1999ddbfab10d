"""Makes the checkpoints of format version 1 in `files/`, which every later version must read.

Run once, by the nncore that wrote version 1: python tests/io/make_checkpoint_v1.py. It stands here
to say what is in them; a later version makes files of its own, and leaves these.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np

import nncore as nc
from nncore import nn, optim
from nncore.training import EarlyStopping, LambdaCallback

FILES = Path(__file__).with_name("files")


def parts() -> tuple[nc.Trainer, np.ndarray, np.ndarray]:
    model = nn.Sequential(nn.Linear(3, 4, seed=1), nn.Tanh(), nn.Linear(4, 2, seed=2))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    trainer = nc.Trainer(model, nn.CrossEntropyLoss(), optimizer, seed=7, metrics=["f1"])
    x = np.arange(30, dtype=np.float32).reshape(10, 3) % 7 - 3
    return trainer, x, np.arange(10) % 2


def broken_off() -> nc.Trainer:
    """A run that was left after two batches of the second epoch."""
    trainer, x, y = parts()

    def leave(batch: int, logs: dict[str, float]) -> None:
        if len(trainer.history) == 1 and batch == 1:
            raise KeyboardInterrupt

    callbacks = [
        EarlyStopping("loss", patience=2, restore_best_weights=True),
        LambdaCallback(on_train_batch_end=leave),
    ]
    with suppress(KeyboardInterrupt):
        trainer.fit(x, y, 3, 4, verbose=0, callbacks=callbacks)
    return trainer


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    for suffix in ("npz", "safetensors"):
        broken_off().save_checkpoint(FILES / f"checkpoint-v1.{suffix}")
