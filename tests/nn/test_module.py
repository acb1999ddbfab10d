"""Modules: what they are made of, modes, habits, showing."""

import numpy as np
import pytest

from nncore import nn
from nncore.nn import structure


class Net(nn.Module):
    """One's own mathematics, with a parameter, a layer and one that is used under two names."""

    def __init__(self):
        self.scale = nn.Parameter([2.0])
        self.body = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        self.head = self.body

    def _forward(self, x):
        h, saved = self.body._forward(x)
        return self.scale.data * h, (h, saved)

    def _backward(self, saved, grad):
        h, inner = saved
        self.scale.grad[...] += (grad * h).sum()
        return self.body._backward(inner, grad * self.scale.data)


class Square(nn.Module):
    def _forward(self, x):
        return x * x, x

    def _backward(self, saved, grad):
        return 2 * saved * grad


def test_names_each_thing_once():
    net = Net()
    assert [name for name, _ in net.named_modules()] == ["", "body", "body.0", "body.1"]
    assert [name for name, _ in net.named_parameters()] == ["scale", "body.0.weight", "body.0.bias"]
    assert list(net.modules()) == [net, net.body, net.body[0], net.body[1]]
    assert [name for name, _ in net.named_children()] == ["body"]
    assert list(net.children()) == [net.body]
    assert list(net.parameters()) == [net.scale, net.body[0].weight, net.body[0].bias]
    assert [name for name, _ in net.named_parameters("net")][1] == "net.body.0.weight"


def test_names_are_pytorchs(torch, twins):
    pair = twins([("Conv2d", 2, 4, 3), ("ReLU",), ("Flatten",), ("Linear", 4, 2)], np.float32)
    ours = {name: p.shape for name, p in pair.ours.named_parameters()}
    assert ours == {name: tuple(p.shape) for name, p in pair.theirs.named_parameters()}
    assert list(pair.ours.state_dict()) == list(pair.theirs.state_dict())
    assert [n for n, _ in pair.ours.named_modules()] == [n for n, _ in pair.theirs.named_modules()]


def test_shared_parameters_come_once_and_in_the_state_dict_by_every_name(torch):
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    assert len(list(model.parameters())) == 2
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    other = torch.nn.Linear(3, 3)
    assert list(model.state_dict()) == list(
        torch.nn.Sequential(other, torch.nn.ReLU(), other).state_dict()
    )


def test_own_mathematics_forward_and_backward():
    net = Net()
    x = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)
    h = np.maximum(x @ net.body[0].weight.data.T + net.body[0].bias.data, 0)
    np.testing.assert_allclose(net(x), 2 * h, rtol=1e-6)
    dx = net.backward(np.ones((2, 2)), input_grad=True)
    np.testing.assert_allclose(net.scale.grad, [h.sum()], rtol=1e-6)
    mask = (h > 0) * np.float32(2)
    np.testing.assert_allclose(dx, mask @ net.body[0].weight.data, rtol=1e-6)
    np.testing.assert_allclose(net.body[0].bias.grad, mask.sum(0), rtol=1e-6)


def test_a_module_without_mathematics_says_what_to_define():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty: define _forward\(x\) -> \(y, saved\)"):
        Empty()(np.ones(2))


def test_forward_is_the_call():
    square = Square()
    assert square.forward(np.array([3.0])) == 9
    assert square.backward(np.array([1.0])) == 6


def test_a_layer_returns_dx_and_a_model_does_not(mlp, dtype):
    grad = np.ones((2, 3), dtype)
    mlp(np.ones((2, 4), dtype))
    assert mlp.backward(grad) is None
    mlp(np.ones((2, 4), dtype))
    assert mlp.backward(grad, input_grad=True).shape == (2, 4)
    layer = mlp[2]
    layer(np.ones((2, 8), dtype))
    assert layer.backward(grad).shape == (2, 8)
    layer(np.ones((2, 8), dtype))
    assert layer.backward(grad, input_grad=False) is None


def test_chained_by_hand_equals_the_model(mlp, dtype, rng):
    x, grad = rng.standard_normal((5, 4)).astype(dtype), rng.standard_normal((5, 3)).astype(dtype)
    y = mlp(x)
    dx = mlp.backward(grad, input_grad=True)
    expected = {name: p.grad.copy() for name, p in mlp.named_parameters()}
    mlp.zero_grad()
    h = x
    for layer in mlp:
        h = layer(h)
    np.testing.assert_array_equal(h, y)
    back = grad
    for layer in reversed(list(mlp)):
        back = layer.backward(back)
    np.testing.assert_array_equal(back, dx)
    for name, p in mlp.named_parameters():
        np.testing.assert_array_equal(p.grad, expected[name])


def test_modes():
    net = Net()
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert net.train() is net
    assert net.train(False) is net
    assert not net.body[1].training


def test_freezing(mlp, dtype):
    assert mlp[0].freeze() is mlp[0]
    assert [p.requires_grad for p in mlp.parameters()] == [False, False, True, True]
    mlp(np.ones((2, 4), dtype))
    mlp.backward(np.ones((2, 3), dtype))
    assert not mlp[0].weight.grad.any()
    assert not mlp[0].bias.grad.any()
    assert mlp[2].weight.grad.any()
    mlp.unfreeze()
    mlp[0].weight.requires_grad = False
    mlp(np.ones((2, 4), dtype))
    mlp.backward(np.ones((2, 3), dtype))
    assert not mlp[0].weight.grad.any()
    assert mlp[0].bias.grad.any()
    assert mlp.requires_grad_(False) is mlp
    assert not any(p.requires_grad for p in mlp.parameters())


