"""Buffers of modules: names, copies, files; folding; Embedding, Unflatten, Identity."""

import copy
import pickle

import numpy as np
import pytest
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, reference


class Counter(nn.Module):
    def __init__(self):
        self.register_buffer("seen", np.zeros(2, np.float32))
        self.register_buffer("private", np.zeros((), np.int64), persistent=False)
        self.register_buffer("absent", None)
        self.inner = nn.BatchNorm1d(2)

    def _forward(self, x):
        self.seen += 1
        return self.inner._forward(x)


def test_names_and_state():
    module = Counter()
    names = ["seen", "private", *(f"inner.{n}" for n in ("running_mean", "running_var"))]
    assert [n for n, _ in module.named_buffers()] == [*names, "inner.num_batches_tracked"]
    assert len(list(module.buffers())) == 5
    assert list(module.state_dict()) == [
        "seen", "inner.weight", "inner.bias", "inner.running_mean", "inner.running_var",
        "inner.num_batches_tracked",
    ]  # fmt: skip
    seen = module.seen
    module.load_state_dict({**module.state_dict(), "seen": [3.0, 4.0]})
    assert module.seen is seen
    assert seen.tolist() == [3, 4]
    with pytest.raises(TypeError, match=r"seen is a buffer.* write module.seen\[...\] = value"):
        module.seen = np.ones(2)
    for name, array in (("seen", seen), ("a.b", seen), ("", seen)):
        with pytest.raises(KeyError, match="cannot be named"):
            module.register_buffer(name, array)
    with pytest.raises(TypeError, match="must be an array of float32"):
        module.register_buffer("other", [1.0])


def test_a_wrong_state_loads_nothing():
    layer = nn.BatchNorm1d(2)
    before = layer.state_dict()
    for name, bad in (("running_mean", np.ones(3)), ("num_batches_tracked", np.ones(()))):
        with pytest.raises((TypeError, ValueError), match=name):
            layer.load_state_dict({**before, "weight": np.zeros(2), name: bad})
    for name, value in layer.state_dict().items():
        assert_same_bits(value, before[name])


def test_copies(rng):
    layer = nn.BatchNorm1d(2)
    layer(rng.normal(size=(5, 2)).astype(np.float32))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        for name, value in layer.state_dict().items():
            assert_same_bits(other.state_dict()[name], value)
        assert other.running_mean is not layer.running_mean
    wide = layer.astype(np.float64)
    assert wide.running_var.dtype == np.float64
    assert wide.num_batches_tracked.dtype == np.int64
    assert wide(np.ones((3, 2))).dtype == np.float64
    mean = nn.BatchNorm1d(2)
    mean.copy_from(layer, tau=0.25)
    assert_same_bits(mean.running_mean, layer.running_mean)
    assert mean.num_batches_tracked == 1


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files(suffix, tmp_path, rng):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    layer, other = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    layer(rng.normal(size=(5, 2)).astype(np.float32))
    path = tmp_path / f"w{suffix}"
    nc.io.save_weights(path, layer)
    other.load_state_dict(nc.io.load_weights(path).state_dict)
    for name, value in layer.state_dict().items():
        assert_same_bits(other.state_dict()[name], value)


def test_folding(rng):
    for make, layer, norm, shape in (
        (nn.utils.fuse_conv_bn_eval, nn.Conv2d(2, 6, 3, groups=2), nn.BatchNorm2d(6), (4, 2, 5, 6)),
        (nn.utils.fuse_linear_bn_eval, nn.Linear(5, 6, bias=False), nn.BatchNorm1d(6), (4, 5)),
    ):
        x = rng.normal(1, 2, shape).astype(np.float32)
        both = nn.Sequential(layer, norm)
        for _ in range(3):
            both(x)
        with pytest.raises(ValueError, match="evaluation mode"):
            make(layer, norm)
        both.eval()
        np.testing.assert_allclose(make(layer, norm)(x), both(x), 1e-4, 1e-5)
        with pytest.raises(TypeError, match="expected a"):
            make(norm, layer)


