"""Files of weights: what goes in comes out; what is damaged or hostile is refused."""

import errno
import io as memory
import json
import os
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nncore import nn
from nncore.io import check_target, load_weights, save_weights

SUFFIXES = [".npz", ".safetensors"]


@pytest.fixture(params=SUFFIXES)
def file(request, tmp_path: Path) -> Path:
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"weights{request.param}"


@pytest.fixture
def state() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "0.weight": rng.standard_normal((4, 3)).astype(np.float32),
        "body.bias": rng.standard_normal(5),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "file": rng.standard_normal((2, 3, 4, 5)).transpose(0, 3, 1, 2),
    }


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


class TestRoundTrip:
    def test_arrays_and_metadata_come_back(self, file, state):
        notes = {"network": "notes-cnn", "text": 'ünï "quoted" \n'}
        save_weights(file, state, notes)
        loaded = load_weights(file)
        assert loaded.metadata == notes
        assert set(loaded.state_dict) == set(state)
        for name, array in state.items():
            found = loaded.state_dict[name]
            assert found.dtype == array.dtype
            assert found.shape == array.shape
            assert found.tobytes() == array.tobytes()
            assert found.flags.writeable

    def test_a_model_goes_into_another(self, file):
        first, second = nn.Linear(3, 2, seed=1), nn.Linear(3, 2, seed=2)
        save_weights(file, first)
        second.load_state_dict(load_weights(file).state_dict)
        assert first.weight.data.tobytes() == second.weight.data.tobytes()
        assert first.bias.data.tobytes() == second.bias.data.tobytes()

    def test_special_values_keep_their_bits(self, file):
        values = np.array([np.nan, -0.0, np.inf, 5e-324, -np.inf])
        save_weights(file, {"w": values})
        assert load_weights(file).state_dict["w"].tobytes() == values.tobytes()

    def test_swapped_bytes_are_written_in_order(self, file):
        values = np.arange(6, dtype=">f4").reshape(2, 3)
        save_weights(file, {"w": values})
        assert np.array_equal(load_weights(file).state_dict["w"], values)

    def test_same_weights_same_bytes(self, tmp_path, state):
        file = tmp_path / "w.npz"
        save_weights(file, state, {"a": "1"})
        first = file.read_bytes()
        save_weights(file, state, {"a": "1"})
        assert file.read_bytes() == first

    def test_numpy_opens_an_npz(self, tmp_path, state):
        save_weights(tmp_path / "w.npz", state)
        with np.load(tmp_path / "w.npz", allow_pickle=False) as opened:
            for name, array in state.items():
                assert np.array_equal(opened[name], array)

    def test_an_npz_of_numpy_is_read(self, tmp_path, state):
        fortran = {
            "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "s": np.arange(3, dtype=">f8"),
        }
        plain = {name: array for name, array in state.items() if name != "file"}
        np.savez(tmp_path / "w.npz", **plain, **fortran)
        loaded = load_weights(tmp_path / "w.npz")
        assert loaded.metadata == {}
        for name, array in {**plain, **fortran}.items():
            assert np.array_equal(loaded.state_dict[name], array)
            assert loaded.state_dict[name].flags.c_contiguous
            assert loaded.state_dict[name].dtype.isnative

    def test_pytorch_reads_and_writes_the_same_file(self, tmp_path):
        torch = pytest.importorskip("torch")
        pytest.importorskip("safetensors")
        from safetensors.torch import load_file, save_file

        ours, theirs = nn.Linear(3, 2, seed=1), torch.nn.Linear(3, 2)
        save_weights(tmp_path / "ours.safetensors", ours)
        theirs.load_state_dict(load_file(tmp_path / "ours.safetensors"))
        assert np.array_equal(theirs.weight.detach().numpy(), ours.weight.data)
        torch.nn.init.ones_(theirs.weight)
        save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
        ours.load_state_dict(load_weights(tmp_path / "theirs.safetensors").state_dict)
        assert np.array_equal(ours.weight.data, np.ones((2, 3)))


