"""Files of weights: what goes in comes out, whole or not at all."""

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from nncore import nn
from nncore.io import check_target, load_weights, save_weights


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
            ({"w": np.zeros(2, np.int32)}, TypeError, "w has dtype int32"),
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
