"""Layers over lines and images in a step: eager and compiled give the same bits."""

import numpy as np
import pytest
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim

LINES = {
    "one": lambda: [nn.Conv1d(3, 4, 3, seed=0)],
    "output in lines": lambda: [nn.Conv1d(3, 4, 4, padding="same", seed=0), nn.MaxPool1d(2)],
    "chain": lambda: [
        nn.Conv1d(3, 6, 3, padding=1, seed=0),
        nn.ReLU(),
        nn.MaxPool1d(3, 2, 1),
        nn.Tanh(),
        nn.Conv1d(6, 5, 2, groups=1, seed=1),
        nn.AvgPool1d(2),
        nn.Flatten(),
        nn.Linear(15, 4, seed=2),
    ],
    "after an activation": lambda: [nn.Sigmoid(), nn.Conv1d(3, 2, 2, seed=0), nn.SiLU()],
    "adaptive": lambda: [
        nn.AdaptiveAvgPool1d(5),
        nn.AdaptiveMaxPool1d(3),
        nn.Flatten(),
        nn.Linear(9, 2, seed=0),
    ],
}
IMAGES = {
    "adaptive": lambda: [
        nn.AdaptiveMaxPool2d((5, 4)),
        nn.Conv2d(3, 3, 1, seed=0),
        nn.AdaptiveAvgPool2d((3, None)),
    ],
    "down and up": lambda: [
        nn.Conv2d(3, 4, 3, padding="same", seed=0),
        nn.AvgPool2d(2),
        nn.ConvTranspose2d(4, 3, 2, 2, output_padding=1, seed=1),
        nn.Resize2d(None, 0.7, "bilinear"),
        nn.Resize2d((6, 9)),
    ],
}
CASES = {f"lines, {name}": (make, (3, 14)) for name, make in LINES.items()}
CASES |= {f"images, {name}": (make, (3, 9, 8)) for name, make in IMAGES.items()}


def gradients(model):
    return [p.grad.copy() for p in model.parameters()]


@pytest.mark.parametrize(("layers", "sample"), CASES.values(), ids=CASES)
def test_eager_and_compiled_give_the_same_bits(layers, sample, dtype, threads, rng):
    model = nn.Sequential(*layers()).astype(dtype)
    x = rng.standard_normal((4, *sample)).astype(dtype)
    y = model(x)
    grad = rng.standard_normal(y.shape).astype(dtype)
    dx = model.backward(grad, input_grad=True)
    expected = gradients(model)
    model.zero_grad()
    step = nc.compile(model, None, None, max_batch=5)
    assert_same_bits(step.predict(x), y)
    assert_same_bits(step.forward(x), y)
    assert_same_bits(step.backward(grad, input_grad=True), dx)
    for one, two in zip(gradients(model), expected, strict=True):
        assert_same_bits(one, two)


@pytest.mark.parametrize("sample", [(3, 14), (3, 9, 8)])
def test_an_epoch_trains_as_batches_by_hand(sample, rng):
    layers = LINES["output in lines"] if len(sample) == 2 else IMAGES["down and up"]
    models = [nn.Sequential(*layers()) for _ in range(2)]
    loss_fn = nn.MSELoss()
    x = rng.standard_normal((10, *sample)).astype(np.float32)
    target = rng.standard_normal(models[0](x).shape).astype(np.float32)
    optimizers = [optim.SGD(model.parameters(), 0.1) for model in models]
    for start in range(0, 10, 4):
        loss_fn(models[0](x[start : start + 4]), target[start : start + 4])
        models[0].backward(loss_fn.backward())
        optimizers[0].step()
        optimizers[0].zero_grad()
    step = nc.compile(models[1], loss_fn, optimizers[1])
    step.epoch(x, target, batch_size=4)
    for one, two in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert_same_bits(two.data, one.data)


def test_what_does_not_fit_is_said():
    step = nc.compile(nn.Sequential(nn.ReLU(), nn.Conv1d(3, 4, 3)), None, None)
    with pytest.raises(ValueError, match=r"Conv1d: x has shape .*expected \(batch, channels, len"):
        step.predict(np.ones((2, 3, 4, 5), np.float32))
    with pytest.raises(ValueError, match="Conv1d: x has 2 channels, weight expects 3") as info:
        step.predict(np.ones((2, 2, 5), np.float32))
    assert "Conv1d (1)" in "".join(info.value.__notes__)
    step = nc.compile(nn.Sequential(nn.MaxPool2d(2, return_indices=True)), None, None)
    with pytest.raises(ValueError, match="return_indices=True gives two arrays"):
        step.predict(np.ones((2, 3, 4, 5), np.float32))