class TestArguments:
    @pytest.mark.parametrize("name", ["w", "w.bin", "w.npz.old", "w.NPZ"])
    def test_the_suffix_decides(self, tmp_path, name):
        for call in (lambda p: save_weights(p, {}), load_weights, check_target):
            with pytest.raises(ValueError, match=r"must end in .npz or .safetensors"):
                call(tmp_path / name)
        assert listing(tmp_path) == []

    @pytest.mark.parametrize(
        ("source", "kind", "message"),
        [
            ([1.0], TypeError, "Module or its state_dict"),
            ({"w": [1.0]}, TypeError, "w is a list"),
            ({"w": np.zeros(2, np.int64)}, TypeError, "w has dtype int64"),
            ({"w": np.zeros(2, np.float16)}, TypeError, "w has dtype float16"),
            ({"w": np.array([None])}, TypeError, "w has dtype object"),
            ({1: np.zeros(2)}, TypeError, "names of arrays must be strings"),
            ({"": np.zeros(2)}, ValueError, "cannot be named ''"),
            ({"__metadata__": np.zeros(2)}, ValueError, "cannot be named"),
            ({"../w": np.zeros(2)}, ValueError, "cannot be named"),
        ],
    )
    def test_what_is_no_weight(self, file, source, kind, message):
        file.write_bytes(b"old")
        with pytest.raises(kind, match=message):
            save_weights(file, source)
        assert file.read_bytes() == b"old"

    @pytest.mark.parametrize(
        ("metadata", "kind"),
        [({"a": 1}, TypeError), ("a", TypeError), ({"nncore_format": "2"}, ValueError)],
    )
    def test_what_is_no_metadata(self, file, metadata, kind):
        with pytest.raises(kind, match="metadata"):
            save_weights(file, {}, metadata)
        assert not file.exists()

    def test_a_missing_package_is_one_line_to_run(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "safetensors", None)
        monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
        path = tmp_path / "w.safetensors"
        path.write_bytes(b"x")
        for call in (lambda p: save_weights(p, {}), load_weights, check_target):
            with pytest.raises(ImportError, match=r'pip install "nncore-cpu\[io\]"') as caught:
                call(path)
            assert "\n" not in str(caught.value)


