"""Three networks, defined in nncore and PyTorch by one text: outputs, gradients, 20 steps."""

import numpy as np
import pytest

import nncore as nc
from nncore import nn, optim

torch = pytest.importorskip("torch")


def lenet(lib, _cat):
    return lib.Sequential(
        lib.Conv2d(1, 6, 5, padding=2), lib.ReLU(), lib.MaxPool2d(2),
        lib.Conv2d(6, 16, 5), lib.ReLU(), lib.MaxPool2d(2),
        lib.Flatten(), lib.Linear(16, 32), lib.ReLU(), lib.Linear(32, 20), lib.ReLU(),
        lib.Linear(20, 4),
    )  # fmt: skip


def resnet(lib, _cat):
    class Block(lib.Module):
        def __init__(self, before, after, stride):
            super().__init__()
            self.conv1 = lib.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
            self.bn1, self.bn2 = lib.BatchNorm2d(after), lib.BatchNorm2d(after)
            self.conv2 = lib.Conv2d(after, after, 3, padding=1, bias=False)
            self.relu = lib.ReLU()
            self.shortcut = lib.Sequential(
                lib.Conv2d(before, after, 1, stride=stride, bias=False), lib.BatchNorm2d(after)
            )

        def forward(self, x):
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + self.shortcut(x))

    return lib.Sequential(
        Block(1, 4, 1), Block(4, 6, 2), lib.AdaptiveAvgPool2d(1), lib.Flatten(), lib.Linear(6, 4)
    )


def inception(lib, cat):
    class Mixed(lib.Module):
        def __init__(self):
            super().__init__()
            self.one = lib.Conv2d(1, 3, 1)
            self.three = lib.Sequential(lib.Conv2d(1, 2, 1), lib.Conv2d(2, 4, 3, padding=1))
            self.five = lib.Sequential(lib.Conv2d(1, 2, 1), lib.Conv2d(2, 2, 5, padding=2))
            self.pool = lib.Sequential(lib.MaxPool2d(3, 1, 1), lib.Conv2d(1, 2, 1))
            self.norm, self.act = lib.BatchNorm2d(11), lib.SiLU()

        def forward(self, x):
            parts = [self.one(x), self.three(x), self.five(x), self.pool(x)]
            return self.act(self.norm(cat(parts, 1)))

    return lib.Sequential(Mixed(), lib.AvgPool2d(4), lib.Flatten(), lib.Linear(99, 4))


@pytest.fixture(params=[lenet, resnet, inception], ids=lambda build: build.__name__)
def pair(request, dtype):
    torch.manual_seed(0)
    theirs = request.param(torch.nn, torch.cat).to(getattr(torch, np.dtype(dtype).name))
    ours = request.param(nn, nc.concatenate).astype(dtype)
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    result = ours.load_state_dict(state)
    assert not result.missing_keys
    assert not result.unexpected_keys
    return ours, theirs


def batches(dtype, count):
    rng = np.random.default_rng(1)
    size = 12
    for _ in range(count):
        yield rng.normal(size=(6, 1, size, size)).astype(dtype), rng.integers(0, 4, 6)


def test_outputs_and_all_gradients(pair, dtype):
    ours, theirs = pair
    bound = 1e-9 if dtype == np.float64 else 1e-4
    ((x, labels),) = batches(dtype, 1)
    given = torch.tensor(x, requires_grad=True)
    loss_fn = nn.CrossEntropyLoss()
    output = theirs(given)
    torch.nn.functional.cross_entropy(output, torch.tensor(labels)).backward()
    y = ours(x)
    np.testing.assert_allclose(y, output.detach().numpy(), atol=bound, rtol=bound)
    loss_fn(y, labels)
    dx = ours.backward(loss_fn.backward(), input_grad=True)
    np.testing.assert_allclose(dx, given.grad.numpy(), atol=bound, rtol=bound)
    parameters = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(
            parameters[name].grad, parameter.grad.numpy(), atol=bound, rtol=bound, err_msg=name
        )


@pytest.mark.parametrize("compiled", [False, True], ids=["by hand", "compiled"])
def test_twenty_steps(pair, dtype, compiled):
    ours, theirs = pair
    bound = 1e-8 if dtype == np.float64 else 2e-3
    loss_fn = nn.CrossEntropyLoss()
    optimizer = optim.SGD(ours.parameters(), lr=0.05, momentum=0.9)
    step = nc.compile(ours, loss_fn, optimizer) if compiled else None
    other = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    for x, labels in batches(dtype, 20):
        other.zero_grad()
        expected = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(labels))
        expected.backward()
        other.step()
        if step is not None:
            loss = step(x, labels)
        else:
            loss = loss_fn(ours(x), labels)
            ours.backward(loss_fn.backward())
            optimizer.step()
            optimizer.zero_grad()
        assert loss == pytest.approx(float(expected.detach()), abs=bound)
    state = ours.state_dict()
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(state[name], value.numpy(), atol=bound, rtol=bound, err_msg=name)
