"""Pictures: Axes come back with what they should show, nothing is shown or left open."""

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from nncore import data, inspection, nn  # noqa: E402
from nncore.inspection import plots  # noqa: E402


@pytest.fixture(autouse=True)
def closed(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_: pytest.fail("show was called"))
    yield
    plt.close("all")


def drawn(axes):
    """Draws the figure as saving it would; gives its Axes."""
    many = axes if isinstance(axes, list) else [axes]
    many[0].figure.canvas.draw()
    return many


def test_images(small_cnn, images):
    x, y = images
    assert len(drawn(plots.weights(small_cnn))) == 4
    assert len(drawn(plots.weights(small_cnn, layer="4", most=2))) == 2
    assert len(drawn(plots.feature_maps(small_cnn, x[0], channels=3))) == 1 + 3 * 3
    assert len(drawn(plots.saliency(small_cnn, x[:3]))) == 6
    assert len(drawn(plots.grad_cam(small_cnn, x[:3]))) == 6
    axes = drawn(plots.worst_mistakes(small_cnn, x, y, most=4))
    assert all(">" in ax.get_title() for ax in axes)
    with pytest.raises(ValueError, match="no layer '1' with weights, there are 0, 4"):
        plots.weights(small_cnn, layer="1")
    with pytest.raises(ValueError, match="reads 64 numbers, no square"):
        plots.weights(small_cnn, layer="4", shape=(3, 5))


def test_colours_and_perfect_answers():
    model = nn.Sequential(nn.Conv2d(3, 2, 3, seed=0), nn.Flatten(), nn.Linear(2, 2, seed=1))
    x = np.random.default_rng(0).uniform(0, 1, (4, 3, 3, 3)).astype(np.float32)
    y = model(x).argmax(axis=1)
    assert drawn(plots.worst_mistakes(model, x, y))[0].texts[0].get_text() == "no mistakes"
    assert len(drawn(plots.saliency(model, x[:1]))) == 2


def test_charts(small_cnn, images, notes_network):
    x, y = images
    ax = drawn(plots.confusion_matrix([0, 1, 1], [0, 1, 0], names=["cat", "dog"]))[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["cat", "dog"]
    assert "66.7%" in ax.get_title()
    assert "dead" in drawn(plots.activation_histograms(small_cnn, x))[0].get_title()
    assert (
        "saturated"
        in drawn(plots.activation_histograms(notes_network, np.ones((2, 2), np.float32)))[
            0
        ].get_title()
    )
    assert {t.get_text() for t in drawn(plots.features(small_cnn, x, y))[0].texts} == set("012")
    ratio = inspection.UpdateRatio(notes_network)
    notes_network[0].weight.data *= 1.01
    ratio.note()
    assert len(drawn(plots.update_ratios(ratio))[0].lines) == 5


def test_regions():
    points, labels = data.make_moons(40)
    model = nn.Sequential(nn.Linear(2, 6, seed=0), nn.Tanh(), nn.Linear(6, 2, seed=1))
    _, mine = plt.subplots()
    assert plots.decision_regions(model, points, labels, ax=mine, resolution=20) is mine
    drawn(mine)
    assert len(mine.collections) >= 2
    assert len(drawn(plots.hidden_units(model, points, layer="1", resolution=20))) == 6
    with pytest.raises(ValueError, match="no layer '7', there are 0, 1"):
        plots.hidden_units(model, points, layer="7")


def test_without_matplotlib(monkeypatch, small_cnn):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "nncore-cpu\[plot\]"'):
        plots.weights(small_cnn)
