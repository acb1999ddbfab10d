"""Sums and products of two arrays, Scale, Concatenate and Reshape against the reference."""

import numpy as np
import pytest
from tolerance import assert_same_bits

from nncore import reference
from nncore._core import engine
from nncore.nn.operation import Operation

# The second of two arrays, then a weight.
ARRAYS = [
    ((5, 67), (5, 67)),
    ((3, 19, 4, 3), (3, 19, 4, 3)),
    ((3, 19, 4, 3), (3, 19, 1, 1)),
    ((0, 4), (0, 4)),
    ((5, 9), (5, 1)),
    ((2, 3, 4, 5), (2, 1, 4, 5)),
    ((1, 1), (1, 1)),
]
WEIGHTS = [
    ((300, 67), (1, 67)),
    ((3, 5, 4, 3), (1, 5, 4, 3)),
    ((3, 5, 4, 3), (1, 5, 1, 1)),
    ((7, 5), (1, 1)),
    ((0, 4), (1, 4)),
]


def close(actual, expected, terms=1):
    """Both of the size of one, sums of so many of them."""
    assert actual.shape == expected.shape
    bound = 8 * terms * np.finfo(actual.dtype).eps
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound)


def expected_of(name, x, other, grad):
    x, other, grad = (array.astype(np.float64) for array in (x, other, grad))
    backward = getattr(reference, f"{name}_backward")
    grads = backward(grad, x, other) if name == "multiply" else backward(grad, other.shape)
    return getattr(reference, name)(x, other), *grads


def numbers(rng, shape, dtype):
    return rng.uniform(-1, 1, shape).astype(dtype)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply"])
@pytest.mark.parametrize(("shape", "other"), ARRAYS)
def test_of_two_arrays(name, shape, other, isa, dtype, rng):
    x, b, grad = (numbers(rng, each, dtype) for each in (shape, other, shape))
    operation = Operation("sum", name, shape, shape, more_shapes=(other,))
    y, kept = engine.operation_forward(operation, np.asfortranarray(x), b)
    dx, (db,) = engine.operation_backward(operation, kept, grad)
    right = expected_of(name, x, b, grad)
    np.testing.assert_array_equal(y, getattr(np, name)(x, b))  # rounded once, as NumPy does
    close(dx, right[1])
    close(db, right[2], max(1, x.size // max(1, b.size)))


@pytest.mark.parametrize("name", ["add", "subtract", "multiply"])
@pytest.mark.parametrize(("shape", "other"), WEIGHTS)
def test_with_a_weight(name, shape, other, isa, dtype, rng):
    x, weight, grad = (numbers(rng, each, dtype) for each in (shape, other, shape))
    before = numbers(rng, other, dtype)
    gradient = before.copy()
    operation = Operation("sum", name, shape, shape, weight=weight, weight_grad=gradient)
    y, kept = engine.operation_forward(operation, x)
    dx, _ = engine.operation_backward(operation, kept, grad)
    right = expected_of(name, x, weight, grad)
    np.testing.assert_array_equal(y, getattr(np, name)(x, weight))
    close(dx, right[1])
    close(gradient, before + right[2], max(1, x.size // weight.size))


def test_the_same_bits_for_any_threads(rng):
    x, grad = numbers(rng, (64, 130), np.float32), numbers(rng, (64, 130), np.float32)
    gradients = []
    before = engine.threads_get(), engine.threads_threshold_get()
    for threads in (1, 2):
        engine.threads_set(threads)
        engine.threads_threshold_set(0)
        gradient = np.zeros((1, 130), np.float32)
        operation = Operation(
            "p", "multiply", x.shape, x.shape, weight=x[:1].copy(), weight_grad=gradient
        )
        _, kept = engine.operation_forward(operation, x)
        engine.operation_backward(operation, kept, grad)
        gradients.append(gradient)
    engine.threads_set(before[0])
    engine.threads_threshold_set(before[1])
    assert_same_bits(*gradients)


@pytest.mark.parametrize("sizes", [(1, 9), (5, 0, 3), (17, 2, 1, 40)])
@pytest.mark.parametrize("rest", [(), (3, 4)])
def test_concatenate(sizes, rest, isa, dtype, rng):
    arrays = [numbers(rng, (6, size, *rest), dtype) for size in sizes]
    shapes = [array.shape for array in arrays]
    y_shape = (6, sum(sizes), *rest)
    operation = Operation("join", "concatenate", shapes[0], y_shape, more_shapes=tuple(shapes[1:]))
    y, kept = engine.operation_forward(operation, *arrays)
    np.testing.assert_array_equal(y, reference.concatenate(arrays))
    dx, others = engine.operation_backward(operation, kept, y)
    for given, right in zip((dx, *others), reference.concatenate_backward(y, sizes), strict=True):
        np.testing.assert_array_equal(given, right)


@pytest.mark.parametrize(("shape", "sample"), [
    ((3, 24), (4, 3, 2)), ((3, 4, 3, 2), (24,)), ((2, 6, 2, 5), (3, 4, 5)), ((2, 6), (6,)),
    ((0, 6), (2, 3, 1)), ((2, 5), (1, 1, 5)),
])  # fmt: skip
def test_reshape(shape, sample, isa, dtype, rng):
    x = numbers(rng, shape, dtype)
    operation = Operation("reshape", "reshape", shape, (shape[0], *sample))
    y, kept = engine.operation_forward(operation, x)
    np.testing.assert_array_equal(y, reference.reshape(x, sample))
    dx, _ = engine.operation_backward(operation, kept, y)
    np.testing.assert_array_equal(dx, x)


@pytest.mark.parametrize("shape", [(67,), (5, 1000), (2, 3, 4, 5), (0, 3)])
def test_scale(shape, isa, dtype, rng):
    x = numbers(rng, shape, dtype)
    operation = Operation("scale", "scale", shape, shape, parameter=(-0.75, 0.5))
    y, kept = engine.operation_forward(operation, x)
    close(y, reference.scale(x.astype(np.float64), -0.75, 0.5))
    dx, _ = engine.operation_backward(operation, kept, y)
    np.testing.assert_array_equal(dx, reference.scale_backward(y, -0.75))


def test_shapes_that_do_not_fit():
    x = np.zeros((3, 5), np.float32)
    for kind, more in (("add", (3, 4)), ("add", (2, 5)), ("concatenate", (2, 5))):
        operation = Operation("Sum", kind, x.shape, x.shape, more_shapes=(more,))
        with pytest.raises(ValueError, match=r"Sum: other.shape"):
            engine.operation_forward(operation, x, np.zeros(more, np.float32))
    with pytest.raises(ValueError, match="inputs is 2, expected equal to 1"):
        engine.operation_forward(
            Operation("R", "relu", x.shape, x.shape, more_shapes=(x.shape,)), x, x
        )
    with pytest.raises(ValueError, match="elements a sample is 4, expected equal to 5"):
        engine.operation_forward(Operation("R", "reshape", x.shape, (3, 2, 2, 1)), x)
