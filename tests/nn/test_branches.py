"""Residual, Concat, ModuleList, ModuleDict."""

import numpy as np
import pytest

import nncore as nc
from nncore import nn


def test_residual(dtype, rng, close):
    body = nn.Sequential(nn.Linear(3, 4, dtype=dtype), nn.Tanh(), nn.Linear(4, 3, dtype=dtype))
    model = nn.Residual(body)
    x, grad = (rng.standard_normal((2, 3)).astype(dtype) for _ in range(2))
    close(model(x), body(x) + x)
    close(model.backward(grad, True), body.backward(grad, True) + grad)
    assert next(iter(model.state_dict())) == "body.0.weight"
    wider = nn.Residual(nn.Linear(3, 5, dtype=dtype), shortcut=nn.Linear(3, 5, dtype=dtype))
    assert wider(x).shape == (2, 5)
    assert list(wider.state_dict())[2:] == ["shortcut.weight", "shortcut.bias"]
    with pytest.raises(ValueError, match=r"Residual: body makes \(2, 5\) of \(2, 3\), .* \(2, 3\)"):
        nn.Residual(nn.Linear(3, 5, dtype=dtype))(x)
    with pytest.raises(TypeError, match="Residual: body must be a Module, got NoneType"):
        nn.Residual(None)
    with pytest.raises(TypeError, match="Residual: shortcut must be a Module, got int"):
        nn.Residual(body, 3)


def test_concat(dtype, rng, close):
    branches = [nn.Conv2d(2, width, 1, dtype=dtype) for width in (1, 2, 3, 4, 5)]
    model = nn.Concat(*branches, nn.Sequential())
    x = rng.standard_normal((3, 2, 4, 5)).astype(dtype)
    y = model(x)
    close(y, np.concatenate([*(branch(x) for branch in branches), x], 1))
    grad = rng.standard_normal(y.shape).astype(dtype)
    dx = model.backward(grad, True)
    expected, start = grad[:, 15:].copy(), 0
    for branch in branches:
        branch(x)
        expected += branch.backward(grad[:, start : start + branch.out_channels], True)
        start += branch.out_channels
    close(dx, expected)
    assert list(model.state_dict())[:3] == ["0.weight", "0.bias", "1.weight"]
    assert nn.Concat({"left": nn.ReLU(), "right": nn.Tanh()})(x).shape == (3, 4, 4, 5)
    assert nn.Concat(nn.ReLU())(x).shape == x.shape
    assert type(model[:2]) is nn.Concat
    with pytest.raises(ValueError, match="Concat: no branch"):
        nn.Concat()
    with pytest.raises(ValueError, match=r"Concat: concatenate: shapes .* differ"):
        nn.Concat(nn.ReLU(), nn.Conv2d(2, 1, 3, dtype=dtype))(x)


def test_module_list(rng):
    layers = [nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)]
    held = nn.ModuleList(layers)
    assert list(held) == layers
    assert held[1:][0] is layers[1]
    assert [name for name, _ in held[1:].named_children()] == ["0", "1"]
    assert type(held + held[:1]) is nn.ModuleList
    assert len(held + held) == 6
    held.append(nn.ReLU()).insert(0, nn.Sigmoid())
    assert held.pop(0).__class__ is nn.Sigmoid
    assert held.pop().__class__ is nn.ReLU
    held[1] = nn.ReLU()
    del held[1]
    assert list(held.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]

    class Deep(nn.Module):
        def __init__(self):
            self.layers, self.act = nn.ModuleList(nn.Linear(3, 3) for _ in range(3)), nn.Tanh()

        def forward(self, x):
            for layer in self.layers:
                x = self.act(layer(x)) + x
            return x

    model, x = Deep(), rng.standard_normal((2, 3)).astype(np.float32)
    assert next(iter(model.state_dict())) == "layers.0.weight"
    assert nc.compile(model).predict(x).tobytes() == model(x).tobytes()
    with pytest.raises(NotImplementedError, match="ModuleList holds modules and computes nothing"):
        held(x)
    with pytest.raises(TypeError, match="ModuleList: module 1 must be a Module, got int"):
        nn.ModuleList([nn.ReLU(), 3])


def test_module_dict():
    held = nn.ModuleDict({"relu": nn.ReLU(), "linear": nn.Linear(2, 2)})
    assert list(held) == list(held.keys()) == ["relu", "linear"]
    assert len(held) == 2
    assert "relu" in held
    assert "keys" not in held
    assert held["relu"] is held.relu
    held["tanh"] = nn.Tanh()
    assert held.pop("tanh").__class__ is nn.Tanh
    assert [name for name, _ in held.items()] == ["relu", "linear"]
    assert next(iter(held.values())) is held.relu
    assert list(held.state_dict()) == ["linear.weight", "linear.bias"]
    del held["relu"]
    with pytest.raises(KeyError):
        held["relu"]
    with pytest.raises(KeyError):
        del held["training"]
    with pytest.raises(ValueError, match="ModuleDict: a module cannot be named 'forward'"):
        held["forward"] = nn.ReLU()
    with pytest.raises(TypeError, match="ModuleDict: x must be a Module, got int"):
        held.update({"relu": nn.ReLU(), "x": 3})
    assert "relu" not in held
    with pytest.raises(NotImplementedError, match="ModuleDict holds modules"):
        held(np.ones((1, 2)))
