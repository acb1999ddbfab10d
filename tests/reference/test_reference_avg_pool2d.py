"""Average pooling of nncore.reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nncore import reference


def pair_of(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def geometries(draw):
    kernel = draw(pair_of(1, 4))
    padding = tuple(draw(st.integers(0, (k + 2) // 2)) for k in kernel)
    divisor = draw(st.none() | st.integers(1, 9))
    return kernel, draw(pair_of(1, 5)), padding, draw(st.booleans()), draw(st.booleans()), divisor


@settings(max_examples=300, deadline=None)
@given(geometry=geometries(), size=pair_of(1, 11), seed=st.integers(0, 2**32 - 1))
def test_any_geometry_equals_pytorch(torch, geometry, size, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 3, *size))
    leaf = torch.tensor(x, requires_grad=True)
    try:
        y = reference.avg_pool2d(x, *geometry)
    except ValueError:
        with pytest.raises(RuntimeError):
            torch.nn.functional.avg_pool2d(leaf, *geometry)
        return
    theirs = torch.nn.functional.avg_pool2d(leaf, *geometry)
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-12, atol=1e-12)
    grad = rng.standard_normal(y.shape)
    theirs.backward(torch.tensor(grad))
    dx = reference.avg_pool2d_backward(grad, x.shape, *geometry)
    np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=1e-12, atol=1e-12)


def test_examples(dtype):
    x = np.arange(1, 17, dtype=dtype).reshape(1, 4, 4)
    y = reference.avg_pool2d(x, 3, 2, ceil_mode=True)
    np.testing.assert_array_equal(y, np.array([[[6, 7.5], [12, 13.5]]], dtype), strict=True)
    y = reference.avg_pool2d(np.ones((1, 2, 2), dtype), 3, 1, 1)
    np.testing.assert_array_equal(y, np.full((1, 2, 2), dtype(4) / dtype(9)), strict=True)


def test_global(dtype, rng, close):
    x = rng.standard_normal((2, 3, 4, 5)).astype(dtype)
    close(reference.global_avg_pool2d(x), x.mean(axis=(2, 3), keepdims=True, dtype=dtype))
    grad = rng.standard_normal((2, 3, 1, 1)).astype(dtype)
    dx = reference.global_avg_pool2d_backward(grad, x.shape)
    close(dx, np.broadcast_to(grad / dtype(20), x.shape))


def test_numerical_gradient(rng, close, numerical_gradient):
    x, grad = rng.standard_normal((2, 5, 4)), rng.standard_normal((2, 3, 2))

    def pool(values):
        return reference.avg_pool2d(values, 3, 2, 1, count_include_pad=False)

    dx = reference.avg_pool2d_backward(grad, x.shape, 3, 2, 1, count_include_pad=False)
    close(dx, numerical_gradient(pool, x, grad), 1e-7)


def test_impossible_windows():
    with pytest.raises(ValueError, match="channels, height and width must be positive"):
        reference.avg_pool2d(np.ones((2, 0, 4, 4)), 2)
    with pytest.raises(ValueError, match="padding must be at most half"):
        reference.avg_pool2d(np.ones((1, 4, 4)), 2, 2, 2)
    assert reference.avg_pool2d(np.ones((0, 2, 4, 4)), 2).shape == (0, 2, 2, 2)
