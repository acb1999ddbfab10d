"""CIFAR-10: the binary records, checked; the archive unpacked."""

import io
import tarfile

import numpy as np
import pytest

from nncore.data import cifar10, load_cifar10

NAMES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]


def record(label, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, 3072, dtype=np.uint8)
    return np.concatenate([np.array([label], np.uint8), pixels])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NNCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NNCORE_DATA", raising=False)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        np.concatenate([record(number, number), record(9, 10 + number)]).tofile(folder / name)
    return folder


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_reads_the_records(folder, dtype):
    (x, y), (x_test, y_test) = load_cifar10(folder.parent, dtype=dtype)
    assert x.shape == (10, 3, 32, 32)
    assert x.dtype == dtype
    np.testing.assert_array_equal(y, [0, 9, 1, 9, 2, 9, 3, 9, 4, 9])
    np.testing.assert_array_equal(y_test, [5, 9])
    raw = record(5, 5)[1:].reshape(3, 32, 32)
    np.testing.assert_array_equal(x_test[0], raw if dtype == np.uint8 else raw / dtype(255))


def test_the_folder_itself_and_the_environment(folder, monkeypatch):
    assert len(load_cifar10(folder)[0][0]) == 10
    monkeypatch.setenv("NNCORE_DATA", str(folder.parent))
    assert len(load_cifar10()[0][0]) == 10


def test_files_that_are_wrong(folder):
    (folder / "data_batch_2.bin").write_bytes(b"\0" * 3072)
    with pytest.raises(ValueError, match=r"data_batch_2.bin: 3072 bytes, expected a whole number"):
        load_cifar10(folder)
    record(10, 0).tofile(folder / "data_batch_2.bin")
    with pytest.raises(ValueError, match="label 10 in record 0, expected 0 to 9"):
        load_cifar10(folder)
    (folder / "test_batch.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks test_batch.bin.*download=True"):
        load_cifar10(folder)


def test_the_archive_is_unpacked(folder, tmp_path, monkeypatch):
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in NAMES:
            data = (folder / name).read_bytes()
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    monkeypatch.setattr(cifar10.files, "fetch", lambda *_: [archive])
    (x, _), _ = load_cifar10(tmp_path / "new", download=True)
    assert len(x) == 10
    assert (tmp_path / "new" / "cifar-10-batches-bin" / "test_batch.bin").is_file()
