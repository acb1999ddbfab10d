"""Looking into composed modules, modules with hooks, and modules that a forward changes."""

import numpy as np
import pytest

from nncore import inspection, nn


class Scores:
    """A loss whose gradient is 1 everywhere: C is the sum of the outputs."""

    def __call__(self, y, _):
        self.shape, self.dtype = y.shape, y.dtype
        return float(y.sum())

    def backward(self):
        return np.ones(self.shape, self.dtype)


@pytest.fixture
def residual():
    body = nn.Sequential(nn.Linear(4, 4, seed=1), nn.Tanh(), nn.Linear(4, 4, seed=2))
    return nn.Sequential(nn.Linear(3, 4, seed=0), nn.Residual(body), nn.ReLU(), nn.Linear(4, 2))


def test_a_residual_block(residual, rng):
    x = rng.standard_normal((5, 3)).astype(np.float32)
    a = inspection.activations(residual, x)
    assert list(a) == ["0", "1.body.0", "1.body.1", "1.body.2", "1", "2", "3"]
    np.testing.assert_array_equal(a["1"], a["0"] + a["1.body.2"])
    assert "forward" not in vars(residual[1])
    np.testing.assert_array_equal(a["1.body.0"], residual[1].body[0](a["0"]))
    np.testing.assert_array_equal(a["2"], np.maximum(a["0"] + a["1.body.2"], 0))
    np.testing.assert_array_equal(a["3"], residual(x))
    grad = inspection.gradients(residual, x, None, Scores())
    over = np.ones((5, 2), np.float32) @ residual[3].weight.data * (a["2"] > 0)
    np.testing.assert_allclose(grad["1.body.2"], over, rtol=1e-6)
    inner = over @ residual[1].body[2].weight.data
    np.testing.assert_allclose(grad["1.body.1"], inner, rtol=1e-5)
    around = inner * (1 - a["1.body.1"] ** 2) @ residual[1].body[0].weight.data
    np.testing.assert_allclose(grad["0"], over + around, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(grad["0.weight"], grad["0"].T @ x, rtol=1e-4, atol=1e-5)
    assert not any(p.grad.any() for p in residual.parameters())


def test_a_layer_used_twice_and_one_whose_output_is_lost(rng):
    class Own(nn.Module):
        def __init__(self):
            self.shared, self.act = nn.Linear(3, 3, seed=0), nn.Tanh()

        def forward(self, x):
            first = self.shared(x)
            second = self.shared(self.act(first))
            self.shared(second)  # nobody reads it
            return first - second

    model, x = Own(), rng.standard_normal((4, 3)).astype(np.float32)
    a = inspection.activations(model, x)
    assert list(a) == ["shared", "act", "shared/2", "shared/3"]
    grad = inspection.gradients(model, x, None, Scores())
    assert "shared/3" not in grad
    assert (grad["shared/2"] == -1).all()
    through = -np.ones((4, 3)) @ model.shared.weight.data * (1 - a["act"] ** 2)
    np.testing.assert_allclose(grad["shared"], 1 + through, rtol=1e-5, atol=1e-6)


def test_blocks_within_blocks_used_twice(rng):
    class Twice(nn.Module):
        def __init__(self):
            self.block = nn.Residual(nn.Concat(nn.Linear(4, 1, seed=0), nn.Linear(4, 3, seed=1)))

        def forward(self, x):
            return self.block(self.block.forward(x))

    model, x = Twice(), rng.standard_normal((2, 4)).astype(np.float32)
    a = inspection.activations(model, x)
    parts = ["block.body.0", "block.body.1", "block.body", "block"]
    assert list(a) == parts + [f"{name}/2" for name in parts]
    np.testing.assert_array_equal(a["block.body"][:, :1], a["block.body.0"])
    np.testing.assert_array_equal(a["block"], x + a["block.body"])
    np.testing.assert_array_equal(a["block/2"], model(x))
    assert "block" not in inspection.gradients(model, x, None, Scores())


def test_pictures_of_a_residual_network(rng):
    body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, seed=1), nn.ReLU())
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, seed=0), nn.Residual(body), nn.Flatten(), nn.Linear(100, 3)
    )
    x = rng.standard_normal((2, 1, 5, 5)).astype(np.float32)
    assert inspection.grad_cam(model, x).shape == (2, 5, 5)
    assert inspection.saliency(model, x).shape == (2, 5, 5)
    assert list(inspection.units(model, x)) == ["1.body.1"]
    np.testing.assert_array_equal(inspection.features(model, x), nn.utils.features(model[:-1], x))


def test_hooks_are_called_and_stay(residual, rng):
    x, seen = rng.standard_normal((2, 3)).astype(np.float32), []
    with residual[1].body[0].register_forward_hook(lambda *given: seen.append(given[2])):
        a = inspection.activations(residual, x)
        assert seen[0] is a["1.body.0"]
        residual(x)
        assert len(seen) == 2
    residual(x)
    assert len(seen) == 2
    assert not {"_forward", "_backward", "_backward_last"} & vars(residual[1].body[0]).keys()


def test_running_statistics_and_random_streams_stay(rng):
    model = nn.Sequential(
        nn.Linear(3, 4, seed=0), nn.BatchNorm1d(4), nn.Dropout(0.5, seed=1), nn.Linear(4, 2)
    )
    x, before = rng.standard_normal((6, 3)).astype(np.float32), model.state_dict()
    first = inspection.activations(model, x)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert (first["2"] == 0).any()  # in training mode it drops
    np.testing.assert_array_equal(model(x), first["3"])  # the same call, the same mask


def test_whole_numbers_have_no_gradient(rng):
    model = nn.Sequential(nn.Embedding(5, 3, seed=0), nn.Flatten(), nn.Linear(6, 2, seed=1))
    x = np.array([[0, 1], [4, 4]])
    grad = inspection.gradients(model, x, None, Scores())
    np.testing.assert_allclose(grad["0"][0, 0], np.ones(2) @ model[2].weight.data[:, :3])
    assert (grad["0.weight"][2:4] == 0).all()


def test_explain_is_for_chains(residual, rng):
    x = rng.standard_normal((1, 3)).astype(np.float32)
    with pytest.raises(ValueError, match=r"something else follows 1\.body\.2 than the next layer"):
        inspection.explain(residual, x, np.zeros((1, 2), np.float32), nn.MSELoss())
