"""Checkpoints as files: what comes back, old versions, hostile ones, faults of the disk."""

import errno
import importlib.util
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import nncore as nc
from nncore import nn, optim
from nncore.io import load_weights, save_weights
from nncore.io.checkpoint import read_checkpoint, write_checkpoint
from nncore.training import Checkpoint

FILES = Path(__file__).with_name("files")


@pytest.fixture(scope="module")
def v1():
    spec = importlib.util.spec_from_file_location(
        "make_checkpoint_v1", Path(__file__).with_name("make_checkpoint_v1.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestTree:
    def test_comes_back_as_it_was(self, file):
        tree = {
            "numbers": [1, -2.5, 1e-300, True, None, float("inf"), 2**63],
            "text": 'ü "quoted"',
            "tuple": (1, (2, [3])),
            "keys": {0: {"a": np.arange(3.0)}, 1: {}},
            "arrays": {"a.b": np.float32([1, np.nan]), "a": {"b": np.array([[5]], np.int64)}},
            "empty": [],
            "$odd": {"$array": 1},
        }
        write_checkpoint(file, tree)
        found, version = read_checkpoint(file)
        assert version == 1
        assert list(found) == list(tree)
        for name in ("numbers", "text", "tuple", "empty", "$odd"):
            assert found[name] == tree[name]
        assert found["keys"][0]["a"].tolist() == [0, 1, 2]
        assert found["keys"][1] == {}
        assert found["arrays"]["a.b"].tobytes() == tree["arrays"]["a.b"].tobytes()
        assert found["arrays"]["a"]["b"].dtype == np.int64

    def test_scalars_of_numpy_become_numbers(self, file):
        write_checkpoint(file, {"a": np.float32(0.1), "b": np.int8(3), "c": np.bool_(True)})
        found, _ = read_checkpoint(file)
        assert found == {"a": float(np.float32(0.1)), "b": 3, "c": True}

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({"a": {"b": object()}}, "a.b is a object"),
            ({"a": np.zeros(2, np.float16)}, "a has dtype float16"),
            ({"a": {1, 2}}, "a is a set"),
        ],
    )
    def test_what_cannot_be_saved(self, file, value, message):
        with pytest.raises(TypeError, match=f"save_checkpoint: {message}"):
            write_checkpoint(file, value)
        nested = []
        for _ in range(60):
            nested = [nested]
        with pytest.raises(TypeError, match="deep"):
            write_checkpoint(file, {"a": nested})
        assert not file.exists()


class TestVersions:
    @pytest.mark.parametrize("suffix", ["npz", "safetensors"])
    def test_version_1_goes_on(self, v1, suffix):
        """To the bits of the run that was not broken off, as long as the kernels give the same."""
        if suffix == "safetensors":
            pytest.importorskip("safetensors")
        path = FILES / f"checkpoint-v1.{suffix}"
        assert path.stat().st_size < 10_000
        whole, x, y = v1.parts()
        again, _, _ = v1.parts()
        again.model.reset_parameters(99)
        whole.fit(x, y, 3, 4, verbose=0)
        again.fit(x, y, 3, 4, verbose=0, resume=path)
        assert again.history.epochs == [1, 2, 3]
        assert again.steps == 9
        for p, q in zip(again.model.parameters(), whole.model.parameters(), strict=True):
            assert np.allclose(p.data, q.data, atol=1e-6)
        assert again.history.history["f1"] == pytest.approx(whole.history.history["f1"])

    def test_the_files_are_what_the_program_makes(self, v1, tmp_path):
        v1.broken_off().save_checkpoint(tmp_path / "now.npz")
        now, _ = read_checkpoint(tmp_path / "now.npz")
        then, _ = read_checkpoint(FILES / "checkpoint-v1.npz")
        assert set(then) <= set(now)
        assert then["position"]["tally"]["batches"] == now["position"]["tally"]["batches"] == 2

    def test_a_later_version(self, file):
        write_checkpoint(file, {})
        damage(file, b'"nncore_checkpoint"', b'"1"', b'"9"')
        with pytest.raises(ValueError, match="a checkpoint of version '9', this nncore reads up"):
            read_checkpoint(file)

    def test_weights_are_no_checkpoint(self, file):
        save_weights(file, {"w": np.zeros(2)})
        with pytest.raises(ValueError, match=r"read it with nncore.io.load_weights"):
            read_checkpoint(file)

    def test_its_arrays_are_a_weight_file(self, v1):
        names = load_weights(FILES / "checkpoint-v1.npz").state_dict
        assert names["model.0.weight"].shape == (4, 3)


def damage(file, after, old, new):
    """Replace bytes of the metadata by as many others; an npz is written anew for its CRC."""
    content = file.read_bytes()
    if file.suffix == ".npz":
        import io
        import zipfile

        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        at = entries["__metadata__.npy"].index(after)
        text = entries["__metadata__.npy"]
        entries["__metadata__.npy"] = text[:at] + text[at:].replace(old, new, 1)
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        return
    at = content.index(after)
    assert len(old) == len(new)
    file.write_bytes(content[:at] + content[at:].replace(old, new, 1))


def written(file, values, arrays=None):
    """A file with these values, whatever they are."""
    from nncore.io import forms

    text = values if isinstance(values, str) else json.dumps(values)
    forms.write(
        "test", file, arrays or {}, {"nncore_checkpoint": "1", "nncore_values": text}
    )  # fmt: skip


