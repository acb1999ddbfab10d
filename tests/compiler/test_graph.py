"""Graphs of operations in a step give the bits that the operations give one by one."""

import numpy as np
import plain_losses
import pytest
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn, optim
from nncore._core import engine
from nncore.compiler.builder import Graph
from nncore.nn.operation import Operation

N = 5


def node(kind, inputs, shapes, y_shape, **given):
    return Operation(
        kind, kind, shapes[0], y_shape, more_shapes=tuple(shapes[1:]), inputs=inputs, **given
    )


def numbers(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def weighted(array):
    return {"weight": array, "weight_grad": np.zeros_like(array)}


def residual_images(dtype):
    """A shared convolution, a residual, squeeze and excitation, an average, two heads."""
    image, pooled, flat = (N, 4, 6, 5), (N, 4, 1, 1), (N, 4)
    conv = {
        "channels": 4,
        "kernel_size": (3, 3),
        "padding": (1, 1),
        **weighted(numbers(4, 4, 3, 3, dtype=dtype)),
    }
    whole = {"kernel_size": (6, 5), "stride": (6, 5)}
    gate = {"channels": 4, **weighted(numbers(4, 4, seed=1, dtype=dtype))}
    head = {"channels": 3, **weighted(numbers(3, 8, seed=2, dtype=dtype))}
    place = weighted(numbers(1, 4, 6, 5, seed=3, dtype=dtype))
    nodes = [
        node("conv2d", (0,), [image], image, **conv),  # 1
        node("relu", (1,), [image], image),
        node("conv2d", (2,), [image], image, **conv),  # 3
        node("avgpool2d", (3,), [image], pooled, **whole),
        node("flatten", (4,), [pooled], flat),
        node("linear", (5,), [flat], flat, **gate),  # 6
        node("sigmoid", (6,), [flat], flat),
        node("reshape", (7,), [flat], pooled),
        node("multiply", (3, 8), [image, pooled], image),  # 9
        node("add", (9, 0), [image, image], image),  # 10
        node("add", (10,), [image], image, **place),  # 11
        node("avgpool2d", (11,), [image], pooled, **whole),
        node("flatten", (12,), [pooled], flat),
        node("concatenate", (13, 7), [flat, flat], (N, 8)),
        node("linear", (14,), [(N, 8)], (N, 3), **head),  # 15
    ]
    return nodes, 1, (15, 11), [image]


def two_sources(dtype):
    """Two arrays, one read twice; an output that is read on; a branch to nowhere."""
    flat = (N, 6)
    first = {"channels": 6, **weighted(numbers(6, 6, dtype=dtype))}
    nodes = [
        node("linear", (0,), [flat], flat, **first),  # 2
        node("subtract", (2, 1), [flat, flat], flat),
        node("multiply", (3, 3), [flat, flat], flat),  # 4
        node("linear", (4,), [flat], flat, **first),  # 5
        node("tanh", (4,), [flat], flat),  # 6, dead
        node("scale", (5,), [flat], flat, parameter=(0.5, 1.0)),  # 7
        node("add", (7, 1), [flat, flat], flat),  # 8
    ]
    return nodes, 2, (4, 8), [flat, flat]


GRAPHS = [residual_images, two_sources]


def by_hand(nodes, x):
    """All values, and what the backwards read."""
    values, kept = list(x), []
    for each in nodes:
        y, saved = engine.operation_forward(each, *(values[v] for v in each.inputs))
        values.append(y)
        kept.append(saved)
    return values, kept


def backward_by_hand(nodes, kept, sources, grads):
    """Gradients of all values, added up in the order of the backwards, from the outputs'."""
    for i in reversed(range(len(nodes))):
        if sources + i not in grads:
            continue
        dx, others = engine.operation_backward(nodes[i], kept[i], grads[sources + i])
        for value, part in zip(nodes[i].inputs, (dx, *others), strict=True):
            grads[value] = grads[value] + part if value in grads else part
    return grads


def gradients(nodes):
    held = {id(each.weight): each.weight_grad for each in nodes if each.weight is not None}
    return list(held.values())


@pytest.mark.parametrize("make", GRAPHS)
def test_heads_and_sources(make, isa, dtype, threads):
    nodes, sources, outputs, shapes = make(dtype)
    step = engine.Step(nodes, dtype, sources=sources, outputs=outputs)
    single = sources == 1
    x = tuple(numbers(*shape, seed=7 + i, dtype=dtype) for i, shape in enumerate(shapes))
    x = tuple(engine.as_channels_last(each) if each.ndim == 4 else each for each in x)
    heads = step.forward(x[0] if single else x)
    values, kept = by_hand(nodes, x)
    for head, value in zip(heads, outputs, strict=True):
        assert_same_bits(head, values[value])
    for head, value in zip(step.predict(x), outputs, strict=True):
        assert_same_bits(head, values[value])
    step.forward(x)
    dy = tuple(numbers(*values[v].shape, seed=v, dtype=dtype) for v in outputs)
    dy = tuple(engine.as_channels_last(each) if each.ndim == 4 else each for each in dy)
    dx = step.backward(dy, True)
    own = [gradient.copy() for gradient in gradients(nodes)]
    for gradient in gradients(nodes):
        gradient[...] = 0
    grads = backward_by_hand(nodes, kept, sources, dict(zip(outputs, dy, strict=True)))
    for given, right in zip(own, gradients(nodes), strict=True):
        assert np.any(given)
        assert_same_bits(given, right)
    for v, given in enumerate((dx,) if single else dx):
        assert_same_bits(given, grads[v])


@pytest.mark.parametrize("make", GRAPHS)
def test_a_loss(make, isa, threads):
    """Gradients are written anew; a part of the graph that the loss does not see gets zeros."""
    nodes, sources, outputs, shapes = make(np.float32)
    out = nodes[outputs[0] - sources].y_shape
    loss = node("mse", (outputs[0],), [out], (1,))
    step = engine.Step([*nodes, loss], np.float32, sources=sources)
    x = tuple(numbers(*shape, seed=7 + i) for i, shape in enumerate(shapes))
    x = tuple(engine.as_channels_last(each) if each.ndim == 4 else each for each in x)
    target = numbers(*out, seed=20)
    for gradient in gradients(nodes):
        gradient[...] = 77
    got = step.run(engine.STEP_GRADIENTS, x, target, [])
    own = [gradient.copy() for gradient in gradients(nodes)]
    for gradient in gradients(nodes):
        gradient[...] = 0
    values, kept = by_hand(nodes, x)
    y = values[outputs[0]]
    assert got == plain_losses.mse_forward(y, target)
    backward_by_hand(nodes, kept, sources, {outputs[0]: plain_losses.mse_backward(y, target)})
    for given, right in zip(own, gradients(nodes), strict=True):
        assert_same_bits(given, right)
    assert_same_bits(step.output(), y)


def test_against_autograd():
    torch = pytest.importorskip("torch")
    nodes, sources, outputs, shapes = two_sources(np.float64)
    step = engine.Step(nodes, np.float64, sources=sources, outputs=outputs)
    x = tuple(numbers(*shape, seed=i, dtype=np.float64) for i, shape in enumerate(shapes))
    step.forward(x)
    dy = tuple(numbers(N, 6, seed=5 + k, dtype=np.float64) for k in range(2))
    dx = step.backward(dy, True)
    a, b = (torch.tensor(each, requires_grad=True) for each in x)
    weight = torch.tensor(nodes[0].weight, requires_grad=True)
    first = (a @ weight.T - b) ** 2
    second = 0.5 * (first @ weight.T) + 1 + b
    torch.autograd.backward([first, second], [torch.tensor(each) for each in dy])
    for given, right in ((dx[0], a), (dx[1], b), (nodes[0].weight_grad, weight)):
        np.testing.assert_allclose(given, right.grad.numpy(), rtol=1e-12, atol=1e-12)


class Pair(nn.Linear):
    """Its weights on two arrays: sum and difference of what they make."""


def lower_pair(model, loss_fn, shapes, capacity, labels):
    """Graphs of such a model, as the compiler makes them."""
    a, b, y = (capacity, *shapes[0]), (capacity, *shapes[1]), (capacity, model.out_features)

    def linear(value, shape):
        made = node("linear", (value,), [shape], y, channels=model.out_features)
        return made.hold(model.weight.shape, model.weight, model.bias)

    nodes = [
        linear(0, a),
        linear(1, b),
        node("add", (2, 3), [y, y], y),
        node("subtract", (2, 3), [y, y], y),
    ]
    if loss_fn is None:
        return Graph(nodes, 2, (4, 5))
    return Graph([*nodes[:3], node("mse", (4,), [y], (1,))], 2, (4,))


@pytest.fixture
def pair(monkeypatch):
    monkeypatch.setattr("nncore.compiler.prepared.lower", lower_pair)
    return Pair(4, 3, seed=1)


def test_a_step_of_several_inputs_and_heads(pair):
    a, b = numbers(9, 4), numbers(9, 4, seed=1)
    step = nc.compile(pair, input_shape=((4,), (4,)), max_batch=9)
    total, difference = step.forward((a, b))
    assert_same_bits(total, pair(a) + pair(b))
    assert_same_bits(difference, pair(a) - pair(b))
    for given, right in zip(step.predict((a, b)), (total, difference), strict=True):
        assert_same_bits(given, right)
    outs = np.empty((9, 3), np.float32), np.empty((9, 3), np.float32)
    assert step.predict((a, b), out=outs)[1] is outs[1]
    assert_same_bits(step.output[0], total)
    step.forward((a, b))
    da, db = step.backward((total, difference), input_grad=True)
    np.testing.assert_allclose(da, (total + difference) @ pair.weight.data, rtol=1e-5)
    np.testing.assert_allclose(db, (total - difference) @ pair.weight.data, rtol=1e-5)
    step.forward((a, b))
    with pytest.raises(ValueError, match="tuple of 2 gradients"):
        step.backward(total)
    with pytest.raises(ValueError, match="9 and 8 samples"):
        step.forward((a, b[:8]))
    with pytest.raises(ValueError, match="x is 1 arrays, the step was built for 2"):
        step.predict(a)
    with pytest.raises(ValueError, match="out has 1 arrays"):
        step.predict((a, b), out=outs[:1])


def test_training_and_epochs_of_several_inputs(pair):
    a, b, y = numbers(23, 4), numbers(23, 4, seed=1), numbers(23, 3, seed=2)
    twin = Pair(4, 3, seed=1)
    order = np.arange(23)[::-1]
    losses = []
    for model, whole in ((pair, True), (twin, False)):
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        step = nc.compile(model, nn.MSELoss(), optimizer)
        if whole:
            losses.append(list(step.epoch((a, b), y, order, 8)))
        else:
            rows = [order[i : i + 8] for i in range(0, 23, 8)]
            losses.append([step((a[r], b[r]), y[r]) for r in rows])
        assert step.evaluate((a, b), y) == pytest.approx(step.gradients((a, b), y))
    assert losses[0] == losses[1]
    assert_same_bits(pair.weight.data, twin.weight.data)


def test_a_chain_takes_one_array():
    step = nc.compile(nn.Linear(4, 3))
    with pytest.raises(TypeError, match="Linear has one input, got 2 arrays"):
        step.predict((numbers(2, 4), numbers(2, 4)))
    assert step.predict(((1.0, 2, 3, 4), (1.0, 2, 3, 4))).shape == (2, 3)


def test_arrays_that_do_not_fit_a_graph():
    nodes, sources, outputs, shapes = two_sources(np.float32)
    step = engine.Step(nodes, np.float32, sources=sources, outputs=outputs)
    x = tuple(numbers(*shape) for shape in shapes)
    for wrong in (x[0], (x[0],), (x[0], x[1][:4]), (x[0], x[1][:, :5]), (*x, x[0])):
        with pytest.raises(ValueError, match="Step"):
            step.forward(wrong)
    step.forward(x)
    for wrong in (x[0], (x[0],), (x[0], x[1][:4])):
        with pytest.raises(ValueError, match="Step"):
            step.backward(wrong, True)
    with pytest.raises(ValueError, match="Step: 1 inputs, the step was built for 2"):
        step.epoch(engine.STEP_PREDICT, (x[0], False), None, None, N, 2, [], None, None, None)
    with pytest.raises(ValueError, match="weight or bias has 36 elements, expected 30"):
        engine.Step(
            [node("linear", (), [(N, 5)], (N, 6), channels=6, weight=numbers(6, 6))], np.float32
        )
    with pytest.raises(ValueError, match=r"input\[1\] is 5, expected below 3"):
        engine.Step([node("add", (0, 5), [(N, 6), (N, 6)], (N, 6))], np.float32, sources=3)


def test_calls_are_counted_in_training():
    calls = np.zeros(1, np.uint64)
    nodes = [node("relu", (), [(N, 6)], (N, 6), training=True, calls=calls)]
    step = engine.Step(nodes, np.float32)
    x = numbers(N, 6)
    step.predict(x)
    assert calls[0] == 0
    step.forward(x)
    assert calls[0] == 1
    engine.operation_forward(nodes[0], x)
    assert calls[0] == 2
