"""Files of weights that are damaged or hostile: refused by name, at no cost."""

import io as memory
import json
import struct
import zipfile

import numpy as np
import pytest

from nncore.io import load_weights, save_weights


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
    with pytest.raises(FileNotFoundError, match=r"w\.npz"):
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
