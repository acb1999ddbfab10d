"""What the tests of nncore.reference share."""

from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture(scope="session")
def close():
    """Compare by element, to rounding of the dtype; the dtype and the shape must be equal too."""

    def check(actual, expected, tolerance=None):
        actual, expected = np.asarray(actual), np.asarray(expected)
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        tolerance = tolerance or (1e-12 if actual.dtype == np.float64 else 1e-5)
        finite = np.abs(expected[np.isfinite(expected)])
        scale = max(1.0, finite.max(initial=0.0))
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)

    return check


@pytest.fixture(scope="session")
def numerical_gradient():
    """d(sum(grad * f(x)))/dx by central differences, x in float64."""

    def gradient(f, x, grad, step=1e-6):
        dx = np.zeros_like(x)
        for i in np.ndindex(x.shape):
            up, down = x.copy(), x.copy()
            up[i] += step
            down[i] -= step
            dx[i] = np.sum(grad * (f(up) - f(down))) / (2 * step)
        return dx

    return gradient


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def torch_gradients(torch):
    """Run f of torch on arrays; return y and the gradients of its inputs as arrays."""

    def run(f, *inputs, grad=None):
        leaves = [torch.tensor(a, requires_grad=True) for a in inputs]
        y = f(*leaves)
        grad = np.ones(y.shape, inputs[0].dtype) if grad is None else grad
        y.backward(torch.tensor(np.array(grad)))
        return SimpleNamespace(y=y.detach().numpy(), grads=[a.grad.numpy() for a in leaves])

    return run
