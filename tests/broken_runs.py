"""Training runs that are broken off, for the tests of checkpoints."""

import pytest
from small_models import weights

from nncore.training import LambdaCallback

COLUMNS = "loss", "accuracy", "val_loss", "f1", "val_f1", "lr"


class Break(Exception):  # noqa: N818
    """What ends a run in the middle."""


def broken_off(trainer, classes, epoch, batch, callbacks, **options):
    """A fit that ends with an exception after a batch."""

    def leave(at, logs):
        if len(trainer.history) == epoch and at == batch:
            raise Break

    with pytest.raises(Break):
        trainer.fit(
            *classes, verbose=0,
            callbacks=[*callbacks, LambdaCallback(on_train_batch_end=leave)], **options,
        )  # fmt: skip


def outcome(trainer):
    history = trainer.history.history
    return weights(trainer.model), [history.get(name) for name in COLUMNS], trainer.steps
