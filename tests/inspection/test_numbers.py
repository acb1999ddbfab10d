"""The numbers behind the pictures, against plain NumPy and PyTorch."""

import numpy as np
import pytest

from nncore import inspection, nn


def test_activations_are_those_of_the_layers(small_cnn, images):
    x, _ = images
    found = inspection.activations(small_cnn.eval(), x)
    assert list(found) == ["0", "1", "2", "3", "4"]
    value = x
    for name, a in found.items():
        value = small_cnn[int(name)](value)
        np.testing.assert_array_equal(a, value)
    assert list(inspection.activations(nn.ReLU(), x)) == ["ReLU"]


def test_a_shared_layer_has_two_names():
    layer = nn.Linear(3, 3, seed=0)
    found = inspection.activations(nn.Sequential(layer, nn.Tanh(), layer), np.ones((2, 3)))
    assert list(found) == ["0", "1", "0/2"]


def test_gradients_equal_pytorchs(small_cnn, images):
    torch = pytest.importorskip("torch")
    x, y = images
    small_cnn[0].weight.grad[...] = 7
    found = inspection.gradients(small_cnn, x, y, nn.CrossEntropyLoss())
    np.testing.assert_array_equal(small_cnn[0].weight.grad, 7)
    twin = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(64, 3),
    )
    twin.load_state_dict({k: torch.from_numpy(v) for k, v in small_cnn.state_dict().items()})
    value, kept = torch.from_numpy(x), []
    for layer in twin:
        value = layer(value)
        value.retain_grad()
        kept.append(value)
    torch.nn.functional.cross_entropy(value, torch.from_numpy(y)).backward()
    for number, theirs in enumerate(kept):
        np.testing.assert_allclose(found[str(number)], theirs.grad.numpy(), atol=1e-6)
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(found[name], parameter.grad.numpy(), atol=1e-5)


def test_dead_and_saturated_units():
    model = nn.Sequential(nn.Linear(1, 3, seed=0), nn.ReLU(), nn.Linear(3, 2, seed=1), nn.Sigmoid())
    model[0].weight.data[...] = [[1], [-1], [0]]
    model[0].bias.data[...] = [0, 0, -1]
    model[2].weight.data[...] = [[1000, 1000, 0], [0, 0, 0]]
    model[2].bias.data[...] = 0
    found = inspection.units(model, np.linspace(-1, 1, 101, dtype=np.float32)[:, None])
    relu, sigmoid = found["1"], found["3"]
    np.testing.assert_array_equal(relu.dead, [False, False, True])
    np.testing.assert_allclose(relu.active, [50 / 101, 50 / 101, 0])
    assert relu.histogram.sum() == 303
    np.testing.assert_allclose(sigmoid.saturated, [100 / 101, 0], atol=0.02)
    assert not sigmoid.dead.any()
    assert "dead 1 (33%)" in str(relu)
    assert "saturated" in str(sigmoid)


def test_saliency_of_a_linear_model_is_its_weights():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, seed=0))
    x = np.random.default_rng(0).normal(size=(4, 2, 2, 3)).astype(np.float32)
    weight = np.abs(model[1].weight.data.reshape(3, 2, 2, 3)).max(axis=1)
    np.testing.assert_allclose(inspection.saliency(model, x, 2), np.stack([weight[2]] * 4))
    chosen = model(x).argmax(axis=1)
    np.testing.assert_allclose(inspection.saliency(model, x), weight[chosen])
    with pytest.raises(IndexError, match="saliency: target 3, expected a class from 0 to 2"):
        inspection.saliency(model, x, [0, 1, 2, 3])


def test_grad_cam(small_cnn, images):
    x, _ = images
    maps = inspection.grad_cam(small_cnn, x, 1)
    assert maps.shape == (12, 8, 8)
    assert maps.min() >= 0
    assert maps.max() == pytest.approx(1)
    a = inspection.activations(small_cnn, x)["1"]

    class Scores:
        def __call__(self, _y, _t):
            return 0.0

        def backward(self):
            grad = np.zeros((12, 3), np.float32)
            grad[:, 1] = 1
            return grad

    grad = inspection.gradients(small_cnn, x, None, Scores())["1"]
    raw = np.maximum((grad.mean(axis=(2, 3), keepdims=True) * a).sum(axis=1), 0)
    peak = raw.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(maps, raw / np.where(peak > 0, peak, 1), atol=1e-6)
    assert inspection.grad_cam(small_cnn, x, layer="2").shape == (12, 8, 8)
    with pytest.raises(ValueError, match="no layer '9', there are 0, 1, 2, 3, 4"):
        inspection.grad_cam(small_cnn, x, layer="9")
    with pytest.raises(ValueError, match="expected feature maps"):
        inspection.grad_cam(small_cnn, x, layer="4")


