"""Every loss in a compiled step: the bits of the loss by hand, over steps and epochs."""

import itertools

import numpy as np
import pytest
from tolerance import assert_same_bits

import nncore as nc
from nncore import losses, nn, optim


def classifier(dtype, last=None):
    model = nn.Sequential(nn.Linear(6, 8, dtype=dtype), nn.Tanh(), nn.Linear(8, 5, dtype=dtype))
    if last is not None:
        model = nn.Sequential(model, last)
    model.reset_parameters(2)
    return model


def segmenter(dtype):
    model = nn.Sequential(nn.Conv2d(2, 5, 3, dtype=dtype))
    model.reset_parameters(2)
    return model


CLASSES = np.arange(1.0, 6.0)
# name: loss, what stands before it, what it reads
LOSSES = {
    "cross-entropy": (lambda: nn.CrossEntropyLoss(), None, "labels"),
    "cross-entropy, all options": (
        lambda: nn.CrossEntropyLoss(CLASSES, 3, "sum", label_smoothing=0.2), None, "labels"
    ),
    "cross-entropy of probabilities": (
        lambda: nn.CrossEntropyLoss(CLASSES, label_smoothing=0.2), None, "probabilities"
    ),
    "nll": (lambda: nn.NLLLoss(CLASSES), nn.LogSoftmax(-1), "labels"),
    "mse": (lambda: nn.MSELoss("sum"), None, "numbers"),
    "l1": (lambda: nn.L1Loss(), None, "numbers"),
    "smooth l1": (lambda: nn.SmoothL1Loss(beta=0.3), None, "numbers"),
    "huber": (lambda: nn.HuberLoss(delta=0.4), None, "numbers"),
    "hinge": (lambda: nn.HingeLoss(), None, "signs"),
    "bce": (lambda: nn.BCELoss(CLASSES), nn.Sigmoid(), "probabilities"),
    "bce with logits": (
        lambda: nn.BCEWithLogitsLoss(CLASSES, pos_weight=2 * CLASSES), None, "probabilities"
    ),
    "kl div": (lambda: nn.KLDivLoss("batchmean"), nn.LogSoftmax(1), "probabilities"),
    "kl div of logarithms": (lambda: nn.KLDivLoss(log_target=True), nn.LogSoftmax(1), "numbers"),
}  # fmt: skip


def data(reads, n, dtype):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((n, 6)).astype(dtype)
    if reads == "labels":
        return x, rng.integers(0, 5, n)
    if reads == "numbers":
        return x, rng.standard_normal((n, 5)).astype(dtype)
    if reads == "signs":
        return x, rng.choice([-1.0, 1.0], (n, 5)).astype(dtype)
    return x, rng.random((n, 5)).astype(dtype)


def train_by_hand(model, loss_fn, optimizer, x, y):
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    model.backward(loss_fn.backward())
    optimizer.step()
    return loss


def assert_equal_models(ours, theirs):
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_same_bits(a.data, b.data)


@pytest.mark.parametrize("name", LOSSES)
def test_steps_and_epochs_are_the_bits_by_hand(name, dtype, threads):
    make, last, reads = LOSSES[name]
    x, y = data(reads, 50, dtype)
    by_hand, compiled = classifier(dtype, last), classifier(dtype, last)
    loss_fn, optimizer = make(), optim.Adam(by_hand.parameters(), lr=0.01)
    step = nc.compile(compiled, make(), optim.Adam(compiled.parameters(), lr=0.01))
    for rows in (slice(0, 20), slice(20, 40), slice(40, 47)):
        expected = train_by_hand(by_hand, loss_fn, optimizer, x[rows], y[rows])
        assert step(x[rows], y[rows]) == expected
    assert step.evaluate(x, y) == loss_fn(by_hand(x), y)
    order = np.random.default_rng(0).permutation(50)
    values = step.epoch(x, y, order, batch_size=16)
    for i, start in enumerate(range(0, 50, 16)):
        rows = order[start : start + 16]
        assert values[i] == train_by_hand(by_hand, loss_fn, optimizer, x[rows], y[rows])
    assert_equal_models(by_hand, compiled)


def test_images_with_a_label_a_pixel(dtype, threads):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((9, 2, 6, 8)).astype(dtype)
    y = rng.integers(-1, 5, (9, 4, 6))
    for make in (lambda: nn.CrossEntropyLoss(CLASSES, -1), lambda: nn.NLLLoss(ignore_index=-1)):
        by_hand, compiled = segmenter(dtype), segmenter(dtype)
        loss_fn, optimizer = make(), optim.SGD(by_hand.parameters(), lr=0.01)
        step = nc.compile(compiled, make(), optim.SGD(compiled.parameters(), lr=0.01))
        assert step(x, y) == train_by_hand(by_hand, loss_fn, optimizer, x, y)
        order = rng.permutation(9)
        values = step.epoch(x, y, order, batch_size=4)
        for i, start in enumerate(range(0, 9, 4)):
            rows = order[start : start + 4]
            assert values[i] == train_by_hand(by_hand, loss_fn, optimizer, x[rows], y[rows])
        assert_equal_models(by_hand, compiled)
        bad = y.copy()
        bad[7, 1, 2] = 9
        with pytest.raises(IndexError, match="is 9, expected below 5"):
            step(x, bad)
        assert_equal_models(by_hand, compiled)


