"""Modules with a `forward` of their own, run by hand: beside PyTorch, and what they keep."""

import copy
import pickle

import numpy as np
import pytest
from composed_networks import COMPOSED, build, inputs, pytorch
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn


def as_tuple(y):
    return y if isinstance(y, tuple) else (y,)


def gradients_like(y, rng):
    grads = tuple(rng.standard_normal(each.shape).astype(each.dtype) for each in as_tuple(y))
    return grads if isinstance(y, tuple) else grads[0]


@pytest.mark.parametrize("name", COMPOSED)
def test_equals_pytorch(name, dtype, torch, rng, close):
    model, other = build(name, dtype), COMPOSED[name][0](pytorch())
    other = other.to(getattr(torch, np.dtype(dtype).name))
    other.load_state_dict({k: torch.from_numpy(v) for k, v in model.state_dict().items()})
    for _ in range(2):  # gradients add up
        x = inputs(name, rng, 3, dtype)
        leaves = [torch.from_numpy(each.copy()).requires_grad_() for each in x]
        y, expected = model(*x), other(*leaves)
        grad = gradients_like(y, rng)
        for mine, theirs in zip(as_tuple(y), as_tuple(expected), strict=True):
            close(mine, theirs.detach().numpy())
        torch.autograd.backward(as_tuple(expected), [torch.from_numpy(g) for g in as_tuple(grad)])
        dx = model.backward(grad, input_grad=True)
        for mine, leaf in zip(as_tuple(dx), leaves, strict=True):
            close(mine, leaf.grad.numpy())
    for (key, mine), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        assert mine.grad.any(), key
        close(mine.grad, theirs.grad.numpy())


@pytest.mark.parametrize("name", COMPOSED)
def test_gradients_are_slopes(name, rng, close, numerical_gradient):
    model, x = build(name, np.float64), inputs(name, rng, 2, np.float64)
    grad = gradients_like(model(*x), rng)

    def f():
        return np.concatenate([each.ravel() for each in as_tuple(model(*x))])

    flat = np.concatenate([each.ravel() for each in as_tuple(grad)])
    dx = as_tuple(model.backward(grad, input_grad=True))
    with nc.no_record():
        for each, mine in zip(x, dx, strict=True):
            close(mine, numerical_gradient(f, each, flat), 1e-6)
        for key, parameter in model.named_parameters():
            if parameter.size < 30:
                slope = numerical_gradient(f, parameter.data, flat)
                np.testing.assert_allclose(parameter.grad, slope, 1e-5, 1e-7, err_msg=key)


@pytest.mark.parametrize("name", COMPOSED)
def test_without_the_gradient_of_the_data(name, rng):
    model, x = build(name), inputs(name, rng, 3, np.float32)
    grad = gradients_like(model(*x), rng)
    model.backward(grad, input_grad=True)
    expected = [parameter.grad.copy() for parameter in model.parameters()]
    model.zero_grad()
    model(*x)
    assert model.backward(grad) is None
    for parameter, other in zip(model.parameters(), expected, strict=True):
        assert_same_bits(parameter.grad, other)
    model.freeze()
    model(*x)
    model.zero_grad()
    model.backward(grad)
    assert not any(parameter.grad.any() for parameter in model.parameters())


@pytest.mark.parametrize("name", COMPOSED)
def test_modes_records_and_copies(name, rng):
    model, x = build(name), inputs(name, rng, 3, np.float32)
    y = model(*x)
    for other in (copy.deepcopy(model), model.eval()):
        for mine, theirs in zip(as_tuple(other(*x)), as_tuple(y), strict=True):
            assert_same_bits(mine, theirs)
    with nc.recording(model, keep=2):
        first = gradients_like(model(*x), rng)
        second = gradients_like(model(*[2 * each for each in x]), rng)
    dx = model.backward(second, input_grad=True)
    model.backward(first, input_grad=True)
    assert as_tuple(dx)[0].shape == x[0].shape
    with pytest.raises(RuntimeError, match="no recorded forward"):
        model.backward(first)


