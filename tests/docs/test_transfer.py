"""docs/examples/transfer.py: runs at small size, and its parts do what they say."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from nncore import data

PATH = Path(__file__).parents[2] / "docs" / "examples" / "transfer.py"


@pytest.fixture(scope="module")
def transfer():
    spec = importlib.util.spec_from_file_location("transfer_example", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_quick_run(transfer, tmp_path, capsys):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    picture = tmp_path / "transfer.png"
    results = transfer.main(["--quick", "--out", str(picture)])
    assert results.shape == (2, 3)
    assert (results > 0.75).all()
    assert (results[1] > results[0]).all()  # more samples, more accuracy, in each way
    assert picture.stat().st_size > 5000
    out = capsys.readouterr().out
    for way in transfer.WAYS:
        assert way in out


def test_a_few_of_each_class(transfer):
    y = np.repeat(np.arange(3), 20)
    x = np.arange(60)
    rows, labels = transfer.few(x, y, 4, seed=1)
    assert np.bincount(labels).tolist() == [4, 4, 4]
    assert len(set(rows)) == 12
    assert (y[rows] == labels).all()


@pytest.mark.slow
def test_mnist_with_ten_samples_a_class(transfer):
    """The frozen body is ahead by five points of accuracy at least."""
    try:
        split = data.load_mnist()
    except FileNotFoundError:
        pytest.skip("MNIST is not here")
    _, results = transfer.experiment(split, (10,), body_epochs=3, epochs=40, repeats=5)
    assert results[0, 1] - results[0, 0] >= 0.05
