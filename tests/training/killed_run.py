"""A training run that is killed: a program for `test_resume_after_kill.py`.

Usage: killed_run.py digits|mnist CHECKPOINT RESULT THREADS. Goes on from the checkpoint if there is
one, says "begin" when it trains, and writes the final weights and the history's losses to RESULT.
"""

import sys

import numpy as np

import nncore as nc
from nncore import nn, optim
from nncore.training import Checkpoint, EarlyStopping, LearningRateScheduler


def network(image: bool) -> nn.Sequential:
    if not image:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    return nn.Sequential(
        nn.Conv2d(1, 12, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(600, 10),
    )  # fmt: skip


def main(data: str, checkpoint: str, result: str, threads: str) -> None:
    nc.set_num_threads(int(threads))
    large = data == "mnist"
    (x, y), test = nc.data.load_mnist() if large else nc.data.load_digits()
    if large:
        x, y, test = x[:12000], y[:12000], (test[0][:1000], test[1][:1000])
    model = network(image=large)
    model.reset_parameters(0)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    trainer = nc.Trainer(model, nn.CrossEntropyLoss(), optimizer, seed=0, metrics=["f1"])
    print("begin", flush=True)
    trainer.fit(
        x, y, 3, 64, validation_data=test, verbose=0, resume=True,
        callbacks=[
            LearningRateScheduler(lambda epoch, rate: rate * 0.8),
            EarlyStopping(patience=9, restore_best_weights=True),
            Checkpoint(checkpoint, every_batches=20 if large else 2),
        ],
    )  # fmt: skip
    history = trainer.history.history
    np.savez(
        result,
        **model.state_dict(),
        **{f"history.{name}": history[name] for name in ("loss", "val_loss", "f1", "lr")},
        steps=trainer.steps,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