@pytest.mark.parametrize("name", COMPOSED)
def test_an_empty_batch_and_other_layouts(name, rng):
    model = build(name)
    empty = inputs(name, rng, 0, np.float32)
    y = model(*empty)
    assert all(len(each) == 0 for each in as_tuple(y))
    model.backward(y)
    assert not any(parameter.grad.any() for parameter in model.parameters())
    x = inputs(name, rng, 4, np.float32)
    strided = [np.repeat(np.asfortranarray(each), 2, axis=0)[::2] for each in x]
    for mine, theirs in zip(as_tuple(model(*strided)), as_tuple(model(*x)), strict=True):
        assert_same_bits(mine, theirs)


class Plain(nn.Module):
    """At the top of a module, where pickle finds it."""

    def __init__(self):
        self.linear = nn.Linear(2, 2)

    def forward(self, x):
        return self.linear(x) + x


def test_forward_is_the_same_as_a_call():
    model = Plain()
    y = model.forward(np.ones((1, 2)))
    assert_same_bits(y, model(np.ones((1, 2))))
    model.backward(y)
    assert model.linear.weight.grad.any()
    assert Plain.forward.__name__ == "forward"


def test_pickles_without_its_trace():
    model = Plain()
    y = model(np.ones((1, 2)))
    assert "_trace" in model.__dict__
    other = pickle.loads(pickle.dumps(model))
    assert "_trace" not in other.__dict__
    assert_same_bits(other(np.ones((1, 2))), y)


def test_several_inputs_and_heads_are_checked():
    model = build("two")
    a, b = np.ones((2, 7)), np.ones((2, 3))
    policy, value = model(a, b)
    with pytest.raises(TypeError, match=r"Two: grad is ndarray, expected a tuple of 2 arrays"):
        model.backward(policy)
    with pytest.raises(ValueError, match=r"Two: grad has 1 parts, expected 2"):
        model.backward((policy,))
    with pytest.raises(ValueError, match=r"Two: grad\[1\] has shape \(2, 4\), expected \(2, 1\)"):
        model.backward((policy, policy))
    with pytest.raises(TypeError, match=r"Two: grad\[1\] is None"):
        model.backward((policy, None))
    da, db = model.backward((policy, value), input_grad=True)
    assert (da.shape, db.shape) == (a.shape, b.shape)
    with pytest.raises(ValueError, match=r"Two: inputs of shapes \[\(2, 7\), \(1, 3\)\]"):
        model(a, b[:1])
    with pytest.raises(ValueError, match=r"Linear: x has 3 features, weight expects 7") as caught:
        model(b, b)
    assert caught.value.__notes__ == ["in layer left of Two"]


def test_names_and_showing():
    model = build("residual")
    assert list(model.state_dict())[:4] == [
        "0.body.0.weight", "0.body.0.bias", "0.body.2.weight", "0.body.2.bias",
    ]  # fmt: skip
    text = str(model.summary((2, 6, 4)))
    assert "1.around Conv2d" in text
    assert "    (around): Conv2d(2, 5" in repr(model)
    own = build("parameters")
    assert list(own.state_dict())[:3] == ["scale", "shift", "gate"]
    assert own.summary((7,)).parameters == 7 + 1 + 1 + 56 + 32
    assert own.summary((7,)).rows[0].parameters == 7


def test_what_passes_through_unchanged_or_twice(rng):
    class Through(nn.Module):
        def forward(self, x):
            doubled = x + x
            return x, doubled, doubled

    model, x = Through(), rng.standard_normal((2, 3)).astype(np.float32)
    first, second, third = model(x)
    np.testing.assert_array_equal(first, x)
    np.testing.assert_array_equal(second, third)
    one = np.ones_like(x)
    np.testing.assert_array_equal(model.backward((one, one, one), True), 5 * one)
    first[...] = 0
    assert x.any()


