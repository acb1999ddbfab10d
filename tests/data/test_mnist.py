"""load_mnist: the real set where NNCORE_DATA has it, small folders of its form for the faults."""

import hashlib
import re
import struct

import numpy as np
import pytest

from nncore.data import load_mnist

FILES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]
# Of the uncompressed file of training images.
MD5_TRAIN_IMAGES = "6bbc9ace898e44ae57da46a324031adb"


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    """The environment of the machine must not answer for a test's own folder."""
    monkeypatch.delenv("NNCORE_DATA", raising=False)


# --- the real set --------------------------------------------------------------------------------


def test_real_set_is_complete(mnist_root):
    (x_train, y_train), (x_test, y_test) = load_mnist(mnist_root, dtype=np.uint8)
    assert x_train.shape == (60_000, 1, 28, 28)
    assert x_test.shape == (10_000, 1, 28, 28)
    assert x_train.dtype == x_test.dtype == np.uint8
    assert y_train.dtype == y_test.dtype == np.int64
    file = struct.pack(">4B3I", 0, 0, 8, 3, 60_000, 28, 28) + x_train.tobytes()
    assert hashlib.md5(file, usedforsecurity=False).hexdigest() == MD5_TRAIN_IMAGES
    # The class counts that every description of MNIST gives.
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_train).tolist() == train
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(y_test).tolist() == test
    assert y_train[:5].tolist() == [5, 0, 4, 1, 9]


def test_real_set_through_the_variable(mnist_root, monkeypatch):
    monkeypatch.setenv("NNCORE_DATA", mnist_root)
    _, (x_test, y_test) = load_mnist()
    assert (x_test.shape, x_test.dtype, len(y_test)) == ((10_000, 1, 28, 28), np.float32, 10_000)
    assert (x_test.min(), x_test.max()) == (0, 1)
    # The well-known mean of the pixels of the test set.
    assert x_test.mean(dtype=np.float64) == pytest.approx(0.1325, abs=5e-5)


# --- where the files are -------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("below", ["", "mnist"])
@pytest.mark.parametrize("how", ["path", "string", "variable"])
def test_finds_the_files(how, below, compress, tmp_path, write_mnist, monkeypatch):
    written = write_mnist(tmp_path / below, compress=compress)
    if how == "variable":
        monkeypatch.setenv("NNCORE_DATA", str(tmp_path))
    root = {"path": tmp_path, "string": str(tmp_path), "variable": None}[how]
    (x_train, y_train), (x_test, y_test) = load_mnist(root, dtype=np.uint8)
    np.testing.assert_array_equal(x_train[:, 0], written["train_images"])
    np.testing.assert_array_equal(y_train, written["train_labels"])
    np.testing.assert_array_equal(x_test[:, 0], written["t10k_images"])
    np.testing.assert_array_equal(y_test, written["t10k_labels"])


def test_root_goes_before_the_variable(tmp_path, write_mnist, monkeypatch):
    write_mnist(tmp_path / "a", t10k_labels=np.zeros(20, np.uint8))
    write_mnist(tmp_path / "b", t10k_labels=np.ones(20, np.uint8))
    monkeypatch.setenv("NNCORE_DATA", str(tmp_path / "a"))
    assert load_mnist(tmp_path / "b")[1][1].tolist() == [1] * 20
    assert load_mnist()[1][1].tolist() == [0] * 20


def test_folder_mnist_goes_before_the_files_beside_it(tmp_path, write_mnist):
    write_mnist(tmp_path, t10k_labels=np.zeros(20, np.uint8))
    write_mnist(tmp_path / "mnist", t10k_labels=np.ones(20, np.uint8))
    assert load_mnist(tmp_path)[1][1].tolist() == [1] * 20


def test_files_of_two_folders_are_not_mixed(tmp_path, write_mnist):
    write_mnist(tmp_path, t10k_labels=np.zeros(20, np.uint8))
    write_mnist(tmp_path / "mnist", t10k_labels=np.ones(20, np.uint8))
    (tmp_path / "mnist" / FILES[0]).unlink()
    assert load_mnist(tmp_path)[1][1].tolist() == [0] * 20


def test_plain_file_goes_before_its_compressed_form(tmp_path, write_mnist):
    write_mnist(tmp_path, compress=True, t10k_labels=np.zeros(20, np.uint8))
    write_mnist(tmp_path, t10k_labels=np.ones(20, np.uint8))
    assert load_mnist(tmp_path)[1][1].tolist() == [1] * 20


@pytest.mark.parametrize("value", [None, ""])
def test_without_root_and_variable(value, monkeypatch, tmp_path):
    monkeypatch.setenv("NNCORE_CACHE", str(tmp_path))
    if value is not None:
        monkeypatch.setenv("NNCORE_DATA", value)
    with pytest.raises(FileNotFoundError, match=r"files not found.* NNCORE_DATA ") as info:
        load_mnist()
    for name in FILES:
        assert name in str(info.value)
    assert "\n" not in str(info.value)


def test_absent_files_and_their_folders_are_named(tmp_path, write_mnist):
    write_mnist(tmp_path / "mnist", compress=True)
    (tmp_path / "mnist" / (FILES[2] + ".gz")).unlink()
    with pytest.raises(FileNotFoundError) as info:
        load_mnist(tmp_path)
    message = str(info.value)
    assert f"{tmp_path / 'mnist'} lacks {FILES[2]}; " in message
    assert f"{tmp_path} lacks {', '.join(FILES)} " in message
    assert "NNCORE_DATA" in message
    assert ".gz" in message
    assert "\n" not in message


