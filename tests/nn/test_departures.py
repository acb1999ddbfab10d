"""What `forward` of a composed module must not do, and what it is told to do instead."""

import numpy as np
import pytest

import nncore as nc
from nncore import nn

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def run(function, x=X, **parts):
    """A module with this `forward`, called."""

    class Net(nn.Module):
        def __init__(self):
            vars(self).update(parts)

        def forward(self, x):
            return function(self, x)

    return Net()(x)


OWN = r"write a Module with _forward and _backward in NumPy for it \(docs/composing.md\)"
FLOW = "Net: forward asks for the numbers of a traced value: its control flow cannot depend"


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda m, x: x if x.mean(1) else -x, TypeError, FLOW),
        (lambda m, x: x if x > 0 else -x, TypeError, FLOW),
        (lambda m, x: x if x == 0 else -x, TypeError, FLOW),
        (lambda m, x: x * float(x), TypeError, FLOW),
        (lambda m, x: x * int(x), TypeError, FLOW),
        (lambda m, x: [1, 2][x], TypeError, FLOW),
        (lambda m, x: x[:, 0], TypeError, f"Net: forward asks for a part .*: {OWN}"),
        (lambda m, x: sum(row for row in x), TypeError, "Net: forward asks for the parts"),
        (lambda m, x: x * len(x), TypeError, r"the length .* write x.shape\[0\]"),
        (lambda m, x: abs(x), TypeError, OWN),
        (lambda m, x: x / 2, TypeError, r"write x \* \(1 / c\)"),
        (lambda m, x: 1 / x, TypeError, "Net: forward asks for the quotient"),
        (lambda m, x: x**2, TypeError, r"a square is x \* x"),
        (lambda m, x: x @ np.ones((3, 3)), TypeError, "use nn.Linear"),
        (lambda m, x: np.ones((3, 3)) @ x, TypeError, "matmul|use nn.Linear"),
        (lambda m, x: np.exp(x), TypeError, f"Net: forward asks for np.exp .*: {OWN}"),
        (lambda m, x: np.add.reduce(x), TypeError, "Net: forward asks for np.add"),
        (lambda m, x: np.divide(X, x), TypeError, "Net: forward asks for np.divide"),
        (lambda m, x: np.asarray(x), TypeError, "Net: forward makes a NumPy array"),
        (lambda m, x: np.concatenate([x, x]), TypeError, r"write nncore.concatenate"),
        (lambda m, x: np.mean(x, 1), TypeError, r"write x.mean\(axes\)"),
        (lambda m, x: np.where(x, 1, 0), TypeError, OWN),
        (lambda m, x: x.view(-1), AttributeError, "traced value has no view: write x.reshape"),
        (lambda m, x: x.size(0), AttributeError, "has no size: write x.shape"),
        (lambda m, x: x.sum(1), AttributeError, "Net: a traced value has no sum: write a Module"),
        (lambda m, x: x.relu(), AttributeError, "self.act = nn.ReLU"),
        (lambda m, x: x.data, AttributeError, "its numbers are not there"),
        (lambda m, x: x + "a", TypeError, r"Net: x \+ str: expected a value, a Parameter"),
        (lambda m, x: x * True, TypeError, r"Net: x \* bool"),
        (lambda m, x: x * None, TypeError, r"Net: x \* NoneType"),
        (lambda m, x: x - np.arange(3), TypeError, "x - array of dtype int64, expected floating"),
        (lambda m, x: x - X, ValueError, r"x - array of shape \(2, 3\): it does not spread over x"),
        (lambda m, x: x * np.ones(4), ValueError, r"of shape \(4,\): it does not spread"),
        (lambda m, x: x + x.reshape(2, 3, 1), ValueError, r"and \(2, 3, 1\): as many axes"),
        (lambda m, x: x.reshape(6), ValueError, "the first size must be that of the batch"),
        (lambda m, x: x.reshape(2, 2), ValueError, "a sample has 3 numbers"),
        (lambda m, x: x.reshape(2, -1, 2), ValueError, "-1 cannot stand for one size"),
        (lambda m, x: x.reshape(2, -1, -1), ValueError, "-1 cannot stand for one size"),
        (lambda m, x: x.reshape(2, 1.5), TypeError, "shape must be an integer"),
        (lambda m, x: x.unflatten(1, (2, 2)), ValueError, "the sizes must make 3"),
        (lambda m, x: x.flatten(0), ValueError, "axis 0 is the batch, which stays"),
        (lambda m, x: x.mean(), ValueError, r"x.mean\(\) would join the samples"),
        (lambda m, x: x.mean(0), ValueError, "axis 0 is the batch"),
        (lambda m, x: x.mean(2), ValueError, "axis 2 is not one of x of shape"),
        (lambda m, x: x.mean((1, 1)), ValueError, "different axes"),
        (lambda m, x: x.mean(1, dtype=float), TypeError, "x.mean has no argument dtype"),
        (lambda m, x: nc.concatenate([x, X]), TypeError, "expected values alone, got ndarray"),
        (lambda m, x: nc.concatenate([x, x], 0), ValueError, "axis 0 is the batch"),
        (lambda m, x: nc.concatenate([x.reshape(2, 3, 1), x]), ValueError, "differ outside"),
        (lambda m, x: X, TypeError, "Net: forward returned a ndarray, expected what it computes"),
        (lambda m, x: None, TypeError, "Net: forward returned None"),
        (lambda m, x: {"y": x}, TypeError, "Net: forward returned a dict"),
        (lambda m, x: (), TypeError, "Net: forward returned an empty tuple"),
        (lambda m, x: nn.ReLU()(X) + 1, TypeError, "Net: forward returned a ndarray"),
    ],
)  # fmt: skip
def test_says_what_to_do(function, error, message):
    with pytest.raises(error, match=message):
        run(function)