def test_features_and_their_projection(small_cnn, images):
    x, _ = images
    rows = inspection.features(small_cnn, x, batch_size=5)
    np.testing.assert_array_equal(rows, inspection.activations(small_cnn, x)["3"])
    points, explained = inspection.project(rows)
    centred = rows - rows.mean(axis=0)
    values = np.linalg.eigvalsh(np.cov(centred.T.astype(float)))[::-1]
    np.testing.assert_allclose(explained, values[:2] / values.sum(), rtol=1e-4)
    np.testing.assert_allclose(points.var(axis=0, ddof=1), values[:2], rtol=1e-4)
    assert inspection.project(np.ones((3, 1))).points.shape == (3, 2)


def test_regions_follow_the_network():
    model = nn.Sequential(nn.Linear(2, 2, seed=0), nn.Tanh(), nn.Linear(2, 2, seed=1))
    points = np.array([[-1.0, -1.0], [1.0, 2.0]])
    found = inspection.decision_regions(model, points, resolution=9)
    assert found.x[0] == pytest.approx(-1.4)
    assert found.y[-1] == pytest.approx(2.6)
    spot = np.array([[found.x[3], found.y[7]]], np.float32)
    assert found.label[7, 3] == model(spot).argmax()
    np.testing.assert_allclose(found.units["1"][:, 7, 3], np.tanh(model[0](spot))[0], rtol=1e-5)
    single = nn.Sequential(nn.Linear(2, 1, seed=0))
    assert set(np.unique(inspection.decision_regions(single, points).label)) <= {0, 1}
    with pytest.raises(ValueError, match=r"points have shape \(3, 3\)"):
        inspection.decision_regions(model, np.zeros((3, 3)))


def test_mistakes():
    model = nn.Sequential(nn.Linear(3, 3, seed=0))
    model[0].weight.data[...] = np.eye(3)
    model[0].bias.data[...] = 0
    x = np.array([[5, 0, 0], [0, 9, 0], [0, 0, 1], [2, 0, 0]], np.float32)
    wrong = inspection.worst_mistakes(model, x, [0, 2, 2, 1])
    np.testing.assert_array_equal(wrong.rows, [1, 3])
    np.testing.assert_array_equal(wrong.truth, [2, 1])
    np.testing.assert_array_equal(wrong.predicted, [1, 0])
    assert wrong.probability[0] > wrong.probability[1] > 0.5
    np.testing.assert_array_equal(
        inspection.confusion_matrix([0, 2, 2, 1], [0, 1, 2, 0]), [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    )
    with pytest.raises(IndexError, match="labels must be from 0 to 1"):
        inspection.confusion_matrix([0, 2], [0, 0], 2)
    with pytest.raises(ValueError, match="y has shape"):
        inspection.worst_mistakes(model, x, [0, 1])


def test_update_ratio(notes_network):
    notes_network[2].freeze()
    ratio = inspection.UpdateRatio(notes_network)
    notes_network[0].weight.data *= 1.5
    found = ratio.note()
    assert found["0.weight"] == pytest.approx(0.5)
    assert found["0.bias"] == 0
    assert "2.weight" not in found
    ratio.note()
    assert ratio.history["0.weight"][1] == 0


def test_records_and_eval_mode_are_left_alone(small_cnn, images):
    x, y = images
    small_cnn.eval()
    inspection.saliency(small_cnn, x)
    inspection.gradients(small_cnn, x, y, nn.CrossEntropyLoss())
    assert not small_cnn.training
    assert not any(p.grad.any() for p in small_cnn.parameters())
    with pytest.raises(RuntimeError, match="no recorded forward"):
        small_cnn.backward(np.zeros((12, 3), np.float32))


def test_is_loaded_when_it_is_asked_for():
    import subprocess
    import sys

    code = (
        "import sys, nncore; assert 'nncore.inspection' not in sys.modules;"
        " nncore.inspection.activations; assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