def test_nothing_runs_below_the_first_trained_layer(mlp, dtype):
    calls = []

    class Spy(Square):
        def _backward(self, saved, grad):
            calls.append(self)
            return super()._backward(saved, grad)

    low, high = Spy(), Spy()
    model = nn.Sequential(low, mlp[0], high, mlp[2])
    model(np.ones((2, 4), dtype))
    model.backward(np.ones((2, 3), dtype))
    assert calls == [high]
    calls.clear()
    mlp[0].freeze()
    model(np.ones((2, 4), dtype))
    model.backward(np.ones((2, 3), dtype))
    assert calls == []
    model(np.ones((2, 4), dtype))
    assert model.backward(np.ones((2, 3), dtype), input_grad=True).shape == (2, 4)
    assert calls == [high, low]
    model.freeze()
    calls.clear()
    model(np.ones((2, 4), dtype))
    assert model.backward(np.ones((2, 3), dtype)) is None
    assert calls == []


def test_gradients_add_up_and_are_cleared(mlp, dtype, rng):
    x, grad = rng.standard_normal((5, 4)).astype(dtype), rng.standard_normal((5, 3)).astype(dtype)
    mlp(x)
    mlp.backward(grad)
    once = [p.grad.copy() for p in mlp.parameters()]
    mlp(x)
    mlp.backward(grad)
    for p, g in zip(mlp.parameters(), once, strict=True):
        np.testing.assert_allclose(p.grad, 2 * g, rtol=1e-5)
        assert g.any()
    mlp.zero_grad()
    assert not any(p.grad.any() for p in mlp.parameters())


def test_assigning_an_array_to_a_parameter_says_what_to_write():
    layer = nn.Linear(2, 2)
    with pytest.raises(
        TypeError, match=r"Linear: weight is a Parameter, got ndarray.*weight\.data"
    ):
        layer.weight = np.ones((2, 2))
    layer.weight = nn.Parameter(np.ones((2, 2), np.float32))
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    np.testing.assert_array_equal(layer(np.ones((1, 2))), [[2, 2]])


def test_deleting_a_part():
    net = Net()
    before = structure.version()
    del net.scale
    assert structure.version() != before
    assert "scale" not in dict(net.named_parameters())


@pytest.mark.parametrize(
    "change",
    [
        lambda net: setattr(net, "head", nn.ReLU()),
        lambda net: net.eval(),
        lambda net: net.body.freeze(),
        lambda net: net.body.append(nn.ReLU()),
        lambda net: net.body.__setitem__(0, nn.Linear(2, 2)),
        lambda net: setattr(net.body[0], "weight", nn.Parameter(np.ones((2, 2)))),
    ],
)
def test_structure_takes_a_new_version(change):
    net = Net()
    before = structure.version()
    change(net)
    assert structure.version() != before


def test_structure_keeps_its_version_while_computing(mlp, dtype):
    x, grad = np.ones((2, 4), dtype), np.ones((2, 3), dtype)
    mlp(x)
    before = structure.version()
    mlp(x)
    mlp.backward(grad)
    mlp.zero_grad()
    mlp.load_state_dict(mlp.state_dict())
    mlp.train()
    mlp.unfreeze()
    assert structure.version() == before


def test_mixed_dtypes_are_refused():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, dtype=np.float64))
    with pytest.raises(
        TypeError, match=r"Sequential: parameters of different dtypes: 0\.weight float32"
    ):
        model(np.ones((1, 2)))
    assert nn.ReLU().dtype is None


def test_dtype_follows_a_replaced_layer():
    model = nn.Sequential(nn.Linear(2, 2))
    assert model(np.ones((1, 2))).dtype == np.float32
    model[0] = nn.Linear(2, 2, dtype=np.float64)
    assert model(np.ones((1, 2))).dtype == np.float64


@pytest.mark.parametrize(
    ("habit", "answer"),
    [
        ("cuda", "leave it out"),
        ("to", r"leave it out; for a copy of another dtype write model\.astype\(np\.float64\)"),
        ("double", r"model\.astype\(np\.float64\)"),
        ("float", r"model\.astype\(np\.float32\)"),
        ("numpy", "named_parameters"),
    ],
)
def test_habits_are_answered(habit, answer):
    model = nn.Sequential(nn.Linear(2, 2))
    assert not hasattr(model, habit)
    with pytest.raises(AttributeError, match=f"Sequential has no {habit}\\(\\): .*{answer}"):
        getattr(model, habit)()


def test_unknown_attribute_is_an_ordinary_error():
    with pytest.raises(AttributeError, match="'ReLU' object has no attribute 'nonsense'"):
        nn.ReLU().nonsense  # noqa: B018


def test_repr_is_pytorchs(torch, twins):
    layers = [
        ("Conv2d", 1, 4, 5, {"padding": 2, "groups": 1}),
        ("Conv2d", 4, 8, (3, 5), {"stride": (2, 1), "dilation": 2, "groups": 2, "bias": False}),
        ("ReLU",),
        ("MaxPool2d", 2),
        ("MaxPool2d", (3, 2), {"stride": 1, "padding": 1, "ceil_mode": True}),
        ("Flatten",),
        ("Linear", 6, 3, {"bias": False}),
        ("Sigmoid",),
        ("Tanh",),
        ("LeakyReLU", 0.2),
        ("ELU",),
        ("GELU",),
        ("GELU", {"approximate": "tanh"}),
        ("SiLU",),
        ("Softplus", 2.0),
        ("AvgPool2d", (3, 2), {"stride": 2, "padding": 1}),
    ]
    pair = twins(layers, np.float32)
    assert repr(pair.ours) == repr(pair.theirs)
    assert repr(nn.Sequential(pair.ours, nn.ReLU())) == repr(
        torch.nn.Sequential(pair.theirs, torch.nn.ReLU())
    )