def test_images_spread_over_what_lies_side_by_side():
    x = np.ones((2, 3, 4, 5), np.float32)
    for shape in [(4, 5), (3, 4, 1), (3, 1, 5)]:
        with pytest.raises(ValueError, match="of images the other may have sizes of 1"):
            run(lambda m, x: x * m.p, x, p=nn.Parameter(np.ones(shape, np.float32)))
    with pytest.raises(ValueError, match="of images the other may have sizes of 1"):
        run(lambda m, x: x - x.mean(2, keepdim=True), x)


def test_parameters_of_another_dtype_are_told():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    with pytest.raises(TypeError, match=r"x \* Parameter of dtype float64, x has float32"):
        run(lambda m, x: m.model(x) * P, model=model)


P = nn.Parameter(np.ones(3))


def test_values_of_another_run():
    kept = []
    run(lambda m, x: kept.append(x) or x)
    for function in (
        lambda m, x: x + kept[0],
        lambda m, x: m.act(kept[0]),
        lambda m, x: kept[0],
        lambda m, x: m.two(x, X),
    ):
        two = type("Two", (nn.Module,), {"forward": lambda self, a, b: a + b})()
        with pytest.raises(TypeError, match=r"run of forward|another run|with a ndarray"):
            run(function, act=nn.ReLU(), two=two)


def test_a_run_that_departs_from_the_trace():
    class Net(nn.Module):
        def __init__(self):
            self.act, self.gate, self.state = nn.ReLU(), nn.Tanh(), {"deep": False, "factor": 2.0}

        def forward(self, x):
            y = self.act(x) * self.state["factor"]
            return self.gate(y) if self.state["deep"] else y

    model = Net()
    model(X)
    model(X[:1])
    model.state["deep"] = True
    with pytest.raises(RuntimeError, match=r"Net: forward departs from its trace: step 3 is Tanh"):
        model(X)
    model.state.update(deep=False, factor=3.0)
    with pytest.raises(RuntimeError, match=r"step 2 is '\* number' of value 1"):
        model(X)
    model.state["factor"] = 2.0
    model(X)
    model.state = {"deep": True, "factor": 1.0}  # an attribute: traced anew
    model(X)
    model.state["deep"] = False
    with pytest.raises(RuntimeError, match="step 3 is missing"):
        model(X)


def test_the_size_of_the_batch_is_no_number_of_the_model():
    class Scaled(nn.Module):
        def forward(self, x):
            return x * (1 / x.shape[0])

    model = Scaled()
    model(X)
    with pytest.raises(RuntimeError, match="not on data, random numbers or the batch's size"):
        model(X[:1])


def test_ones_own_mathematics_is_checked():
    class Wrong(nn.Module):
        def _forward(self, x):
            return 3, None

    class One(nn.Module):
        def _forward(self, a, b):
            return a + b, None

        def _backward(self, saved, grad):
            return grad

    with pytest.raises(TypeError, match="Wrong: _forward returned a int for y, expected an array"):
        run(lambda m, x: m.part(x), part=Wrong())

    class Net(nn.Module):
        def __init__(self):
            self.one = One()

        def forward(self, x):
            return self.one(x, x)

    model = Net()
    y = model(X)
    with pytest.raises(TypeError, match="One: _backward must return a tuple of 2 gradients"):
        model.backward(y, True)
    with pytest.raises(ValueError, match="Net: x is a single number, expected a batch"):
        model(np.float32(1))
    with pytest.raises(NotImplementedError, match=r"define _forward.*or forward"):
        nn.Module()(X)


def test_errors_say_in_which_part():
    class Inner(nn.Module):
        def __init__(self):
            self.wide = nn.Sequential(nn.ReLU(), nn.Linear(7, 2))

        def forward(self, x):
            return self.wide(x)

    class Outer(nn.Module):
        def __init__(self):
            self.inner = Inner()

        def forward(self, x):
            return self.inner(x)

    with pytest.raises(ValueError, match="Linear: x has 3 features, weight expects 7") as caught:
        Outer()(X)
    assert caught.value.__notes__[0] == "in layer inner.wide.1 of Outer"
