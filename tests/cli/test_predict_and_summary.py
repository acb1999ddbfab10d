"""`nncore predict` and `nncore summary`."""

import re

import numpy as np
import pytest

from nncore import io
from nncore.cli import networks
from nncore.cli.recipes import RECIPES

NOTES = {"network": "mlp:4", "input": "3", "outputs": "2", "loss": "cross-entropy", "data": "t.csv"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from nncore.cli import main

    file = tmp_path_factory.mktemp("saved") / "digits.npz"
    assert main(["train", "--epochs", "3", "--seed", "0", "--quiet", "--save", str(file)]) == 0
    return file


def mlp(path, **notes):
    model = networks.build("mlp:4", (3,), 2)
    model.reset_parameters(0)
    io.save_weights(path, model, NOTES | notes)
    return path


class TestPredict:
    def test_images_in_every_form(self, nncore_command, trained, tmp_path):
        x = RECIPES["digits"].load(False)[1][0][:5]
        forms = {
            "a.npy": x,
            "grey.npy": x[:, 0],
            "flat.npy": x.reshape(5, 64),
            "double.npy": x.astype(np.float64),
        }
        for name, array in forms.items():
            np.save(tmp_path / name, array)
        np.savez(tmp_path / "b.npz", x=x)
        outputs = {nncore_command("predict", trained, tmp_path / name).out for name in forms}
        outputs.add(nncore_command("predict", trained, tmp_path / "b.npz").out)
        (out,) = outputs
        lines = out.splitlines()
        assert lines[0].split() == ["row", "label", "probability"]
        assert len(lines) == 6
        assert re.fullmatch(r" +0 +\d +\d+\.\d\d %", lines[1])
        np.save(tmp_path / "one.npy", x[0, 0])
        one = nncore_command("predict", trained, tmp_path / "one.npy").out
        assert one.splitlines() == lines[:2]

    def test_bytes_are_pixels(self, nncore_command, trained, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
        np.save(tmp_path / "bytes.npy", pixels)
        np.save(tmp_path / "floats.npy", pixels / np.float32(255))
        first, second = (
            nncore_command("predict", trained, tmp_path / f"{name}.npy").out
            for name in ("bytes", "floats")
        )
        assert first == second

    def test_a_file_of_answers(self, nncore_command, trained, tmp_path):
        (_, (x, y)) = RECIPES["digits"].load(False)
        np.save(tmp_path / "x.npy", x)
        target = tmp_path / "answers.csv"
        code, out, err = nncore_command("predict", trained, tmp_path / "x.npy", "--out", target)
        assert (code, err) == (0, "")
        assert out == f"answers to 359 samples: {target}\n"
        header, *rows = target.read_text().splitlines()
        assert header.startswith("row,label,probability,p0,p1")
        found = np.array([[float(cell) for cell in row.split(",")] for row in rows])
        np.testing.assert_allclose(found[:, 3:].sum(axis=1), 1)
        np.testing.assert_array_equal(found[:, 3:].argmax(axis=1), found[:, 1])
        assert np.mean(found[:, 1] == y) > 0.9

    def test_a_table_is_scaled_as_in_training(self, nncore_command, tmp_path):
        plain = mlp(tmp_path / "plain.npz")
        scaled = mlp(tmp_path / "scaled.npz", mean="1.0,2.0,3.0", std="2.0,4.0,0.5")
        x = np.random.default_rng(3).normal(size=(4, 3))
        np.save(tmp_path / "x.npy", x)
        np.savetxt(tmp_path / "y.csv", x * (2, 4, 0.5) + (1, 2, 3), delimiter=",", header="a,b,c",
                   comments="")  # fmt: skip
        (tmp_path / "z.csv").write_text(
            "".join(f"{line},yes\n" for line in (tmp_path / "y.csv").read_text().splitlines()[1:])
        )
        first = nncore_command("predict", plain, tmp_path / "x.npy").out
        assert nncore_command("predict", scaled, tmp_path / "y.csv").out == first
        assert nncore_command("predict", scaled, tmp_path / "z.csv").out == first

    def test_numbers(self, nncore_command, tmp_path):
        path = mlp(tmp_path / "w.npz", loss="mse")
        np.save(tmp_path / "x.npy", np.ones((2, 3)))
        out = nncore_command("predict", path, tmp_path / "x.npy").out
        assert out.splitlines()[0].split() == ["row", "output0", "output1"]

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("x.txt", "1", "must end in .npy, .npz or .csv"),
            ("x.csv", "1,2\n", "has 2 columns, the network takes 3, or with the target 4"),
            ("x.csv", "1,2,3\n1,2\n", "row 2 has 2 columns, expected 3"),
            ("x.csv", "1,2,3\n1,b,3\n", "row 2, column 2: 'b' is no number"),
            ("x.csv", "1,2,inf\n", "values are not finite"),
            ("x.csv", "a,b,c\n", "no samples"),
            ("x.csv", "", "has 0 columns"),
            ("x.npy", np.ones((2, 4)), "has shape (2, 4), the network mlp:4 takes (N, 3)"),
            ("x.npy", np.array(1.0), "has shape ()"),
            ("x.npy", np.array(["a"]), "has dtype <U1, expected numbers"),
            ("x.npy", b"", "x.npy: "),
            ("x.npz", None, "x.npz: no such file or directory"),
        ],
    )
    def test_samples_that_cannot_be(self, nncore_command, tmp_path, name, content, message):
        model, path = mlp(tmp_path / "w.npz"), tmp_path / name
        if isinstance(content, np.ndarray):
            np.save(path, content)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            path.write_text(content)
        code, out, err = nncore_command("predict", model, path)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err

    @pytest.mark.parametrize(
        ("notes", "message"),
        [
            ({"input": ""}, "does not say for what samples"),
            ({"input": "0"}, "does not say for what samples"),
            ({"outputs": "many"}, "does not say for what samples"),
            ({"loss": "hinge"}, "was trained with the loss 'hinge'"),
            ({"mean": "1,2", "std": "1,2"}, "mean and std are not of its samples"),
            ({"mean": "1,2,3", "std": "1,0,2"}, "no scale of columns"),
            ({"mean": "1,2,3"}, "could not convert string to float"),
            ({"network": "mlp:9999,99999", "input": "9"}, "holds 26 numbers"),
            ({"network": "lenet"}, "takes images (channels, height, width)"),
            ({"network": "mlp:5"}, "0.weight has shape"),
        ],
    )
    def test_a_file_that_says_something_else(self, nncore_command, tmp_path, notes, message):
        path = mlp(tmp_path / "w.npz", **notes)
        code, out, err = nncore_command("predict", path, path)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err


