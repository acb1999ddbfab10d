"""Tables of the user's own: CSV, data frames, npz."""

import zipfile

import numpy as np
import pytest

from nncore.data import from_frame, load_csv, load_npz


@pytest.fixture
def write(tmp_path):
    def write(text, name="table.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_csv_with_names_and_classes(write):
    x, y = load_csv(write("a,b,kind\n1,2,cat\n3,4.5,ant\n\n5,-6e1,cat\n"), "kind")
    np.testing.assert_array_equal(x, np.array([[1, 2], [3, 4.5], [5, -60]], np.float32))
    np.testing.assert_array_equal(y, [1, 0, 1])
    assert (x.dtype, y.dtype) == (np.float32, np.int64)


def test_csv_without_names(write):
    path = write("1;0.5;7\n2;1.5;8\n")
    x, y = load_csv(path, 1, delimiter=";", dtype=np.float64)
    np.testing.assert_array_equal(x, [[1, 7], [2, 8]])
    np.testing.assert_array_equal(y, [0.5, 1.5])
    assert y.dtype == np.float64
    x, y = load_csv(path, delimiter=";")
    np.testing.assert_array_equal(y, [7, 8])
    assert y.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("a,b\n1,2\n1,2,3\n", "b", "row 3 has 3 columns, expected 2"),
        ("a,b\n1,2\nx,3\n", "b", r"row 3, column 1 \(a\): 'x' is no number"),
        ("1,2\n,3\n", -1, "row 2, column 1: '' is no number"),
        ("a,b\n1,2\n", "c", "no column 'c', there are a, b"),
        ("1,2\n", "c", "no names: give its number"),
        ("1,2\n", 2, "no column 2, there are 2"),
        ("", -1, "has no rows"),
        ("a,b\n", "a", "has no rows"),
    ],
)
def test_csv_that_is_wrong(write, text, target, message):
    with pytest.raises(ValueError, match=message):
        load_csv(write(text), target)


def test_frames():
    class Frame(dict):
        columns = property(lambda self: list(self))

        def __len__(self):
            return 3

    frame = Frame(size=[1.5, 2, 3], ok=[True, False, True], kind=["b", "a", "b"])
    x, y = from_frame(frame, "kind")
    np.testing.assert_array_equal(x, np.array([[1.5, 1], [2, 0], [3, 1]], np.float32))
    np.testing.assert_array_equal(y, [1, 0, 1])
    with pytest.raises(TypeError, match="column 'kind' has dtype"):
        from_frame(frame, "size")
    with pytest.raises(ValueError, match="no column 'weight'"):
        from_frame(frame, "weight")
    with pytest.raises(TypeError, match="frame must be a data frame, got list"):
        from_frame([1], "a")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    path = tmp_path / "set.npz"
    save(path, x=np.zeros((1000, 30)), y=np.arange(1000), other=np.ones(3))
    x, y = load_npz(path)
    assert x.shape == (1000, 30)
    np.testing.assert_array_equal(y, np.arange(1000))
    with pytest.raises(ValueError, match="it has no labels, but x, y, other"):
        load_npz(path, ("x", "labels"))
    with pytest.raises(ValueError, match=r"different numbers of rows: x \(1000, 30\), o"):
        load_npz(path, ("x", "other"))


def test_npz_that_is_hostile(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, x=np.array([{}], dtype=object), y=np.zeros(1))
    with pytest.raises(ValueError, match="holds objects"):
        load_npz(path)
    header = b"\x93NUMPY\x01\x00v\x00" + (
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }".ljust(117) + b"\n"
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", header)
        file.writestr("y.npy", header)
    with pytest.raises(ValueError, match="799999999992 bytes announced"):
        load_npz(path)
    path.write_bytes(b"PK no zip at all")
    with pytest.raises(ValueError, match="load_npz"):
        load_npz(path)
    with pytest.raises(FileNotFoundError):
        load_npz(tmp_path / "none.npz")
