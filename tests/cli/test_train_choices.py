"""`nncore train`: networks, losses, optimisers, schedules, augmentation, the user's own files."""

import re

import numpy as np
import pytest

from nncore import io
from nncore.cli import choices, networks
from nncore.training import Trainer


@pytest.fixture
def table(tmp_path):
    """Two classes that one column tells apart; the columns are of very different sizes."""
    x = np.random.default_rng(0).normal((0, 1000, 5), (1, 200, 3), (80, 3))
    path = tmp_path / "own.csv"
    lines = [f"{a},{b},{c},{'high' if a + (b - 1000) / 200 > 0 else 'low'}" for a, b, c in x]
    path.write_text("\n".join(["a,b,c,kind", *lines]))
    return path


@pytest.fixture
def fitted(monkeypatch):
    """What the trainer is given."""
    seen = {}
    fit = Trainer.fit

    def note(self, x, y, **options):
        seen.update(options, trainer=self, x=x, y=y)
        return fit(self, x, y, **options)

    monkeypatch.setattr(Trainer, "fit", note)
    return seen


@pytest.mark.usefixtures("few")
class TestChoices:
    @pytest.mark.parametrize("name", choices.OPTIMIZERS)
    def test_optimizers(self, nncore_command, fitted, name):
        out = nncore_command("train", "--epochs", 1, "--optimizer", name, "--weight-decay", 0.1).out
        assert re.search(rf"^{name}, learning rate \S+ falling to 0,", out, re.M | re.I)
        group = fitted["trainer"].optimizer.param_groups[0]
        rate = 2e-3 * choices.RATE_FACTORS.get(name, 1)
        assert (group["lr"], group["weight_decay"]) == (pytest.approx(rate), 0.1)

    @pytest.mark.parametrize(
        ("schedule", "rates"),
        [
            ("constant", None),
            ("linear", [0.01, 0.01 * 2 / 3, 0.01 / 3]),
            ("cosine", [0.01, 0.0075, 0.0025]),
            ("step", [0.01, 0.001, 0.0001]),
        ],
    )
    @pytest.mark.parametrize("momentum", [0, 0.9])
    def test_schedules(self, nncore_command, fitted, schedule, rates, momentum):
        options = ["--optimizer", "sgd", "--momentum", momentum, "--lr", 0.01, "--quiet"]
        assert nncore_command("train", "--epochs", 3, "--schedule", schedule, *options).code == 0
        history = fitted["trainer"].history.history
        assert fitted["trainer"].optimizer.param_groups[0]["momentum"] == momentum
        if rates is None:
            assert "lr" not in history
        else:
            np.testing.assert_allclose(history["lr"], rates, rtol=1e-6)

    @pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
    def test_one_cycle_goes_by_the_batch(self, nncore_command, fitted, optimizer):
        options = ["--schedule", "onecycle", "--lr", 0.01, "--batch-size", 30]
        out = nncore_command("train", "--epochs", 3, "--optimizer", optimizer, *options).out
        assert "learning rate 0.01 the top of one cycle, batches of 30" in out
        scheduler = fitted["trainer"].scheduler
        assert scheduler.last_epoch == scheduler.total_steps == 12 or (
            scheduler.last_epoch == scheduler.total_steps - 1 == 11
        )

    def test_mse_on_labels_still_tells_the_accuracy(self, nncore_command, tmp_path):
        path = tmp_path / "w.npz"
        out = nncore_command("train", "--epochs", 2, "--loss", "mse", "--save", path).out
        line = re.search(r"^test accuracy \d+\.\d\d %", out, re.M)[0]
        assert nncore_command("eval", path).out.endswith(f"{line}\n")

    def test_augmentation_changes_the_images(self, nncore_command, fitted):
        given = ["--epochs", 1, "--seed", 3, "--augment"]
        assert "augmentation shift:1" in nncore_command("train", *given, "shift:1").out
        loader = fitted["x"]
        (first, labels), (again, _) = next(loader.batches(0)), next(loader.batches(0))
        (later, _) = next(loader.batches(1))
        np.testing.assert_array_equal(first, again)
        assert first.shape == later.shape == (32, 1, 8, 8)
        assert not np.array_equal(first, later)
        assert len(labels) == 32
        assert nncore_command("train", *given, "shift,rotate:5,flip").code == 0

    def test_augmentation_and_threads_leave_the_seed_in_charge(self, nncore_command, tmp_path):
        files = []
        for threads in (1, 2):
            files.append(tmp_path / f"{threads}.npz")
            options = ["--augment", "shift:1", "--schedule", "onecycle", "--threads", threads]
            nncore_command("train", "--epochs", 2, "--seed", 5, *options, "--save", files[-1])
        assert files[0].read_bytes() == files[1].read_bytes()

    @pytest.mark.parametrize("data", ["digits", "mnist"])
    @pytest.mark.parametrize("model", ["mlp", "mlp:16,8", "lenet", "notes-cnn", "digits-cnn"])
    def test_networks(self, nncore_command, tmp_path, data, model):
        path = tmp_path / "w.npz"
        options = ["--data", data, "--model", model, "--epochs", 1, "--save", path]
        code, out, err = nncore_command("train", *options)
        if data == "digits" and model in ("lenet", "notes-cnn"):
            assert (code, err.count("\n")) == (2, 1)
            assert f"the network {model} does not fit images" in err
            return
        assert (code, err) == (0, "")
        line = re.search(r"^test accuracy \d+\.\d\d %", out, re.M)[0]
        assert nncore_command("eval", path).out.endswith(f"{line}\n")

    def test_the_curve(self, nncore_command, tmp_path):
        pytest.importorskip("matplotlib")
        path = tmp_path / "curve.png"
        assert f"curve: {path}" in nncore_command("train", "--epochs", 2, "--plot", path).out
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("more", [[], ["--augment", "shift:1", "--schedule", "onecycle"]])
def test_a_run_goes_on(nncore_command, tmp_path, more, monkeypatch):
    options = ["train", "--quiet", "--epochs", 3, *more, "--save"]
    nncore_command(*options, tmp_path / "whole.npz", "--seed", 4)
    state = tmp_path / "run.npz"
    # Interrupted after the first epoch.
    append = Trainer.save_checkpoint

    def save(self, path):
        append(self, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(Trainer, "save_checkpoint", save)
        stopped = nncore_command(*options, tmp_path / "w.npz", "--seed", 4, "--checkpoint", state)
    assert stopped.code == 130
    assert stopped.err.endswith(f"1 of 3 epochs were done, {state} has them\n")
    done = nncore_command(*options, tmp_path / "w.npz", "--checkpoint", state, "--resume", state)
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "w.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


class TestOwnFiles:
    def test_a_table_of_classes(self, nncore_command, table, tmp_path):
        path = tmp_path / "w.npz"
        options = ["--data", table, "--model", "mlp:16", "--epochs", 60, "--lr", 0.01]
        out = nncore_command("train", *options, "--seed", 0, "--save", path).out
        assert "64 training and 16 test rows of 3" in out
        assert float(re.search(r"^test accuracy (\S+) %", out, re.M)[1]) > 90
        assert nncore_command("eval", path).out.endswith(
            re.search(r"^test accuracy \S+ %", out, re.M)[0] + "\n"
        )
        assert io.load_weights(path).metadata["mean"].count(",") == 2

    def test_a_table_of_numbers(self, nncore_command, tmp_path):
        x = np.random.default_rng(1).normal(size=(60, 2))
        np.savetxt(tmp_path / "r.csv", np.c_[x, x.sum(axis=1) + 0.5], delimiter=",")
        path = tmp_path / "w.npz"
        out = nncore_command(
            "train", "--data", tmp_path / "r.csv", "--seed", 0, "--epochs", 100, "--save", path
        ).out
        loss = re.search(r"^test loss (\S+) after", out, re.M)[1]
        assert float(loss) < 0.5
        assert nncore_command("eval", path).out.endswith(f"test loss {loss}\n")

    def test_images_in_an_npz(self, nncore_command, tmp_path):
        pixels = np.random.default_rng(2).integers(0, 256, (30, 8, 8), dtype=np.uint8)
        np.savez(tmp_path / "own.npz", x=pixels, y=np.arange(30) % 3)
        out = nncore_command(
            "train", "--data", tmp_path / "own.npz", "--model", "digits-cnn", "--epochs", 1
        ).out
        assert "24 training and 6 test images of 8x8" in out
        assert re.search(r"Linear +\(N, 3\)", out)


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--data", "cifar"], "--data: there is no data set 'cifar', expected one of digits"),
            (["--data", "none.csv"], "none.csv: no such file or directory"),
            (["--model", "resnet"], "--model: there is no network 'resnet', expected one of mlp"),
            (["--model", "mlp:0"], "--model: expected mlp:UNITS,UNITS,... with 1 to 99999 units"),
            (["--model", "mlp:"], "--model: expected mlp:UNITS,UNITS"),
            (["--momentum", "0.9"], "--momentum: adam has none of its own"),
            (["--augment", "blur"], "--augment: expected some of shift:PIXELS, rotate:DEGREES"),
            (["--augment", "shift:x"], "--augment: expected a number after the colon, got 'x'"),
            (["--augment", "shift:-1"], "RandomShift: pixels must be at least 0"),
            (["--resume", "none.npz"], "none.npz: no such file or directory"),
            (["--checkpoint", "x.txt"], "must end in .npz or .safetensors"),
        ],
    )
    def test_one_line(self, nncore_command, few, arguments, message):
        code, out, err = nncore_command("train", "--quiet", "--epochs", 1, *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err

    def test_a_picture_that_cannot_be(self, nncore_command, tmp_path):
        pytest.importorskip("matplotlib")
        for name, message in (("c.txt", "must end in .png"), ("no/c.png", "does not exist")):
            code, out, err = nncore_command("train", "--plot", tmp_path / name)
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert message in err

    def test_a_table_and_what_is_for_images(self, nncore_command, table):
        for option, value in (("--augment", "shift"), ("--model", "lenet")):
            code, out, err = nncore_command("train", "--data", table, option, value)
            assert (code, out, err.count("\n")) == (2, "", 1)
            assert "images" in err

    def test_targets_that_are_no_labels(self, nncore_command, tmp_path):
        np.savetxt(tmp_path / "r.csv", np.linspace(0, 1, 30).reshape(10, 3), delimiter=",")
        code, _, err = nncore_command(
            "train", "--data", tmp_path / "r.csv", "--loss", "cross-entropy"
        )
        assert (code, err.count("\n")) == (2, 1)
        assert "--loss: cross-entropy needs labels" in err

    @pytest.mark.usefixtures("few")
    def test_a_checkpoint_of_another_run(self, nncore_command, tmp_path):
        state = tmp_path / "run.npz"
        given = ["train", "--epochs", 1, "--quiet"]
        assert nncore_command(*given, "--seed", 1, "--checkpoint", state).code == 0
        for more in (["--seed", 2], ["--model", "mlp"], ["--optimizer", "sgd"]):
            code, out, err = nncore_command(*given, *more, "--resume", state)
            assert (code, out, err.count("\n")) == (2, "", 1), more
            assert "run.npz" in err
        weights = tmp_path / "w.npz"
        nncore_command(*given, "--save", weights)
        assert "holds weights and no state" in nncore_command(*given, "--resume", weights).err


def test_the_size_of_a_network_is_told_without_building_it():
    model = networks.build("mlp:5,7", (1, 2, 3), 4)
    assert networks.numbers("mlp:5,7", (1, 2, 3), 4) == sum(p.size for p in model.parameters())
