"""Adaptive pooling, resizing and transposed convolution beside PyTorch's."""

import numpy as np
import pytest

from nncore import reference


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def leaf(torch, array):
    return torch.from_numpy(array.copy()).requires_grad_()


@pytest.mark.parametrize("shape", [(2, 3, 7, 5), (3, 6, 6), (1, 2, 1, 4)])
@pytest.mark.parametrize("size", [1, 2, (3, 4), (9, 2)])
def test_adaptive_pooling(torch, rng, shape, size):
    x = rng.standard_normal(shape)
    grad = rng.standard_normal((*shape[:-2], *np.broadcast_to(size, 2)))
    inputs = leaf(torch, x)
    expected = torch.nn.functional.adaptive_avg_pool2d(inputs, size)
    np.testing.assert_allclose(reference.adaptive_avg_pool2d(x, size), expected.detach(), 1e-12)
    expected.backward(torch.from_numpy(grad))
    dx = reference.adaptive_avg_pool2d_backward(grad, shape)
    np.testing.assert_allclose(dx, inputs.grad, 1e-12, 1e-12)

    inputs = leaf(torch, x)
    expected, place = torch.nn.functional.adaptive_max_pool2d(inputs, size, return_indices=True)
    y, index = reference.adaptive_max_pool2d(x, size)
    np.testing.assert_array_equal(y, expected.detach())
    np.testing.assert_array_equal(index, place)
    expected.backward(torch.from_numpy(grad))
    dx = reference.adaptive_max_pool2d_backward(grad, index, shape)
    np.testing.assert_allclose(dx, inputs.grad, 1e-12, 1e-12)


def test_adaptive_pooling_needs_something():
    with pytest.raises(ValueError, match="positive"):
        reference.adaptive_avg_pool2d(np.ones((1, 2, 0, 3)), 2)
    with pytest.raises(ValueError, match="positive"):
        reference.adaptive_max_pool2d(np.ones((1, 2, 2, 3)), 0)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "aligned"])
@pytest.mark.parametrize("size", [(7, 5), (3, 9), (14, 2), (1, 1)])
def test_resize(torch, rng, mode, size):
    x = rng.standard_normal((2, 3, 7, 5))
    options = {"mode": "nearest"} if mode == "nearest" else {"mode": "bilinear"}
    if mode == "aligned":
        options["align_corners"] = True
        step = tuple((b - 1) / (a - 1) if a > 1 else 0 for b, a in zip((7, 5), size, strict=True))
    else:
        step = 7 / size[0], 5 / size[1]
    inputs = leaf(torch, x)
    expected = torch.nn.functional.interpolate(inputs, size, **options)
    y = reference.resize2d(x, size, step, mode)
    np.testing.assert_allclose(y, expected.detach(), 1e-12, 1e-12)
    grad = rng.standard_normal(y.shape)
    expected.backward(torch.from_numpy(grad))
    dx = reference.resize2d_backward(grad, x.shape, step, mode)
    np.testing.assert_allclose(dx, inputs.grad, 1e-12, 1e-12)


def test_resize_knows_its_modes():
    with pytest.raises(ValueError, match="mode must be"):
        reference.resize2d(np.ones((1, 1, 2, 2)), (2, 3), (1, 1), "cubic")


@pytest.mark.parametrize(
    "geometry",
    [(1, 0, 0, 1, 1), (2, 1, 1, 1, 1), ((2, 3), (0, 2), (1, 2), 2, 1), (1, 1, (0, 2), 2, (2, 3))],
    ids=str,
)
def test_transposed_convolution(torch, rng, geometry):
    x, weight = rng.standard_normal((2, 4, 5, 3)), rng.standard_normal((4, 6 // geometry[3], 3, 2))
    bias = rng.standard_normal(6)
    inputs = [leaf(torch, array) for array in (x, weight, bias)]
    expected = torch.nn.functional.conv_transpose2d(*inputs, *geometry)
    y = reference.conv_transpose2d(x, weight, bias, *geometry)
    np.testing.assert_allclose(y, expected.detach(), 1e-12, 1e-12)
    grad = rng.standard_normal(y.shape)
    expected.backward(torch.from_numpy(grad))
    results = reference.conv_transpose2d_backward(grad, x, weight, *geometry)
    for result, other in zip(results, inputs, strict=True):
        np.testing.assert_allclose(result, other.grad, 1e-12, 1e-12)
    with pytest.raises(ValueError, match="grad has shape"):
        reference.conv_transpose2d_backward(grad[..., :-1], x, weight, *geometry)


def test_transposed_convolution_refuses_what_does_not_fit():
    x, weight = np.ones((1, 3, 2, 2)), np.ones((3, 1, 1, 1))
    with pytest.raises(ValueError, match="groups"):
        reference.conv_transpose2d(x, weight, groups=2)
    with pytest.raises(ValueError, match="an output of"):
        reference.conv_transpose2d(x, weight, padding=1)


def test_padding_that_is_larger_at_the_end(torch, rng):
    x, weight = rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((2, 3, 2, 4))
    y = reference.conv2d(x, weight, None, 1, (0, 1), 1, 1, (1, 1))
    inputs = leaf(torch, x)
    padded = torch.nn.functional.pad(inputs, (1, 2, 0, 1))
    expected = torch.nn.functional.conv2d(padded, torch.from_numpy(weight))
    np.testing.assert_allclose(y, expected.detach(), 1e-12, 1e-12)
    grad = rng.standard_normal(y.shape)
    expected.backward(torch.from_numpy(grad))
    dx, _, _ = reference.conv2d_backward(grad, x, weight, 1, (0, 1), 1, 1, (1, 1))
    np.testing.assert_allclose(dx, inputs.grad, 1e-12, 1e-12)
    weight[0, 0, 1, 0] = np.inf
    y = reference.conv2d(x, weight, None, 1, (0, 1), 1, 1, (1, 1))
    assert not np.isnan(y).any()
