"""Sums, products and rearrangements against PyTorch's autograd."""

import numpy as np
import pytest

from nncore import reference

SHAPES = [
    ((4, 3), (4, 3)),
    ((4, 3), (1, 3)),
    ((2, 3, 4, 5), (2, 3, 1, 1)),
    ((2, 3, 4, 5), (1, 1, 1, 1)),
]


@pytest.mark.parametrize("name", ["add", "subtract", "multiply"])
@pytest.mark.parametrize(("shape", "other"), SHAPES)
def test_of_two_arrays(name, shape, other, rng):
    torch = pytest.importorskip("torch")
    x, b, grad = rng.normal(size=shape), rng.normal(size=other), rng.normal(size=shape)
    tx, tb = torch.tensor(x, requires_grad=True), torch.tensor(b, requires_grad=True)
    y = getattr(torch, name)(tx, tb)
    y.backward(torch.tensor(grad))
    np.testing.assert_array_equal(getattr(reference, name)(x, b), y.detach().numpy())
    backward = getattr(reference, f"{name}_backward")
    dx, db = backward(grad, x, b) if name == "multiply" else backward(grad, other)
    np.testing.assert_allclose(dx, tx.grad.numpy(), rtol=1e-14)
    np.testing.assert_allclose(db, tb.grad.numpy(), rtol=1e-12, atol=1e-14)


def test_rearrangements(rng):
    torch = pytest.importorskip("torch")
    x, b = rng.normal(size=(2, 6)), rng.normal(size=(2, 3))
    np.testing.assert_array_equal(
        reference.concatenate([x, b]), torch.cat([torch.tensor(x), torch.tensor(b)], 1).numpy()
    )
    dx, db = reference.concatenate_backward(np.concatenate([x, b], 1), [6, 3])
    np.testing.assert_array_equal(dx, x)
    np.testing.assert_array_equal(db, b)
    y = reference.reshape(x, (3, 2, 1))
    assert y.shape == (2, 3, 2, 1)
    np.testing.assert_array_equal(reference.reshape_backward(y, (2, 6)), x)
    np.testing.assert_array_equal(reference.scale(x, 3, 1), 3 * x + 1)
    np.testing.assert_array_equal(reference.scale_backward(x, 3), 3 * x)
