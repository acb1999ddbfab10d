"""`nncore eval`, `nncore info`, and the command line around them."""

import os
import re

import numpy as np
import pytest

import nncore
from nncore import io
from nncore.cli import networks
from nncore.cli.networks import FIRST_SAMPLES
from nncore.cli.recipes import RECIPES


def save(path, network="digits-cnn", **metadata):
    model = networks.build(network, FIRST_SAMPLES[network], 10)
    model.reset_parameters(0)
    io.save_weights(path, model, {"network": network, "data": "digits", **metadata})
    return path


class TestEval:
    @pytest.mark.usefixtures("few")
    def test_reports_both_sets(self, nncore_command, tmp_path):
        path = save(tmp_path / "w.npz")
        code, out, err = nncore_command("eval", path, "--threads", 1)
        assert (code, err) == (0, "")
        assert out.startswith(f"{path}: network digits-cnn, data digits\n")
        assert re.search(r"^samples +100 +40", out, re.M)
        assert re.search(r"^test accuracy \d+\.\d\d %$", out, re.M)

    @pytest.mark.usefixtures("few")
    def test_data_of_another_kind(self, nncore_command, tmp_path):
        path = save(tmp_path / "w.npz")
        code, out, err = nncore_command("eval", path, "--data", "mnist")
        assert (code, out) == (2, "")
        assert err == (
            f"nncore eval: error: {path}: the network digits-cnn takes samples of shape (1, 8, 8),"
            " those of mnist have (1, 28, 28)\n"
        )

    def test_data_unknown_to_this_version(self, nncore_command, tmp_path):
        path = save(tmp_path / "w.npz", data="letters")
        code, out, err = nncore_command("eval", path)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "'letters': choose with --data" in err

    @pytest.mark.parametrize(
        ("metadata", "message"),
        [
            ({}, "does not say what network it holds"),
            ({"network": "resnet"}, "holds the network 'resnet', but does not say"),
        ],
    )
    def test_a_network_unknown_to_this_version(self, nncore_command, tmp_path, metadata, message):
        path = tmp_path / "w.npz"
        io.save_weights(path, {"w": np.zeros(3)}, metadata)
        code, out, err = nncore_command("eval", path)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"{path}: {message}" in err

    def test_weights_that_do_not_fit(self, nncore_command, tmp_path):
        path = tmp_path / "w.npz"
        io.save_weights(path, {"w": np.zeros(3)}, {"network": "digits-cnn", "data": "digits"})
        code, out, err = nncore_command("eval", path)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "0.weight is missing" in err
        assert "w is unexpected" in err

    @pytest.mark.parametrize("content", [None, b"", b"hello", b"PK\x03\x04" + bytes(100)])
    def test_a_file_that_is_none(self, nncore_command, tmp_path, content):
        path = tmp_path / "w.npz"
        if content is not None:
            path.write_bytes(content)
        code, out, err = nncore_command("eval", path)
        assert (code, out, err.count("\n")) == (2, "", 1)
        expected = "no such file" if content is None else "not a weight file, or damaged"
        assert re.match(rf"nncore eval: error: {re.escape(str(path))}: {expected}", err)

    def test_a_folder_and_a_name_without_suffix(self, nncore_command, tmp_path):
        folder = tmp_path / "w.npz"
        folder.mkdir()
        assert nncore_command("eval", folder).err.endswith("is not a regular file\n")
        assert "must end in" in nncore_command("eval", tmp_path / "w").err

    def test_needs_a_file(self, nncore_command):
        code, out, err = nncore_command("eval")
        assert (code, out) == (2, "")
        assert err == (
            "nncore eval: error: the following arguments are required: FILE"
            " (see nncore eval --help)\n"
        )

    def test_networks_fit_the_data_they_are_for(self):
        """Files that say no shape are of the data set that the network was made for."""
        for name in ("digits", "mnist"):
            network = RECIPES[name].network
            model = networks.build(network, FIRST_SAMPLES[network], 10)
            assert model.summary(FIRST_SAMPLES[network]).rows[-1].output_shape == (10,)
        (x, _), _ = RECIPES["digits"].load(False)
        assert x.shape[1:] == FIRST_SAMPLES["digits-cnn"]


class TestInfo:
    def test_shows_the_configuration_and_the_folder(self, nncore_command, monkeypatch, tmp_path):
        monkeypatch.setenv("NNCORE_DATA", str(tmp_path))
        code, out, err = nncore_command("info")
        assert (code, err) == (0, "")
        for name in ("isa", "threads", "compiler", "kernels", "versions"):
            assert re.search(rf"^{name} +\S", out, re.M)
        assert re.search(rf"^data +{re.escape(str(tmp_path))} \(NNCORE_DATA\)$", out, re.M)

    def test_says_that_there_is_no_folder(self, nncore_command, monkeypatch, tmp_path):
        monkeypatch.setenv("NNCORE_DATA", str(tmp_path / "missing"))
        assert "missing (NNCORE_DATA): no such folder" in nncore_command("info").out
        monkeypatch.delenv("NNCORE_DATA")
        assert "NNCORE_DATA is not set" in nncore_command("info").out


class TestHelp:
    def test_version(self, nncore_command):
        code, out, err = nncore_command("--version")
        assert (code, out, err) == (0, f"nncore {nncore.__version__}\n", "")

    def test_lists_the_commands_with_examples(self, nncore_command):
        code, out, err = nncore_command("--help")
        assert (code, err) == (0, "")
        assert re.search(r"^ +train +\S", out, re.M)
        assert re.search(r"^ +eval +\S", out, re.M)
        assert re.search(r"^ +info +\S", out, re.M)
        assert "nncore train --data mnist" in out

    def test_of_train_names_every_option_and_default(self, nncore_command, monkeypatch):
        monkeypatch.setenv("COLUMNS", "100")
        code, out, err = nncore_command("train", "--help")
        assert (code, err) == (0, "")
        for option in [
            "--data",
            "--epochs",
            "--batch-size",
            "--lr",
            "--seed",
            "--threads",
            "--save",
            "--quiet",
        ]:
            assert re.search(rf"^  {option}\b", out, re.M)
        text = " ".join(out.split()).replace("- ", "-")
        for name, recipe in RECIPES.items():
            for value in (recipe.epochs, recipe.batch_size, recipe.lr):
                assert f"{value} for {name}" in text
        assert "examples:" in out

    @pytest.mark.parametrize("command", ["eval", "info", "predict", "summary"])
    def test_of_the_others(self, nncore_command, command):
        assert nncore_command(command, "--help").code == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "the following arguments are required: COMMAND"),
            (["trian"], "invalid choice: 'trian'"),
            (["--frobnicate"], "required: COMMAND"),
        ],
    )
    def test_no_command(self, nncore_command, arguments, message):
        code, out, err = nncore_command(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err


def test_importing_nncore_loads_no_command_line(environment):
    import subprocess
    import sys

    code = "import sys, nncore; print([m for m in sys.modules if m in ('argparse', 'nncore.cli')])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
    assert os.environ.get("NNCORE_DATA") == environment.get("NNCORE_DATA")
