"""What the tests of optimisers share."""

from types import SimpleNamespace

import numpy as np
import pytest

from nncore import nn, optim


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def pairs(torch):
    """Equal parameters here and in PyTorch, under the same rule; `step` does one in both."""

    def build(rule, numbers, groups, dtype, rng):
        ours, theirs, ours_groups, their_groups = [], [], [], []
        for shapes, own in groups:
            values = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
            mine = [nn.Parameter(value) for value in values]
            other = [torch.nn.Parameter(torch.from_numpy(value.copy())) for value in values]
            ours += mine
            theirs += other
            ours_groups.append({"params": mine, **own})
            their_groups.append({"params": other, **own})
        pair = SimpleNamespace(
            parameters=ours,
            others=theirs,
            ours=getattr(optim, rule)(ours_groups, **numbers),
            theirs=getattr(torch.optim, rule)(their_groups, **numbers),
            rng=rng,
        )

        def step():
            for p, other in zip(ours, theirs, strict=True):
                grad = rng.standard_normal(p.shape).astype(p.dtype)
                p.grad[...] = grad
                # A frozen parameter has no gradient in PyTorch; its optimisers leave it out.
                other.grad = torch.from_numpy(grad) if p.requires_grad else None
            pair.ours.step()
            pair.theirs.step()

        def check(bound=None):
            for p, other in zip(ours, theirs, strict=True):
                bound = bound or (1e-9 if p.dtype == np.float64 else 1e-4)
                np.testing.assert_allclose(p.data, other.detach().numpy(), rtol=bound, atol=bound)

        pair.step, pair.check = step, check
        return pair

    return build
