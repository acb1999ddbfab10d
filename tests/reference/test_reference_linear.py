"""The fully connected layer of nncore.reference."""

import numpy as np
import pytest

from nncore import reference

SIZES = [(5, 7, 3), (1, 1, 1), (33, 20, 17), (4, 6, 1)]


def operands(rng, sizes, dtype):
    n, inputs, outputs = sizes
    shapes = (n, inputs), (outputs, inputs), (outputs,), (n, outputs)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("sizes", SIZES)
def test_equals_pytorch(sizes, dtype, rng, close, torch, torch_gradients):
    x, weight, bias, grad = operands(rng, sizes, dtype)
    theirs = torch_gradients(torch.nn.functional.linear, x, weight, bias, grad=grad)
    close(reference.linear(x, weight, bias), theirs.y)
    for ours, their in zip(reference.linear_backward(grad, x, weight), theirs.grads, strict=True):
        close(ours, their)


def test_is_the_sum_of_products(rng, close):
    x, weight, bias, _ = operands(rng, (3, 4, 2), np.float64)
    y = [[sum(w * v for w, v in zip(row, sample, strict=True)) for row in weight] for sample in x]
    close(reference.linear(x, weight), np.array(y))
    close(reference.linear(x, weight, bias), np.array(y) + bias)


def test_numerical_gradients(rng, close, numerical_gradient):
    x, weight, bias, grad = operands(rng, (3, 4, 2), np.float64)
    dx, dweight, dbias = reference.linear_backward(grad, x, weight)
    linear = reference.linear
    close(dx, numerical_gradient(lambda a: linear(a, weight, bias), x, grad), 1e-7)
    close(dweight, numerical_gradient(lambda a: linear(x, a, bias), weight, grad), 1e-7)
    close(dbias, numerical_gradient(lambda a: linear(x, weight, a), bias, grad), 1e-7)


@pytest.mark.parametrize("sizes", SIZES)
def test_per_sample_loop_is_the_same(sizes, dtype, rng, close):
    x, weight, _, grad = operands(rng, sizes, dtype)
    loop = reference.linear_backward_per_sample(grad, x, weight)
    for a, b in zip(loop, reference.linear_backward(grad, x, weight), strict=True):
        close(a, b)


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_any_leading_axes(lead, rng, close):
    x, weight = rng.standard_normal((*lead, 4)), rng.standard_normal((5, 4))
    grad = rng.standard_normal((*lead, 5))
    close(reference.linear(x, weight), np.tensordot(x, weight, (-1, 1)))
    dx, dweight, dbias = reference.linear_backward(grad, x, weight)
    flat_x, flat_grad = x.reshape(-1, 4), grad.reshape(-1, 5)
    flat = reference.linear_backward(flat_grad, flat_x, weight)
    close(dx.reshape(-1, 4), flat[0])
    close(dweight, flat[1])
    close(dbias, flat[2])
    assert dx.shape == x.shape


@pytest.mark.parametrize("backward", ["linear_backward", "linear_backward_per_sample"])
@pytest.mark.parametrize(("n", "inputs", "outputs"), [(0, 3, 2), (4, 0, 2), (4, 3, 0), (0, 0, 0)])
def test_nothing_to_sum(backward, n, inputs, outputs, dtype):
    x, weight = np.ones((n, inputs), dtype), np.ones((outputs, inputs), dtype)
    bias, grad = np.arange(outputs, dtype=dtype), np.ones((n, outputs), dtype)
    y = reference.linear(x, weight, bias)
    np.testing.assert_array_equal(y, np.full((n, outputs), inputs) + bias)
    dx, dweight, dbias = getattr(reference, backward)(grad, x, weight)
    np.testing.assert_array_equal(dx, np.full((n, inputs), outputs))
    np.testing.assert_array_equal(dweight, np.full((outputs, inputs), n))
    np.testing.assert_array_equal(dbias, np.full(outputs, n))
    assert {a.dtype for a in (y, dx, dweight, dbias)} == {np.dtype(dtype)}


def test_zero_times_inf_is_nan_and_silent():
    x, weight = np.array([[0.0, 1.0]]), np.array([[np.inf, 1.0], [1.0, 1.0]])
    with np.errstate(all="raise"):
        y = reference.linear(x, weight)
        dx, dweight, _ = reference.linear_backward(np.array([[0.0, np.inf]]), x, weight)
    np.testing.assert_array_equal(y, [[np.nan, 1]])
    np.testing.assert_array_equal(dx, [[np.nan, np.inf]])
    np.testing.assert_array_equal(dweight, [[0, 0], [np.nan, np.inf]])