def test_folder_in_place_of_a_file_does_not_count(tmp_path, write_mnist):
    write_mnist(tmp_path)
    (tmp_path / FILES[1]).unlink()
    (tmp_path / FILES[1]).mkdir()
    with pytest.raises(FileNotFoundError, match=f"lacks {FILES[1]} "):
        load_mnist(tmp_path)


# --- what comes out ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaling_is_the_correctly_rounded_quotient(dtype, tmp_path, write_mnist):
    every = np.resize(np.arange(256), (2, 28, 28)).astype(np.uint8)
    write_mnist(tmp_path, train_images=every, train_labels=np.array([0, 9], np.uint8))
    (x, _), _ = load_mnist(tmp_path, dtype=dtype)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x[:, 0], every.astype(dtype) / dtype(255))
    np.testing.assert_array_equal(np.rint(x[:, 0] * 255), every)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, "uint8"])
def test_arrays_are_fresh_and_writable(dtype, tmp_path, write_mnist):
    write_mnist(tmp_path)
    first, second = load_mnist(tmp_path, dtype=dtype), load_mnist(tmp_path, dtype=dtype)
    for part_1, part_2 in zip(first, second, strict=True):
        x, y = part_1
        assert x.dtype == dtype
        assert y.dtype == np.int64
        for array in part_1:
            assert array.flags.c_contiguous
            array[...] = 1
        assert not np.array_equal(x, part_2[0])
        assert not np.array_equal(y, part_2[1])


def test_no_samples_at_all(tmp_path, write_mnist):
    nothing = {"t10k_images": np.zeros((0, 28, 28), np.uint8), "t10k_labels": np.zeros(0, np.uint8)}
    write_mnist(tmp_path, **nothing)
    _, (x, y) = load_mnist(tmp_path)
    assert (x.shape, y.shape) == ((0, 1, 28, 28), (0,))


@pytest.mark.parametrize("dtype", [np.int64, np.float16, np.int8, None, "nonsense"])
def test_other_types_are_refused_before_any_file_is_looked_for(dtype):
    with pytest.raises(TypeError, match="load_mnist: dtype must be float32 or float64 or uint8"):
        load_mnist("/no/such/folder", dtype=dtype)


# --- damaged files -------------------------------------------------------------------------------

SIZES_OF_IMAGES = [(30, 28, 27), (30, 27, 28), (30, 784), (30, 1, 28, 28), (23520,)]


@pytest.mark.parametrize("part", ["train", "t10k"])
@pytest.mark.parametrize("shape", SIZES_OF_IMAGES)
def test_images_of_another_shape(shape, part, tmp_path, write_mnist):
    write_mnist(tmp_path, **{f"{part}_images": np.zeros(shape, np.uint8)})
    named = re.escape(str(tmp_path / f"{part}-images")) + ".*" + re.escape(f"got shape {shape}")
    with pytest.raises(ValueError, match=r"load_mnist: " + named):
        load_mnist(tmp_path)


def test_images_of_another_type(tmp_path, write_mnist):
    write_mnist(tmp_path, train_images=np.zeros((30, 28, 28), np.float32))
    with pytest.raises(ValueError, match=r"train-images.*uint8, got .* type float32"):
        load_mnist(tmp_path)


@pytest.mark.parametrize(
    ("labels", "got"),
    [(np.zeros(30, np.int32), "type int32"), (np.zeros((30, 1), np.uint8), "shape (30, 1)")],
)
def test_labels_of_another_form(labels, got, tmp_path, write_mnist):
    write_mnist(tmp_path, train_labels=labels)
    with pytest.raises(ValueError, match="train-labels.*expected labels.*" + re.escape(got)):
        load_mnist(tmp_path)


@pytest.mark.parametrize(("part", "images"), [("train", 30), ("t10k", 20)])
@pytest.mark.parametrize("more", [-1, 1])
def test_numbers_of_images_and_labels_differ(part, images, more, tmp_path, write_mnist):
    write_mnist(tmp_path, **{f"{part}_labels": np.zeros(images + more, np.uint8)})
    message = f"{part}-labels.*{images} images in .*{part}-images.*got {images + more}"
    with pytest.raises(ValueError, match=message):
        load_mnist(tmp_path)


@pytest.mark.parametrize("label", [10, 255])
def test_label_out_of_range(label, tmp_path, write_mnist):
    labels = np.zeros(20, np.uint8)
    labels[[7, 12]] = label
    write_mnist(tmp_path, t10k_labels=labels)
    with pytest.raises(ValueError, match=rf"t10k-labels.*label {label} in row 7, expected 0 to 9"):
        load_mnist(tmp_path)


@pytest.mark.parametrize("name", ["train_images", "train_labels", "t10k_images", "t10k_labels"])
@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
def test_damage_inside_a_file_is_the_readers_error(name, compress, tmp_path, write_mnist):
    write_mnist(tmp_path, compress=compress, **{name: b"\0\0\x08\x01\0\0\0\x05abcd"})
    message = rf"read_idx: .*{name.replace('_', '-')}.*got 4 bytes, expected 5"
    with pytest.raises(ValueError, match=message):
        load_mnist(tmp_path)
