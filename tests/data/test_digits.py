"""The digits inside the package: what they are, where they come from, how they are split."""

import hashlib
import importlib.util
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from nncore.data import load_digits

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_digits.py"
PACKAGE_FILE = files("nncore.data").joinpath("digits.npz")

# SHA-256 of the uint8 values: images then labels; and x_train, y_train, x_test, y_test.
IMAGES_AND_LABELS = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
SPLIT = "49f411d0fa2ef5be0900bea1bc08065915bade5fe64ae85946ecb4124750e7be"


def digest(*arrays):
    """Return the SHA-256 over the values of the arrays, in C order."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


@pytest.fixture(scope="module")
def raw():
    with PACKAGE_FILE.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        assert sorted(archive.files) == ["images", "labels"]
        return archive["images"], archive["labels"]


@pytest.fixture(scope="module")
def make_digits():
    spec = importlib.util.spec_from_file_location("make_digits", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_package_file_is_small_and_has_its_attribution():
    assert len(PACKAGE_FILE.read_bytes()) < 39_000
    text = files("nncore.data").joinpath("ATTRIBUTION.md").read_text(encoding="utf-8")
    for needed in ("Alpaydin", "Kaynak", "UCI", "CC BY 4.0", "licenses/by/4.0", "changed"):
        assert needed in text


def test_package_file_content_is_the_known_one(raw):
    images, labels = raw
    assert (images.shape, images.dtype) == ((1797, 8, 8), np.uint8)
    assert (labels.shape, labels.dtype) == ((1797,), np.uint8)
    assert (images.min(), images.max()) == (0, 16)
    # The class counts that the data set's own description states for its test part.
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digest(images, labels) == IMAGES_AND_LABELS


def test_package_file_equals_scikit_learns(raw):
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = datasets.load_digits()
    np.testing.assert_array_equal(raw[0], theirs.images)
    np.testing.assert_array_equal(raw[1], theirs.target)


def test_tool_makes_the_package_file(make_digits, raw, tmp_path):
    pytest.importorskip("sklearn")
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    make_digits.write(first, make_digits.original())
    run = subprocess.run(
        [sys.executable, str(TOOL), str(second)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert first.read_bytes() == second.read_bytes()
    # Another zlib may compress to other bytes; what is inside stays.
    with np.load(first, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["images"], raw[0])
        np.testing.assert_array_equal(archive["labels"], raw[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "float32", np.dtype("f8")])
def test_shapes_types_and_ranges(dtype):
    (x_train, y_train), (x_test, y_test) = load_digits(dtype=dtype)
    assert x_train.shape == (1438, 1, 8, 8)
    assert x_test.shape == (359, 1, 8, 8)
    assert (y_train.shape, y_test.shape) == ((1438,), (359,))
    assert y_train.dtype == y_test.dtype == np.int64
    for x in (x_train, x_test):
        assert x.dtype == dtype
        assert x.flags.c_contiguous
        assert (x.min(), x.max()) == (0, 1)
        # Multiples of 1/16, so that the scaling can be undone exactly.
        np.testing.assert_array_equal(16 * x, np.rint(16 * x))


def test_default_type_is_float32():
    assert load_digits()[0][0].dtype == np.float32


def test_split_takes_every_sample_once(raw):
    (x_train, y_train), (x_test, y_test) = load_digits()
    together = np.concatenate([x_train, x_test]).reshape(-1, 64) * 16
    rows = np.column_stack([together, np.concatenate([y_train, y_test])]).astype(np.uint8)
    original = np.column_stack([raw[0].reshape(-1, 64), raw[1]])
    # The data set has no two equal samples, so a row tells which sample it is.
    assert len(np.unique(original, axis=0)) == 1797
    np.testing.assert_array_equal(np.unique(rows, axis=0), np.unique(original, axis=0))


def test_split_is_stratified(raw):
    (_, y_train), (_, y_test) = load_digits()
    total, test = np.bincount(raw[1]), np.bincount(y_test)
    np.testing.assert_array_equal(test, np.rint(total / 5))
    np.testing.assert_array_equal(np.bincount(y_train), total - test)


def test_split_follows_the_documented_rule(raw):
    _, (x_test, y_test) = load_digits()
    # The rule in plain Python: count each class as its samples pass by.
    seen, rows = [0] * 10, []
    for row, label in enumerate(raw[1].tolist()):
        if seen[label] % 5 == 2:
            rows.append(row)
        seen[label] += 1
    np.testing.assert_array_equal(x_test[:, 0] * 16, raw[0][rows])
    np.testing.assert_array_equal(y_test, raw[1][rows])


def test_split_is_the_pinned_one():
    (x_train, y_train), (x_test, y_test) = load_digits()
    as_bytes = [np.uint8(16 * x_train), np.uint8(y_train), np.uint8(16 * x_test), np.uint8(y_test)]
    assert digest(*as_bytes) == SPLIT


def test_numpys_random_state_is_neither_used_nor_changed():
    before, first = np.random.get_state(), load_digits()
    np.random.seed(before[1][0] ^ 1)
    changed, second = np.random.get_state(), load_digits()
    after = np.random.get_state()
    np.testing.assert_array_equal(after[1], changed[1])
    assert after[2] == changed[2]
    np.testing.assert_array_equal(first[1][0], second[1][0])
    np.random.set_state(before)


def test_each_call_gives_fresh_writable_arrays():
    first, second = load_digits(), load_digits()
    for part_1, part_2 in zip(first, second, strict=True):
        for array_1, array_2 in zip(part_1, part_2, strict=True):
            assert array_1.flags.writeable
            assert not np.shares_memory(array_1, array_2)
            kept = array_2.copy()
            array_1[...] = 7
            np.testing.assert_array_equal(array_2, kept)


@pytest.mark.parametrize(
    ("dtype", "named"),
    [
        (np.uint8, "dtype('uint8')"),
        (np.float16, "dtype('float16')"),
        (np.dtype(np.float32).newbyteorder("S"), "f4')"),
        (int, "int"),
        (None, "None"),
        ("no such type", "'no such type'"),
        ("(2,", "'(2,'"),
    ],
)
def test_other_types_are_refused(dtype, named):
    message = r"load_digits: dtype must be float32 or float64, got .*" + re.escape(named)
    with pytest.raises(TypeError, match=message):
        load_digits(dtype=dtype)


def test_dtype_is_a_keyword():
    with pytest.raises(TypeError, match="positional"):
        load_digits(np.float64)


def test_import_stays_light():
    # numpy first: what it loads by itself is not ours to judge.
    code = (
        "import sys, numpy; before = set(sys.modules); import nncore.data; "
        "print(sorted({'gzip', 'zipfile', 'sklearn', 'pandas'} & (set(sys.modules) - before)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