HOSTILE = {
    "no JSON": "{",
    "a list": "[]",
    "nested deeply": "[" * 100_000,
    "nested": {"a": json.loads("[" * 60 + "]" * 60)},
    "an array that is missing": {"model": {"$array": "w"}},
    "an array named by a list": {"model": {"$array": []}},
    "keys that are lists": {"$items": [[[1], 2]]},
    "pairs that are none": {"$items": [1]},
    "nothing": {},
    "numbers for mappings": {"history": 3, "seed": 1, "steps": 1, "model": 4, "modules": {}},
}


def trainer_of(seed=0):
    model = nn.Sequential(nn.Linear(3, 2, seed=seed))
    return nc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), seed=seed)


class TestHostile:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_is_refused_by_name(self, file, name):
        written(file, HOSTILE[name])
        trainer = trainer_of()
        before = trainer.model[0].weight.data.tobytes()
        with pytest.raises(ValueError, match=rf"{file.name}: not a checkpoint, or damaged: \S"):
            trainer.load_checkpoint(file)
        assert trainer.model[0].weight.data.tobytes() == before

    @pytest.mark.parametrize(
        "change",
        [
            {"history": {"loss": [1.0], "accuracy": []}},
            {"history": {"loss": ["a"]}},
            {"history": {"loss": 1.0}},
            {"seed": -1},
            {"seed": 1.5},
            {"steps": True},
            {"position": 3},
            {"position": {"tally": {"batches": -1, "meter": [1, 1, 1, 1]}, "run": {}}},
            {"callbacks": {}},
            {"callbacks": [1]},
            {"optimizer": [1]},
            {"optimizer": {"class": "Adam", "state": 3}},
            {"optimizer": {"class": "Adam", "state": {"state": 1, "param_groups": 2}}},
            {"optimizer": {"class": "Adam", "state": {"state": [], "param_groups": [[]]}}},
            {"model": {"0.weight": 1}},
            {"modules": {"0": {}}},
        ],
    )
    def test_parts_that_are_wrong(self, file, change):
        trainer = trainer_of(seed=3)
        trainer.save_checkpoint(file)
        tree, _ = read_checkpoint(file)
        write_checkpoint(file, tree | change)
        other = trainer_of(seed=4)
        before = other.model.state_dict(), other.seed, other.steps, other.optimizer.state_dict()
        with pytest.raises(ValueError, match=rf"{file.name}|nothing was loaded|no module"):
            other.load_checkpoint(file)
        after = other.model.state_dict(), other.seed, other.steps, other.optimizer.state_dict()
        assert repr(after) == repr(before)
        write_checkpoint(file, tree)
        other.load_checkpoint(file)
        assert other.seed == 3

    def test_truncated_anywhere(self, file):
        trainer_of().save_checkpoint(file)
        whole = file.read_bytes()
        for length in range(0, len(whole), 97):
            file.write_bytes(whole[:length])
            with pytest.raises(ValueError, match="not a checkpoint, or damaged"):
                read_checkpoint(file)

    def test_memory_stays_near_the_size_of_the_file(self, tmp_path):
        """A file that claims more than it has costs no more than it has."""
        file = tmp_path / "a.npz"
        written(file, {"a": [{"$array": "w"}] * 1000}, {"w": np.zeros(50_000)})
        tracemalloc.start()
        try:
            read_checkpoint(file)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 3 * file.stat().st_size


class TestFaults:
    """Of the disk, while a run is saved: the old checkpoint is whole, and nothing else is left."""

    @pytest.mark.parametrize("fault", ["full disk", "fsync", "rename", "interrupt"])
    def test_the_old_checkpoint_stands(self, file, monkeypatch, fault):
        x, y = np.eye(3, dtype=np.float32), np.array([0, 1, 0])
        trainer = trainer_of()
        trainer.fit(x, y, verbose=0)
        trainer.save_checkpoint(file)
        old = file.read_bytes()

        def fail(*_given, **_options):
            if fault == "interrupt":
                raise KeyboardInterrupt
            raise OSError(errno.ENOSPC if fault == "full disk" else errno.EIO, "injected")

        if fault == "full disk":
            opened = os.fdopen

            def full(*given):
                stream = opened(*given)
                return Limited(stream, fail)

            monkeypatch.setattr(os, "fdopen", full)
        else:
            monkeypatch.setattr(os, {"rename": "replace"}.get(fault, "fsync"), fail)
        kind = KeyboardInterrupt if fault == "interrupt" else OSError
        trainer.model.eval()
        with pytest.raises(kind):
            trainer.fit(x, y, 3, 1, verbose=0, callbacks=[Checkpoint(file, every_batches=1)])
        monkeypatch.undo()
        assert file.read_bytes() == old
        assert [path.name for path in file.parent.iterdir()] == [file.name]
        # The trainer is usable: it saves, and another goes on from there.
        assert not trainer.model.training
        trainer.save_checkpoint(file)
        whole, again = trainer_of(), trainer_of(seed=5)
        whole.fit(x, y, verbose=0)
        whole.fit(x, y, 1, 1, verbose=0)
        again.load_checkpoint(file)
        again.fit(x, y, 1, 1, verbose=0)
        assert again.model[0].weight.data.tobytes() == whole.model[0].weight.data.tobytes()


class Limited:
    """A file on a disk with room for half of what is written."""

    def __init__(self, stream, fail):
        self._stream, self._fail = stream, fail

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()

    def write(self, data):
        self._stream.write(data[: len(data) // 2])
        self._fail()