def test_training_agrees_with_torch_over_twenty_steps(rng):
    torch = pytest.importorskip("torch")

    def body(m, **k):
        return m.Sequential(
            m.Conv2d(2, 4, 3, **k),
            m.BatchNorm2d(4, **k),
            m.ReLU(),
            m.Flatten(),
            m.Linear(64, 3, **k),
        )

    model, theirs = body(nn, dtype=np.float64), body(torch.nn, dtype=torch.float64)
    model.load_state_dict(theirs.state_dict())
    loss_fn, ours = nn.CrossEntropyLoss(), nc.optim.SGD(model.parameters(), lr=0.1)
    step = nc.compile(model, loss_fn, ours)
    for _ in range(20):
        x, y = rng.normal(size=(8, 2, 6, 6)), rng.integers(0, 3, 8)
        theirs.zero_grad()
        loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        with torch.no_grad():  # torch.optim takes ten seconds to load
            for parameter in theirs.parameters():
                parameter -= 0.1 * parameter.grad
        np.testing.assert_allclose(step(x, y), loss.item(), 1e-9)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], value.numpy(), 1e-8, 1e-10)


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (0, 3)])
def test_embedding(shape, dtype, rng):
    layer = nn.Embedding(9, 5, padding_idx=-2, dtype=dtype, seed=1)
    assert layer.padding_idx == 7
    assert not layer.weight.data[7].any()
    x = rng.integers(0, 9, shape).astype(np.int32)
    y = layer(np.asfortranarray(x))
    assert_same_bits(y, reference.embedding(x, layer.weight.data))
    grad = rng.normal(size=y.shape).astype(dtype)
    assert layer.backward(grad) is None
    expected = reference.embedding_backward(grad.astype(np.float64), x, 9, 7)
    np.testing.assert_allclose(layer.weight.grad, expected, 1e-5, 1e-6)
    model = nn.Sequential(nn.Sequential(layer), nn.ReLU())
    np.testing.assert_array_equal(model(x), np.maximum(y, 0))
    with pytest.raises(TypeError, match="Embedding: x has dtype float"):
        nc.compile(model, None).predict(x.astype(dtype))


def test_wrong_indices():
    layer = nn.Embedding(4, 2)
    for x, where in (([[0, 1], [2, 4]], r"x\[1, 1\] is 4"), ([0, -1], r"x\[1\] is -1")):
        with pytest.raises(IndexError, match=f"Embedding: {where}, expected 0 to 3"):
            layer(np.array(x))
    for bad in (np.ones(3), np.array([True]), None, ["a"]):
        with pytest.raises(TypeError, match="Embedding: x"):
            layer(bad)
    for given, error in (
        ({"padding_idx": 4}, ValueError), ({"max_norm": 1.0}, ValueError),
        ({"sparse": True}, ValueError), ({"norm_type": 1.0}, ValueError),
    ):  # fmt: skip
        with pytest.raises(error, match=f"Embedding: {next(iter(given))}"):
            nn.Embedding(4, 2, **given)


def test_unflatten_and_identity(rng):
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(2, 24)).astype(np.float32)
    for dim, sizes in ((1, (2, 3, 4)), (-1, (-1, 4)), (1, (24,))):
        layer = nn.Unflatten(dim, sizes)
        y = layer(x)
        np.testing.assert_array_equal(y, torch.nn.Unflatten(dim, sizes)(torch.tensor(x)).numpy())
        np.testing.assert_array_equal(layer.backward(y), x)
        model = nn.Sequential(nn.Identity("any", thing=1), nn.Unflatten(dim, sizes), nn.ReLU())
        np.testing.assert_array_equal(nc.compile(model, None).predict(x), np.maximum(y, 0))
    with pytest.raises(ValueError, match="Unflatten: axis 1 of x has size 24"):
        nn.Unflatten(1, (5, -1))(x)
    with pytest.raises(ValueError, match="at most one of them -1"):
        nn.Unflatten(1, (-1, -1))
    with pytest.raises(ValueError, match="dim must be an axis"):
        nn.Unflatten(2, (4,))(x)
    assert_same_bits(nn.Identity()(x), x)
