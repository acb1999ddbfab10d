"""Pictures of a run, the CSV of a history, the range test of learning rates."""

import subprocess
import sys

import numpy as np
import pytest
from small_models import Double, make_model, make_trainer, weights

from nncore import nn, optim
from nncore.training import History, Trainer, lr_finder, pictures

COMPILED = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])


class TestPlot:
    @pytest.fixture
    def history(self):
        history = History()
        for loss, val_loss in ((2.0, 2.1), (1.0, 1.2), (0.5, 1.4)):
            history.append({"loss": loss, "val_loss": val_loss, "f1": 1 / loss})
        return history

    def test_curves_and_the_best_epoch(self, history, tmp_path):
        pytest.importorskip("matplotlib")
        ax = history.plot()
        training, validation, best = ax.get_lines()
        assert training.get_ydata().tolist() == [2.0, 1.0, 0.5]
        assert training.get_xdata().tolist() == [1, 2, 3]
        assert validation.get_ydata().tolist() == [2.1, 1.2, 1.4]
        assert list(best.get_xdata()) == [2, 2]
        texts = [text.get_text() for text in ax.get_legend().get_texts()]
        assert texts == ["training", "validation", "best epoch: 2"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
        ax.figure.savefig(tmp_path / "loss.png")
        assert (tmp_path / "loss.png").stat().st_size > 5000

    def test_another_column_on_given_axes(self, history):
        figure = pytest.importorskip("matplotlib.figure").Figure()
        ax = figure.add_subplot()
        assert history.plot("f1", ax) is ax
        assert ax.get_ylabel() == "f1"
        with pytest.raises(ValueError, match="there is no 'recall', recorded is loss, val_loss"):
            history.plot("recall")
        with pytest.raises(ValueError, match="nothing yet"):
            History().plot()

    def test_no_window_system_is_chosen(self):
        pytest.importorskip("matplotlib")
        program = (
            "import sys; from nncore.training import History; h = History();"
            "h.append({'loss': 1.0}); assert 'matplotlib' not in sys.modules; h.plot();"
            "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=120)

    def test_a_missing_package_is_one_line(self, history, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ImportError, match=r'pip install "nncore-cpu\[plot\]"'):
            history.plot()


def test_csv(tmp_path):
    history = History()
    history.append({"loss": 0.1 + 0.2, "matrix": np.eye(2)})
    history.append({"loss": 1e-20, "val_loss": 2.0})
    history.to_csv(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == (
        "epoch,loss,val_loss\n1,0.30000000000000004,\n2,1e-20,2.0\n"
    )
    assert history.latest == {"loss": 1e-20, "val_loss": 2.0}
    History().to_csv(tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text() == ""


class TestRangeTest:
    @COMPILED
    @pytest.mark.parametrize("extra", [(), (Double(),)], ids=["", "own layer"])
    def test_leaves_everything_as_it_was(self, classes, compiled, extra):
        first, second = make_trainer(make_model(*extra)), make_trainer(make_model(*extra))
        for trainer in (first, second):
            trainer.fit(*classes, 2, 10, verbose=0)
        first.model.eval()
        with np.errstate(over="ignore", invalid="ignore"):
            found = first.lr_find(*classes, steps=40, end=10.0, compiled=compiled)
        assert len(found.rates) > 10
        assert not first.model.training
        assert first.optimizer.param_groups[0]["lr"] == 0.01
        assert first.steps == second.steps
        assert all((parameter.grad == 0).all() for parameter in first.model.parameters())
        for trainer in (first, second):
            trainer.fit(*classes, 2, 10, verbose=0)
        assert weights(first.model) == weights(second.model)

    def test_suggests_a_rate_that_trains(self, classes):
        model = make_model()
        optimizer = optim.SGD(model.parameters(), lr=123.0)
        trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, seed=0)
        found = trainer.lr_find(*classes, start=1e-4, end=1e3, steps=60, batch_size=25)
        assert 0.01 < found.suggestion < 30
        assert len(found.rates) == len(found.losses) == len(found.smoothed) < 60  # it exploded
        assert np.allclose(found.rates[1:] / found.rates[:-1], (1e7) ** (1 / 59))
        optimizer.param_groups[0]["lr"] = found.suggestion
        history = trainer.fit(*classes, 5, 25, verbose=0)
        assert history.history["loss"][-1] < history.history["loss"][0]

    def test_rates_of_groups_keep_their_shares(self, classes, monkeypatch):
        model = make_model()
        first, *rest = model.parameters()
        optimizer = optim.SGD([{"params": [first], "lr": 0.1}, {"params": rest, "lr": 0.3}])
        seen = []
        step = optim.SGD.step
        monkeypatch.setattr(
            optim.SGD,
            "step",
            lambda self: (seen.append([g["lr"] for g in self.param_groups]), step(self)),
        )
        found = Trainer(model, nn.CrossEntropyLoss(), optimizer).lr_find(*classes, steps=5)
        assert np.allclose(np.array(seen)[:, 1], 3 * found.rates)
        assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.3]

    def test_of_a_loader(self, classes):
        x, y = classes
        found = make_trainer().lr_find([(x[:20], y[:20]), (x[20:], y[20:])], steps=12)
        assert len(found.rates) == 12

    def test_suggestion(self):
        rates = np.logspace(-4, 0, 41)
        curve = 1 - 0.8 / (1 + np.exp(-4 * (np.log10(rates) + 2)))
        curve[35:] = 9
        assert lr_finder._steepest(rates, curve) == pytest.approx(1e-2, rel=0.3)
        assert lr_finder._steepest(rates, np.linspace(1, 2, 41)) is None
        assert lr_finder._steepest(rates[:3], curve[:3]) is None

    def test_picture(self, classes):
        pytest.importorskip("matplotlib")
        found = make_trainer().lr_find(*classes, steps=20)
        ax = found.plot()
        assert ax.get_xscale() == "log"
        assert ax.get_lines()[0].get_ydata().tolist() == found.losses.tolist()
        assert pictures.new_axes(ax) is ax

    @pytest.mark.parametrize(
        "options", [{"start": 0}, {"start": 1.0, "end": 0.1}, {"steps": 1}, {"end": "a"}]
    )
    def test_arguments(self, classes, options):
        with pytest.raises((ValueError, TypeError), match=r"Trainer.lr_find: \w+"):
            make_trainer().lr_find(*classes, **options)