def test_labels_and_probabilities_by_turns(dtype):
    """One step for both: it is built anew where the kind of target changes."""
    x, labels = data("labels", 20, dtype)
    soft = np.eye(5, dtype=dtype)[labels]
    model, loss_fn = classifier(dtype), nn.CrossEntropyLoss()
    step = nc.compile(model, loss_fn, optim.SGD(model.parameters(), lr=0.0))
    for _ in range(2):
        assert step(x, labels) == loss_fn(model(x), labels)
        assert step(x, soft) == loss_fn(model(x), soft)
        np.testing.assert_allclose(step.evaluate(x, labels), step.evaluate(x, soft), 1e-6)
        assert step.epoch(x, soft, batch_size=20)[0] == loss_fn(model(x), soft)
        assert step.epoch(x, labels, batch_size=20)[0] == loss_fn(model(x), labels)
    with pytest.raises(ValueError, match=r"target has shape \(20, 4\), expected \(20, 5\)"):
        step(x, soft[:, 1:])
    with pytest.raises(TypeError, match="CrossEntropyLoss: target has dtype float"):
        step(x, soft[:, 0])
    # Images of probabilities, and the trainer with labels to validate on.
    images = np.random.default_rng(5).standard_normal((9, 2, 6, 8)).astype(dtype)
    by_hand, compiled = segmenter(dtype), segmenter(dtype)
    target = np.random.default_rng(6).random((9, 5, 4, 6)).astype(dtype)
    step = nc.compile(compiled, loss_fn, optim.SGD(compiled.parameters(), lr=0.01))
    optimizer = optim.SGD(by_hand.parameters(), lr=0.01)
    for _ in range(2):
        expected = train_by_hand(by_hand, nn.CrossEntropyLoss(), optimizer, images, target)
        assert step.epoch(images, target, batch_size=9)[0] == expected
    values = []
    for how in (True, False):
        model = classifier(dtype)
        trainer = nc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), seed=1)
        trainer.fit(x, soft, 3, 8, validation_data=(x, labels), verbose=0, compiled=how)
        history = trainer.history.history
        assert history["val_accuracy"][-1] >= 0
        values.append((history["loss"], history["val_loss"], model.state_dict()))
    assert values[0][:2] == values[1][:2]
    for a, b in zip(values[0][2].values(), values[1][2].values(), strict=True):
        assert_same_bits(a, b)


def test_the_trainer_takes_them(dtype):
    for name in (
        "cross-entropy, all options", "cross-entropy of probabilities", "bce with logits", "huber"
    ):  # fmt: skip
        make, last, reads = LOSSES[name]
        x, y = data(reads, 40, dtype)
        model = classifier(dtype, last)
        trainer = nc.Trainer(model, make(), optim.Adam(model.parameters(), lr=0.01), seed=1)
        history = trainer.fit(x, y, epochs=12, verbose=0)
        assert history.history["loss"][-1] < history.history["loss"][0]


def test_ignored_labels_pass_the_trainers_checks():
    x, y = data("labels", 40, np.float32)
    y[3] = -100
    model = classifier(np.float32)
    trainer = nc.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01))
    trainer.fit(x, y, epochs=1, verbose=0)
    y[4] = -1
    with pytest.raises(IndexError, match=r"y\[4\] is -1"):
        trainer.fit(x, y, epochs=1, verbose=0)


def test_all_labels_ignored(dtype):
    model = classifier(dtype)
    step = nc.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    assert np.isnan(step.gradients(np.ones((3, 6)), [-100] * 3))
    assert not any(parameter.grad.any() for parameter in model.parameters())


def test_an_option_that_changes_is_noticed(dtype):
    loss_fn, x = nn.HuberLoss(), np.full((2, 6), 9.0)
    step = nc.compile(classifier(dtype), loss_fn)
    y = np.full((2, 5), 50, dtype)
    first = step.evaluate(x, y)
    loss_fn.delta = 2.0
    assert step.evaluate(x, y) > 1.9 * first


def test_what_does_not_compile():
    class Own(losses.LossFunction):
        pass

    model = classifier(np.float32)
    for loss_fn, reductions in itertools.product([nn.MSELoss, nn.CrossEntropyLoss], ["none"]):
        loss = loss_fn(reduction=reductions)
        with pytest.raises(ValueError, match="with reduction='none' has no compiled form"):
            nc.compile(model, loss, input_shape=(6,))
        with pytest.raises(ValueError, match="reduction='none'"):
            nc.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(TypeError, match="compile: Own has no compiled form"):
        nc.compile(model, Own(), input_shape=(6,))

    class Twice(nn.MSELoss):
        def _forward(self, pred, target):
            value, saved = super()._forward(pred, target)
            return 2 * value, saved

    with pytest.raises(TypeError, match="compile: Twice has no compiled form"):
        nc.compile(model, Twice(), input_shape=(6,))
    with pytest.raises(ValueError, match=r"weight has shape \(4, 1\), a weight for each sample"):
        nc.compile(model, nn.BCELoss(np.ones((4, 1))), input_shape=(6,))
    with pytest.raises(ValueError, match=r"logits have shape .*, expected \(batch, classes\)"):
        nc.compile(nn.Sequential(nn.ReLU()), nn.CrossEntropyLoss(), input_shape=(3, 4))
    with pytest.raises(ValueError, match="CrossEntropyLoss: weight has 3 elements, expected 5"):
        nc.compile(model, nn.CrossEntropyLoss([1.0, 2.0, 3.0]), input_shape=(6,))
    step = nc.compile(model, nn.BCEWithLogitsLoss(), input_shape=(6,))
    with pytest.raises(ValueError, match=r"target has shape \(3,\), expected \(3, 5\)"):
        step.evaluate(np.ones((3, 6)), np.ones(3))