def test_ones_own_mathematics_within(rng, numerical_gradient):
    class Cube(nn.Module):
        def _forward(self, x):
            return x**3, x

        def _backward(self, saved, grad):
            return 3 * saved**2 * grad

    class Product(nn.Module):
        def _forward(self, a, b):
            return (a * b, a + b), (a, b)

        def _backward(self, saved, grad):
            a, b = saved
            return grad[0] * b + grad[1], grad[0] * a + grad[1]

    class Net(nn.Module):
        def __init__(self):
            self.cube, self.product = Cube(), Product()
            self.linear = nn.Linear(3, 3, dtype=np.float64)

        def forward(self, x):
            product, total = self.product(self.cube(x), self.linear(x))
            return product + x if self.training else product - total

    for mode in (True, False):
        model, x = Net().train(mode), rng.standard_normal((2, 3))
        with nc.recording(model):
            y = model(x)
        dx = model.backward(np.ones_like(y), True)
        with nc.no_record():
            slope = numerical_gradient(lambda m=model, v=x: m(v), x, np.ones_like(y))
        np.testing.assert_allclose(dx, slope, 1e-5)


def test_whole_numbers_reach_the_layer_that_wants_them():
    class Look(nn.Module):
        def __init__(self):
            self.table = nn.Parameter(np.arange(6, dtype=np.float32).reshape(3, 2))

        def _input(self, x):
            return x

        def _forward(self, x):
            return self.table.data[x], x

        def _backward(self, saved, grad):
            raise AssertionError("nobody asks for the gradient of indices")

        def _backward_last(self, saved, grad):
            np.add.at(self.table.grad, saved, grad)

    class Net(nn.Module):
        def __init__(self, first):
            self.first, self.linear = first, nn.Linear(2, 2)

        def forward(self, which, x):
            return self.linear(self.first(which)) + x

    model, which, x = Net(Look()), np.array([2, 0, 2]), np.ones((3, 2), np.float32)
    y = model(which, x)
    model.backward(np.ones_like(y), input_grad=True)
    assert (model.first.table.grad.any(axis=1) == [True, False, True]).all()
    with pytest.raises(TypeError, match="Linear: x has dtype int64"):
        Net(nn.Linear(2, 2))(np.ones((3, 2), int), x)
    with pytest.raises(TypeError, match=r"\+ of x of dtype int64"):
        type("Sum", (nn.Module,), {"forward": lambda self, a, b: a + b})()(np.ones((3, 2), int), x)


def test_what_is_read_again_is_given_out_read_only():
    class Heads(nn.Module):
        def __init__(self):
            self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            y = self.first(x)
            return y, self.second(y)

    model = Heads()
    y, _ = model(np.ones((1, 2)))
    assert not y.flags.writeable
    assert model.eval()(np.ones((1, 2)))[0].flags.writeable


def test_a_subclass_of_a_layer_may_compose_around_it(rng):
    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    class Around(nn.Sequential):
        def forward(self, x):
            return super().forward(x) + x

    x = rng.standard_normal((2, 3)).astype(np.float32)
    model = Around(Doubled(3, 3), nn.Tanh())
    y = model(x)
    linear = nn.Linear(3, 3)
    linear.load_state_dict(model[0].state_dict())
    np.testing.assert_allclose(y, np.tanh(2 * linear(x)) + x, 1e-5)
    assert model.backward(y, input_grad=True).shape == x.shape
    assert_same_bits(nc.compile(model).predict(x), y)
    assert "Doubled (0) * number" in repr(nc.compile(model, input_shape=(3,)))
    assert [row.name for row in model.summary((3,)).rows] == ["0", "0", "1", ""]


def test_which_class_says_how_it_computes():
    class Composed(nn.Module):
        def forward(self, x):
            return x

    class Layer(Composed):
        def _forward(self, x):
            return x, None

    class Again(Layer):
        def forward(self, x):
            return x

    assert [kind._composed for kind in (nn.Module, Composed, Layer, Again)] == [0, 1, 0, 1]
    assert not nn.ReLU._inlined
    assert nn.Sequential._inlined
    assert not type("Own", (nn.Sequential,), {"_forward": Layer._forward})._inlined
