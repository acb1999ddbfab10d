"""Sequential: a list of layers with names."""

from collections import OrderedDict

import numpy as np
import pytest

from nncore import nn


def names(model):
    return [name for name, _ in model.named_children()]


@pytest.fixture
def layers():
    return [nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)]


def test_is_a_list(layers):
    model = nn.Sequential(*layers)
    assert len(model) == 3
    assert list(model) == layers
    assert model[0] is layers[0]
    assert model[-1] is layers[2]
    assert model[np.int64(1)] is layers[1]
    assert names(model) == ["0", "1", "2"]


def test_slices_share_their_layers_and_keep_their_names(layers):
    model = nn.Sequential(*layers)
    part = model[1:]
    assert type(part) is nn.Sequential
    assert list(part) == layers[1:]
    assert names(part) == ["1", "2"]
    x = np.ones((1, 2))
    np.testing.assert_array_equal(part(model[:1](x)), model(x))


def test_names_from_a_mapping(layers):
    model = nn.Sequential(OrderedDict(zip(["first", "act", "last"], layers, strict=True)))
    assert names(model) == ["first", "act", "last"]
    assert list(model.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert model.first is layers[0]
    assert list(nn.Sequential({"a": layers[0]})) == layers[:1]


def test_replacing_a_head(layers):
    model = nn.Sequential(*layers)
    model[2] = head = nn.Linear(3, 5)
    assert model[-1] is head
    assert names(model) == ["0", "1", "2"]
    assert model(np.ones((1, 2))).shape == (1, 5)
    named = nn.Sequential({"body": layers[0], "head": layers[2]})
    named[-1] = head
    assert names(named) == ["body", "head"]


def test_growing_and_shrinking(layers):
    model = nn.Sequential()
    assert model.append(layers[0]) is model
    assert model.extend(layers[1:]) is model
    assert list(model) == layers
    assert model.insert(1, tanh := nn.Tanh()) is model
    assert list(model) == [layers[0], tanh, *layers[1:]]
    assert names(model) == ["0", "1", "2", "3"]
    del model[1]
    assert list(model) == layers
    assert names(model) == ["0", "1", "2"]
    del model[:2]
    assert list(model) == layers[2:]
    assert names(model) == ["0"]
    del model[-1]
    assert len(model) == 0


def test_the_same_layer_twice_keeps_both_places(layers):
    model = nn.Sequential(layers[1], layers[0], layers[1])
    assert len(model) == 3
    model.append(layers[1])
    assert len(model) == 4


def test_empty_returns_its_input():
    x = np.ones((2, 2))
    np.testing.assert_array_equal(nn.Sequential()(x), x)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((3,), "Sequential: layer 0 must be a Module, got int"),
        ((nn.ReLU(), np.tanh), "Sequential: layer 1 must be a Module, got tanh"),
        ((nn.ReLU,), r"Sequential: layer 0 must be a Module, got ReLU: write ReLU\(\), an object"),
        ((None,), "Sequential: layer 0 must be a Module, got NoneType"),
        (({0: nn.ReLU()},), "Sequential: the name of a layer must be a string, got 0"),
    ],
)
def test_refuses_what_is_no_module(given, message):
    with pytest.raises(TypeError, match=message):
        nn.Sequential(*given)


@pytest.mark.parametrize("name", ["", "a.b", "forward", "training", "_records"])
def test_refuses_names_that_mean_something_else(name):
    with pytest.raises(ValueError, match="Sequential: a layer cannot be named"):
        nn.Sequential({name: nn.ReLU()})


def test_a_refused_change_changes_nothing(layers):
    model = nn.Sequential(*layers)
    for change in (
        lambda: model.append(3),
        lambda: model.extend([nn.ReLU(), 3]),
        lambda: model.__setitem__(0, nn.ReLU),
    ):
        with pytest.raises(TypeError):
            change()
        assert list(model) == layers
    with pytest.raises(IndexError, match="Sequential: index 3 is out of range for 3 layers"):
        model[3]
    with pytest.raises(IndexError, match="index -4"):
        model[-4] = nn.ReLU()
    with pytest.raises(TypeError, match="Sequential: index must be an integer or a slice, got '0'"):
        model["0"]


def test_a_shared_layer_adds_its_gradients(dtype, rng, close):
    shared = nn.Linear(3, 3, dtype=dtype)
    model = nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), shared)
    other = nn.Sequential(
        *(nn.Linear(3, 3, dtype=dtype) if i % 2 == 0 else nn.Tanh() for i in range(5))
    )
    other.load_state_dict(model.state_dict())
    x, grad = (rng.standard_normal((4, 3)).astype(dtype) for _ in range(2))
    close(model(x), other(x))
    close(model.backward(grad, input_grad=True), other.backward(grad, input_grad=True))
    close(shared.weight.grad, other[0].weight.grad + other[2].weight.grad + other[4].weight.grad)
    close(shared.bias.grad, other[0].bias.grad + other[2].bias.grad + other[4].bias.grad)


def test_nested(dtype, rng, close):
    flat = nn.Sequential(nn.Linear(4, 5, dtype=dtype), nn.ReLU(), nn.Linear(5, 2, dtype=dtype))
    nested = nn.Sequential(nn.Sequential(flat[0], nn.Sequential(flat[1])), flat[2])
    assert list(nested.state_dict()) == ["0.0.weight", "0.0.bias", "1.weight", "1.bias"]
    x, grad = rng.standard_normal((3, 4)).astype(dtype), rng.standard_normal((3, 2)).astype(dtype)
    np.testing.assert_array_equal(nested(x), flat(x))
    np.testing.assert_array_equal(
        nested.backward(grad, input_grad=True), flat.backward(grad, input_grad=True)
    )


def test_errors_say_in_which_layer():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
    for call in (model, model.eval()):
        with pytest.raises(
            ValueError, match=r"^Linear: x has 3 features, weight expects 4"
        ) as caught:
            call(np.ones((1, 2)))
        assert caught.value.__notes__ == ["in layer 1 of Sequential", "in layer 1 of Sequential"]
