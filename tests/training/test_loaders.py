"""`fit` with a loader: any object that gives batches, anew in each epoch."""

import numpy as np
import pytest
from small_models import Double, make_model, make_trainer, weights

from nncore import nn, optim
from nncore._core import engine
from nncore.data import ArrayDataset, DataLoader
from nncore.training import Checkpoint, LambdaCallback, Trainer


class Shuffled:
    """The batches that `fit` takes of arrays, as a loader."""

    def __init__(self, x, y, size, seed, weights=None):
        self._x, self._y, self._size, self._weights = x, y, size, weights
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch):
        self._epoch = epoch

    def __iter__(self):
        order = engine.stream_permutation(self._seed, "shuffle", self._epoch, len(self._x))
        for start in range(0, len(order), self._size):
            rows = order[start : start + self._size]
            batch = self._x[rows], self._y[rows]
            yield batch if self._weights is None else (*batch, self._weights[rows])


@pytest.mark.parametrize("extra", [(), (Double(),)], ids=["compiled", "eager"])
@pytest.mark.parametrize(
    "options", [{}, {"accumulate": 2}, {"class_weight": {1: 2.0}}, {"clip_grad_norm": 0.1}]
)
def test_the_same_batches_the_same_bits(classes, extra, options):
    x, y = classes
    arrays, loader = make_trainer(make_model(*extra)), make_trainer(make_model(*extra))
    arrays.fit(x, y, 3, 7, validation_data=classes, verbose=0, **options)
    loader.fit(Shuffled(x, y, 7, 5), epochs=3, validation_data=[(x, y)], verbose=0, **options)
    assert weights(arrays.model) == weights(loader.model)
    assert arrays.steps == loader.steps
    for name in ("loss", "accuracy", "val_accuracy"):
        assert arrays.history.history[name] == loader.history.history[name]


def test_weights_of_a_loader(classes, rng):
    x, y = classes
    w = rng.uniform(0, 2, 50)
    arrays, loader = make_trainer(), make_trainer()
    arrays.fit(x, y, 2, 7, verbose=0, sample_weight=w)
    loader.fit(Shuffled(x, y, 7, 5, w), epochs=2, verbose=0)
    assert weights(arrays.model) == weights(loader.model)


def test_a_list_of_batches(classes, capsys):
    x, y = classes
    batches = [(x[:20], y[:20]), (x[20:], y[20:])]
    trainer, expected = make_trainer(), make_trainer()
    trainer.fit(batches, epochs=2)
    assert len(trainer.history) == 2
    expected.fit([*batches], epochs=2, verbose=0, compiled=False)
    assert weights(trainer.model) == weights(expected.model)
    assert trainer.evaluate(batches).samples == 50
    assert trainer.evaluate(batches).loss == pytest.approx(trainer.evaluate(x, y).loss)
    assert "samples/s" in capsys.readouterr().out


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_of_the_data_package(classes, workers):
    x, y = classes
    trainer, arrays = make_trainer(), make_trainer()
    loader = DataLoader((x, y), 7, shuffle=True, seed=5, workers=workers)
    trainer.fit(loader, epochs=3, validation_data=DataLoader((x, y), 25), verbose=0)
    arrays.fit(x, y, 3, 7, verbose=0)
    assert weights(trainer.model) == weights(arrays.model)
    assert len(trainer.history.history["val_loss"]) == 3


def test_hooks_and_steps(classes):
    seen = []
    trainer = make_trainer()
    callback = LambdaCallback(on_train_batch_end=lambda at, logs: seen.append((at, logs["loss"])))
    trainer.fit(Shuffled(*classes, 20, 5), epochs=2, verbose=0, callbacks=[callback])
    assert [at for at, _ in seen] == [0, 1, 2] * 2
    assert callback.params["steps"] is None
    assert trainer.history.history["loss"] == [seen[2][1], seen[5][1]]
    assert trainer.steps == 6