class TestAtomic:
    @pytest.mark.parametrize("function", ["fsync", "replace", "chmod"])
    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
    def test_after_an_error_the_old_file_stands_alone(
        self, file, state, monkeypatch, function, error
    ):
        save_weights(file, {"w": np.zeros(3)})
        old = file.read_bytes()

        def fail(*_args, **_kwargs):
            raise error

        monkeypatch.setattr(os, function, fail)
        with pytest.raises(type(error)):
            save_weights(file, state)
        assert file.read_bytes() == old
        assert listing(file.parent) == [file.name]

    def test_a_full_disk(self, file, state, monkeypatch):
        save_weights(file, {"w": np.zeros(3)})
        old = file.read_bytes()
        opened = os.fdopen

        def full(descriptor, mode):
            stream = opened(descriptor, mode)

            class Full:
                def __enter__(self):
                    return self

                def __exit__(self, *_):
                    stream.close()

                def write(self, data):
                    stream.write(data[: len(data) // 2])
                    raise OSError(errno.ENOSPC, "No space left on device")

            return Full()

        monkeypatch.setattr(os, "fdopen", full)
        with pytest.raises(OSError, match="No space"):
            save_weights(file, state)
        monkeypatch.undo()
        assert file.read_bytes() == old
        assert listing(file.parent) == [file.name]

    def test_file_and_folder_are_flushed_in_this_order(self, file, state, monkeypatch):
        calls = []
        fsync, replace = os.fsync, os.replace

        def note_fsync(descriptor):
            calls.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
            fsync(descriptor)

        def note_replace(source, target):
            calls.append("rename")
            replace(source, target)

        monkeypatch.setattr(os, "fsync", note_fsync)
        monkeypatch.setattr(os, "replace", note_replace)
        save_weights(file, state)
        assert calls == ["file", "rename", "folder"]

    def test_permissions(self, file, state):
        save_weights(file, state)
        mask = os.umask(0)
        os.umask(mask)
        assert file.stat().st_mode & 0o777 == 0o666 & ~mask
        file.chmod(0o640)
        save_weights(file, state)
        assert file.stat().st_mode & 0o777 == 0o640

    def test_a_link_stays_a_link(self, file, state):
        real = file.with_name(f"real{file.suffix}")
        file.symlink_to(real)
        save_weights(file, state)
        assert file.is_symlink()
        assert set(load_weights(real).state_dict) == set(state)

    def test_targets_that_cannot_be(self, tmp_path):
        folder = tmp_path / "folder.npz"
        folder.mkdir()
        pipe = tmp_path / "pipe.npz"
        os.mkfifo(pipe)
        for call in (lambda p: save_weights(p, {}), check_target):
            with pytest.raises(IsADirectoryError, match="is a folder"):
                call(folder)
            with pytest.raises(OSError, match="not a regular file"):
                call(pipe)
            with pytest.raises(FileNotFoundError, match="does not exist"):
                call(tmp_path / "missing" / "w.npz")
        with pytest.raises(OSError, match="not a regular file"):
            load_weights(pipe)
        assert listing(tmp_path) == ["folder.npz", "pipe.npz"]

    def test_a_folder_that_cannot_be_written(self, tmp_path, monkeypatch):
        def refuse(path, *_args):
            raise PermissionError(errno.EACCES, "Permission denied", path)

        monkeypatch.setattr(os, "open", refuse)
        for call in (lambda p: save_weights(p, {}), check_target):
            with pytest.raises(
                PermissionError, match=r"w.npz: cannot be written: permission denied"
            ):
                call(tmp_path / "w.npz")

    def test_check_target_leaves_everything_as_it_was(self, file):
        check_target(file)
        assert listing(file.parent) == []
        file.write_bytes(b"old")
        check_target(file)
        assert file.read_bytes() == b"old"
        assert listing(file.parent) == [file.name]


def npy(shape, data: bytes, descr="<f4", fortran=False) -> bytes:
    header = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def zipped(entries: dict[str, bytes], method=zipfile.ZIP_STORED) -> bytes:
    buffer = memory.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def claiming(size: int) -> bytes:
    """An archive whose only entry claims to have so many bytes."""
    data = bytearray(zipped({"w.npy": npy((2,), bytes(8))}))
    directory = data.index(b"PK\x01\x02")
    struct.pack_into("<II", data, directory + 20, size, size)
    struct.pack_into("<II", data, 18, size, size)
    return bytes(data)


HOSTILE = {
    "nothing": b"",
    "text": b"hello",
    "a claim of 4 GB": claiming(0xFFFFFFF0),
    "shape of 2**60": zipped({"w.npy": npy((2**60,), bytes(8))}),
    "shape whose bytes overflow": zipped({"w.npy": npy((2**62, 4), b"")}),
    "an empty array of a huge shape": zipped({"w.npy": npy((0, 2**62, 2**62), b"")}),
    "negative shape": zipped({"w.npy": npy((-1, -2), bytes(8))}),
    "too few bytes": zipped({"w.npy": npy((3,), bytes(8))}),
    "too many bytes": zipped({"w.npy": npy((1,), bytes(8))}),
    "65 axes": zipped({"w.npy": npy((1,) * 65, bytes(4))}),
    "shape of floats": zipped({"w.npy": npy((2.0,), bytes(8))}),
    "objects": zipped({"w.npy": npy((1,), b"cos\nsystem\n(S'false'\ntR.", "|O")}),
    "integers": zipped({"w.npy": npy((2,), bytes(8), "<i4")}),
    "half floats": zipped({"w.npy": npy((4,), bytes(8), "<f2")}),
    "bytes": zipped({"w.npy": npy((8,), bytes(8), "|u1")}),
    "records": zipped({"w.npy": npy((2,), bytes(8), [("a", "<f4")])}),
    "a header that is code": zipped({"w.npy": npy("__import__('os')", b"")}),
    "a header nested 4000 deep": zipped({"w.npy": npy("(" * 4000, b"")}),
    "no header": zipped({"w.npy": b"\x93NUMPY\x01\x00"}),
    "version 9": zipped({"w.npy": b"\x93NUMPY\x09\x00" + bytes(100)}),
    "not npy": zipped({"w.npy": b"hello"}),
    "another name": zipped({"w.txt": npy((2,), bytes(8))}),
    "compressed": zipped({"w.npy": npy((2500,), bytes(10000))}, zipfile.ZIP_DEFLATED),
    "metadata that is no JSON": zipped({"__metadata__.npy": npy((1,), b"{", "|u1")}),
    "metadata nested deeply": zipped({"__metadata__.npy": npy((99999,), b"[" * 99999, "|u1")}),
    "metadata that is a list": zipped({"__metadata__.npy": npy((2,), b"[]", "|u1")}),
    "metadata of numbers": zipped({"__metadata__.npy": npy((7,), b'{"a":1}', "|u1")}),
    "metadata of floats": zipped({"__metadata__.npy": npy((1,), bytes(4))}),
}


class TestHostileNpz:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_is_refused_by_name(self, tmp_path, name):
        path = tmp_path / "w.npz"
        path.write_bytes(HOSTILE[name])
        with pytest.raises(ValueError, match=r"w.npz: not a weight file, or damaged: \S"):
            load_weights(path)

    def test_the_same_made_well_is_read(self, tmp_path):
        path = tmp_path / "w.npz"
        path.write_bytes(zipped({"w.npy": npy((2,), np.float32([1, 2]).tobytes())}))
        assert load_weights(path).state_dict["w"].tolist() == [1, 2]

    def test_entries_that_overlap(self, tmp_path):
        """Many names for the same bytes: each is honest, together they are more than the file."""
        data = zipped({"w0.npy": npy((100000,), bytes(400000))})
        at = data.index(b"PK\x01\x02")
        end = data.index(b"PK\x05\x06")
        entry = data[at:end]
        directory = b"".join(entry.replace(b"w0.npy", b"w%d.npy" % i) for i in range(10))
        tail = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 10, 10, len(directory), at, 0)
        path = tmp_path / "w.npz"
        path.write_bytes(data[:at] + directory + tail)
        with pytest.raises(ValueError, match="damaged: the arrays claim"):
            load_weights(path)

    def test_a_name_twice(self, tmp_path):
        path = tmp_path / "w.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("w.npy", npy((1,), bytes(4)))
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("w.npy", npy((1,), bytes(4)))
        with pytest.raises(ValueError, match="each array once"):
            load_weights(path)

    def test_truncated_anywhere(self, tmp_path, state):
        path = tmp_path / "w.npz"
        save_weights(path, state)
        whole = path.read_bytes()
        for length in range(0, len(whole), 37):
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match="damaged"):
                load_weights(path)

    def test_a_flipped_bit_is_found_or_harmless(self, tmp_path, state):
        path = tmp_path / "w.npz"
        save_weights(path, state, {"k": "v"})
        whole = path.read_bytes()
        refused = 0
        for at in range(0, len(whole), 11):
            damaged = bytearray(whole)
            damaged[at] ^= 0x10
            path.write_bytes(damaged)
            try:
                found = load_weights(path)
            except ValueError:
                refused += 1
                continue
            # Dates, permissions and names are not part of what the archive checks.
            for name in set(state) & set(found.state_dict):
                assert found.state_dict[name].tobytes() == state[name].tobytes()
        assert refused > 10

    def test_a_later_version(self, file):
        save_weights(file, {})
        content = file.read_bytes()
        text = b'"nncore_format": "1"' if file.suffix == ".npz" else b'"nncore_format":"1"'
        if file.suffix == ".npz":
            content = zipped(
                {"__metadata__.npy": npy((22,), b"{" + text.replace(b"1", b"2") + b"}", "|u1")}
            )
        else:
            assert text in content
            content = content.replace(text, text.replace(b"1", b"2"))
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"format version '2', this nncore reads version 1"):
            load_weights(file)


