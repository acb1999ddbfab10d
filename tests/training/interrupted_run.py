"""A training run that gets a Ctrl-C: a program for `test_interrupt.py`.

Usage: interrupted_run.py CHECKPOINT. Says "begin" when it trains on batches that take long, and
when it has been interrupted the time (`time.monotonic`) at which it had control back, and what it
found in order then.
"""

import signal
import sys
import time

import numpy as np

import nncore as nc
from nncore import nn, optim


def main(checkpoint: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    draw = np.random.default_rng(0)
    x = draw.standard_normal((4096, 3, 32, 32), np.float32)
    y = draw.integers(0, 10, len(x))
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2048, 10),
    )  # fmt: skip
    model.reset_parameters(0)
    trainer = nc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), seed=0)
    trainer.fit(x[:256], y[:256], batch_size=128, verbose=0)
    print("begin", flush=True)
    try:
        trainer.fit(x, y, epochs=1000, batch_size=512, verbose=0)
    except KeyboardInterrupt:
        back = time.monotonic()
    else:
        sys.exit("was not interrupted")
    epochs, steps = len(trainer.history), trainer.steps
    assert all(np.isfinite(loss) for loss in trainer.history.history["loss"])
    assert all(np.isfinite(parameter.data).all() for parameter in model.parameters())
    assert not any(parameter.grad.any() for parameter in model.parameters())
    trainer.save_checkpoint(checkpoint)
    probabilities = trainer.predict(x[:64])
    resumed = nc.Trainer(model, nn.CrossEntropyLoss(), trainer.optimizer, seed=0)
    for parameter in model.parameters():
        parameter.data[...] = 0
    resumed.load_checkpoint(checkpoint)
    assert np.array_equal(resumed.predict(x[:64]), probabilities)
    assert (len(resumed.history), resumed.steps) == (epochs, steps)
    trainer.fit(x[:256], y[:256], batch_size=128, verbose=0)  # and it goes on
    assert len(trainer.history) == epochs + 1
    print(back, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