@pytest.mark.parametrize("kind", ["own", "data"])
def test_resume(classes, tmp_path, kind):
    """Within an epoch, with an order that follows from the number of the epoch."""
    x, y = classes

    def loader():
        if kind == "own":
            return Shuffled(x, y, 7, 5)
        return DataLoader((x, y), 7, shuffle=True, seed=5, workers=1)

    whole, broken, again = make_trainer(), make_trainer(), make_trainer(make_model(seed=9))
    whole.fit(loader(), epochs=3, verbose=0)
    path = tmp_path / "run.npz"

    def leave(at, logs):
        if len(broken.history) == 1 and at == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken.fit(
            loader(), epochs=3, verbose=0,
            callbacks=[
                Checkpoint(path, every_batches=2), LambdaCallback(on_train_batch_end=leave)
            ],
        )  # fmt: skip
    again.fit(loader(), epochs=3, verbose=0, resume=path)
    assert weights(again.model) == weights(whole.model)
    assert again.history.history["loss"] == whole.history.history["loss"]
    if kind == "data":
        with pytest.raises(ValueError, match="a loader of seed 5, this one has 6"):
            make_trainer().fit(DataLoader((x, y), 7, seed=6), epochs=3, verbose=0, resume=path)


@pytest.mark.parametrize(
    ("loader", "kind", "message"),
    [
        ((batch for batch in [1]), TypeError, "a generator, which can be gone through once"),
        (Shuffled(np.zeros((0, 4)), np.zeros(0, int), 2, 0), ValueError, "gave no batch"),
        ([(np.zeros((2, 5), np.float32), np.zeros(2, int))], ValueError, "5 features"),
        ([(np.zeros((2, 4), np.float32), np.array([0, 3]))], IndexError, "y.1. is 3"),
        ([(np.zeros((2, 4), np.uint8), np.zeros(2, int))], TypeError, "uint8"),
        ([(np.zeros((2, 4), np.float32), np.zeros(3, int))], ValueError, "2 samples, y has 3"),
        (DataLoader(ArrayDataset(np.zeros((4, 4))), 2), TypeError, r"a pair \(x, y\), got ndarray"),
    ],
)
def test_errors(loader, kind, message):
    trainer = make_trainer()
    before = weights(trainer.model)
    with pytest.raises(kind, match=message):
        trainer.fit(loader, verbose=0)
    assert weights(trainer.model) == before


def test_a_bad_batch_later_on(classes):
    x, y = classes
    trainer, expected = make_trainer(), make_trainer()
    bad = y.copy()
    bad[30] = 7
    with pytest.raises(IndexError, match="7"):
        trainer.fit([(x[:25], y[:25]), (x[25:], bad[25:])], verbose=0)
    expected.fit([(x[:25], y[:25])], verbose=0)
    assert weights(trainer.model) == weights(expected.model)
    x[30] = np.nan
    with pytest.raises(FloatingPointError, match=r"batch 2 of 2 .* x of sample 5 of the batch"):
        trainer.fit([(x[:25], y[:25]), (x[25:], y[25:])], verbose=0)
    expected.fit([(x[:25], y[:25])], verbose=0)
    assert weights(trainer.model) == weights(expected.model)


def test_not_with_a_loader(classes):
    loader = Shuffled(*classes, 7, 5)
    for options in ({"validation_split": 0.1}, {"sample_weight": np.ones(50)}):
        with pytest.raises(ValueError, match="are for arrays"):
            make_trainer().fit(loader, verbose=0, **options)


def test_a_loader_of_pytorch(classes):
    torch = pytest.importorskip("torch")
    x, y = classes
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    model = make_model()
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01))
    history = trainer.fit(
        torch.utils.data.DataLoader(data, batch_size=10, shuffle=True), epochs=10, verbose=0
    )
    assert history.history["loss"][-1] < history.history["loss"][0]
