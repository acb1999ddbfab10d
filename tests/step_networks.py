"""Networks and optimisers for the tests of the compiled step, and a step by hand."""

import numpy as np
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim


def mlp(dtype=np.float32):
    return nn.Sequential(
        nn.Linear(20, 33, dtype=dtype), nn.Tanh(), nn.Linear(33, 17, dtype=dtype), nn.Sigmoid(),
        nn.Linear(17, 5, bias=False, dtype=dtype),
    )  # fmt: skip


def notes_cnn(dtype=np.float32):
    return nn.Sequential(
        nn.Conv2d(1, 12, 5, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(600, 10, dtype=dtype),
    )  # fmt: skip


def lenet(dtype=np.float32):
    return nn.Sequential(
        nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2, 2),
            nn.Conv2d(6, 16, 5, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2, 2), nn.Flatten(),
        ),
        nn.Linear(400, 120, dtype=dtype), nn.ReLU(), nn.Linear(120, 84, dtype=dtype), nn.ReLU(),
        nn.Linear(84, 10, dtype=dtype),
    )  # fmt: skip


def odd_cnn(dtype=np.float32):
    """Strides, padding, dilation, groups, ceil_mode, overlapping windows, H != W."""
    return nn.Sequential(
        nn.Conv2d(3, 8, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), dtype=dtype),
        nn.Tanh(), nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 1), ceil_mode=True),
        nn.Conv2d(8, 4, 3, groups=2, bias=False, dtype=dtype), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * 3 * 10, 6, dtype=dtype),
    )  # fmt: skip


def smooth_cnn(dtype=np.float32):
    """Every other activation, with and without parameters, and average pooling."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, dtype=dtype), nn.LeakyReLU(0.1),
        nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
        nn.Conv2d(6, 9, 3, dtype=dtype), nn.LeakyReLU(-0.2), nn.ELU(0.7), nn.ELU(-0.5),
        nn.AvgPool2d((2, 1), stride=(1, 2), ceil_mode=True, divisor_override=3), nn.GELU(),
        nn.Conv2d(9, 11, 1, dtype=dtype), nn.GELU(approximate="tanh"), nn.GlobalAvgPool2d(),
        nn.Flatten(), nn.Linear(11, 8, dtype=dtype), nn.SiLU(), nn.Linear(8, 8, dtype=dtype),
        nn.Softplus(2, 1), nn.Linear(8, 6, dtype=dtype),
    )  # fmt: skip


NETWORKS = {
    "mlp": (mlp, (20,), 5),
    "notes": (notes_cnn, (1, 28, 28), 10),
    "lenet": (lenet, (1, 28, 28), 10),
    "odd": (odd_cnn, (3, 17, 13), 6),
    "smooth": (smooth_cnn, (2, 13, 10), 6),
}
OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.05),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=1e-3),
    "adamw": lambda p: optim.AdamW(p, lr=1e-3),
}


def batches(rng, shape, classes, dtype, sizes):
    for n in sizes:
        yield rng.standard_normal((n, *shape)).astype(dtype), rng.integers(0, classes, n)


def by_hand(model, loss_fn, optimizer, x, y):
    loss = loss_fn(model(x), y)
    model.backward(loss_fn.backward())
    optimizer.step()
    optimizer.zero_grad()
    return loss


def make_step(build, optimizer="adam", dtype=np.float32, loss=nn.CrossEntropyLoss):
    model = build(dtype)
    model.reset_parameters(3)
    held = OPTIMIZERS[optimizer](model.parameters())
    return model, held, nc.compile(model, loss(), held)


def one_by_one(step, x, y, order, batch_size):
    losses = []
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        losses.append(step(x[rows], y[rows]))
    return np.array(losses)


def assert_same_state(model, optimizer, other, other_optimizer):
    for own, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert_same_bits(own.data, theirs.data)
        assert (own.grad == 0).all()
    mine, given = optimizer.state_dict()["state"], other_optimizer.state_dict()["state"]
    assert mine.keys() == given.keys()
    for number, entry in mine.items():
        assert entry["step"] == given[number]["step"]
        for name in entry.keys() - {"step"}:
            assert_same_bits(entry[name], given[number][name])


def fused(step):
    """The labels in the last column of the table, by the operation's label."""
    head, *rows = str(step).splitlines()[:-1]
    at, layer = head.index("fused with"), slice(head.index("layer"), head.index("output"))
    return {row[layer].strip(): row[at:] for row in rows if row[at:]}


def assert_same_both_ways(step, model, twin, x, rng):
    """Every output of the model's step and of its twin by hand, dx, and all gradients."""
    outputs, expected = step.forward(x), twin(x)
    if not isinstance(outputs, tuple):
        outputs, expected = (outputs,), (expected,)
    for mine, other in zip(outputs, expected, strict=True):
        assert_same_bits(mine, other)
    grads = tuple(rng.standard_normal(y.shape).astype(np.float32) for y in expected)
    grads = grads if len(grads) > 1 else grads[0]
    assert_same_bits(step.backward(grads, input_grad=True), twin.backward(grads, input_grad=True))
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(own.grad, other.grad)