def safetensors_file(header: object, data: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def entry(shape, size, dtype="F32", start=0):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, start + size]}


HOSTILE_SAFETENSORS = {
    "nothing": b"",
    "text": b"hello, world, how are you",
    "a header of 2**63 bytes": b"\xff" * 7 + b"\x7f" + bytes(100),
    "a header beyond the file": (1000).to_bytes(8, "little") + b"{}",
    "no JSON": safetensors_file(b"{" * 100),
    "offsets beyond the file": safetensors_file({"w": entry([2], 8)}),
    "a shape of 2**60": safetensors_file({"w": entry([2**60], 8)}, bytes(8)),
    "a shape whose bytes overflow": safetensors_file({"w": entry([2**62, 4], 0)}),
    "a hole": safetensors_file({"w": entry([2], 8)}, bytes(16)),
    "overlap": safetensors_file({"a": entry([2], 8), "b": entry([2], 8)}, bytes(8)),
    "bfloat16": safetensors_file({"w": entry([2], 4, "BF16")}, bytes(4)),
    "float8": safetensors_file({"w": entry([2], 2, "F8_E4M3")}, bytes(2)),
    "metadata of numbers": safetensors_file({"__metadata__": {"a": 1}}),
}


@pytest.mark.parametrize("name", HOSTILE_SAFETENSORS)
def test_hostile_safetensors_are_refused_by_name(tmp_path, name):
    pytest.importorskip("safetensors")
    path = tmp_path / "w.safetensors"
    path.write_bytes(HOSTILE_SAFETENSORS[name])
    with pytest.raises(ValueError, match=r"w.safetensors: not a weight file, or damaged: \S"):
        load_weights(path)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="w.npz"):
        load_weights(tmp_path / "w.npz")


def test_reading_takes_no_more_memory_than_the_file(tmp_path):
    """Peak of what Python allocates while a 4 MB file is read."""
    import tracemalloc

    path = tmp_path / "w.npz"
    save_weights(path, {"w": np.ones(2**20, np.float32)})
    tracemalloc.start()
    load_weights(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size + 2**20