class TestSummary:
    def test_of_a_file(self, nncore_command, trained):
        code, out, err = nncore_command("summary", trained)
        assert (code, err) == (0, "")
        assert out.startswith(f"{trained}: network digits-cnn, trained on digits\n")
        assert re.search(r"^0 Conv2d +\(N, 16, 8, 8\) +160 +9,216$", out, re.M)

    def test_of_a_name(self, nncore_command):
        out = nncore_command("summary", "--model", "lenet", "--input", "1,28,28").out
        assert re.search(r"^Total +61,706 ", out, re.M)
        out = nncore_command("summary", "--model", "mlp:8", "--input", 4, "--outputs", 2).out
        assert re.search(r"^Total +58 ", out, re.M)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "expected a FILE, or --model with --input"),
            (["w.npz", "--model", "mlp"], "expected a FILE, or --model"),
            (["w.npz", "--input", "4"], "--input and --outputs go with --model"),
            (["--model", "mlp"], "--model needs --input"),
            (["--model", "mlp", "--input", "4,x"], "expected the shape of one sample"),
            (["--model", "lenet", "--input", "1,9,9"], "does not fit images"),
            (["--model", "mlp:99999,99999", "--input", "4"], "has more than 1,000,000,000 weights"),
        ],
    )
    def test_mistakes(self, nncore_command, arguments, message):
        code, out, err = nncore_command("summary", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err


def test_inspect_is_for_images(nncore_command, tmp_path):
    rows = "".join(f"{i},{i % 3},{i % 2},{i % 2}\n" for i in range(20))
    (tmp_path / "t.csv").write_text(rows)
    path = mlp(tmp_path / "w.npz", data=str(tmp_path / "t.csv"))
    code, _, err = nncore_command("inspect", path)
    assert (code, err.count("\n")) == (2, 1)
    assert "a report is for classifiers of images" in err
