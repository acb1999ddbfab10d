"""The IDX reader: every array comes back as written, every fault is a ValueError that names it."""

import gzip
import re
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from nncore.data import read_idx

TYPES = ["u1", "i1", "i2", "i4", "f4", "f8"]
CODES = [0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E]
MIB = 1 << 20


def header(*sizes, code=0x08, zeros=(0, 0), ndim=None):
    """Return the header of an IDX file, wrong where the caller says so."""
    ndim = len(sizes) if ndim is None else ndim
    return struct.pack(f">BBBB{len(sizes)}I", *zeros, code, ndim, *sizes)


def assert_is(array, expected):
    """Equal in shape, type (native) and every bit, and the caller's to write to."""
    assert array.shape == expected.shape
    assert array.dtype == expected.dtype.newbyteorder("=")
    assert array.dtype.isnative
    assert array.tobytes() == expected.astype(array.dtype).tobytes()
    assert array.flags.writeable
    assert array.flags.c_contiguous
    assert array.flags.aligned


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """One path, written again by every example of a property."""
    return tmp_path_factory.mktemp("idx") / "some-file"


def peak_of(call):
    """Return the most memory that Python and NumPy held during the call, and its error."""
    error = None
    tracemalloc.start()
    try:
        call()
    except ValueError as caught:
        error = str(caught)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak, error


# --- what is right -------------------------------------------------------------------------------


@given(
    array=st.sampled_from(TYPES).flatmap(
        lambda code: npst.arrays(
            np.dtype(code), npst.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=5)
        )
    ),
    compress=st.booleans(),
)
def test_reads_what_was_written(array, compress, file, encode_idx):
    data = encode_idx(array)
    file.write_bytes(gzip.compress(data) if compress else data)
    assert_is(read_idx(file), array)


@pytest.mark.parametrize("name", TYPES)
def test_extreme_values_of_every_type(name, file, encode_idx):
    dtype = np.dtype(name)
    if dtype.kind == "f":
        info = np.finfo(dtype)
        values = [0.0, -0.0, info.min, info.max, info.smallest_subnormal, np.inf, -np.inf, np.nan]
    else:
        values = [np.iinfo(dtype).min, np.iinfo(dtype).max, 0, 1]
    array = np.array(values, dtype)
    file.write_bytes(encode_idx(array))
    assert_is(read_idx(file), array)


def test_bytes_on_disk_are_big_endian(file):
    file.write_bytes(bytes([0, 0, 0x0B, 1, 0, 0, 0, 2, 0x01, 0x02, 0xFF, 0xFE]))
    assert read_idx(file).tolist() == [258, -2]


@pytest.mark.parametrize("shape", [(1,) * 64, (0,), (0, 28, 28), (3, 0, 2), (300, 70, 90)])
def test_unusual_shapes(shape, file, encode_idx):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(np.uint8)
    file.write_bytes(encode_idx(array))
    assert_is(read_idx(file), array)


def test_compression_is_seen_from_the_content(tmp_path, encode_idx):
    array = np.arange(5, dtype=np.int16)
    (tmp_path / "plain.gz").write_bytes(encode_idx(array))
    (tmp_path / "compressed").write_bytes(gzip.compress(encode_idx(array)))
    for path in tmp_path.iterdir():
        assert_is(read_idx(path), array)


def test_gzip_of_several_members_and_zero_padding(file, encode_idx):
    array = np.arange(500, dtype=np.int32)
    data = encode_idx(array)
    file.write_bytes(gzip.compress(data[:701]) + gzip.compress(data[701:]) + bytes(512))
    assert_is(read_idx(file), array)


def test_path_may_be_a_string(file, encode_idx):
    file.write_bytes(encode_idx(np.arange(3, dtype=np.uint8)))
    assert read_idx(str(file)).tolist() == [0, 1, 2]


def test_each_call_gives_a_fresh_array(file, encode_idx):
    file.write_bytes(encode_idx(np.arange(3, dtype=np.uint8)))
    read_idx(file)[...] = 9
    assert read_idx(file).tolist() == [0, 1, 2]


# --- what is wrong -------------------------------------------------------------------------------

FAULTS = [
    (b"", "magic number: got 0 bytes, expected 4"),
    (b"\0\0\x08", "magic number: got 3 bytes, expected 4"),
    (header(2, zeros=(1, 0)) + b"ab", "bytes 0 and 1 must be 0, got 0x0100"),
    (header(2, zeros=(0, 255)) + b"ab", "bytes 0 and 1 must be 0, got 0x00ff"),
    (header(2, code=0x0A) + b"ab", "type code (byte 2) must be 0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E"),
    (header(2, code=0) + b"ab", "got 0x00"),
    (header(2, code=255) + b"ab", "got 0xFF"),
    (header() + b"a", "number of dimensions (byte 3) must be 1 to 64, got 0"),
    (header(*[1] * 65) + b"a", "number of dimensions (byte 3) must be 1 to 64, got 65"),
    (header(*[1] * 255) + b"a", "number of dimensions (byte 3) must be 1 to 64, got 255"),
    (header(ndim=1), "dimension 0 of 1: got 0 bytes, expected 4"),
    (header(2, 3, ndim=3) + b"abc", "dimension 2 of 3: got 3 bytes, expected 4"),
    (header(2, 3) + b"abcde", "data cut short: got 5 bytes, expected 6 for (2, 3) of uint8"),
    (header(2, 3) + b"abcdefg", "got more than 6, expected exactly these for (2, 3) of uint8"),
    (header(0) + b"a", "bytes after the data: got more than 0, expected exactly"),
    (header(2, code=0x0E) + bytes(15), "got 15 bytes, expected 16 for (2,) of float64"),
    (header(2, code=0x0B) + bytes(5), "bytes after the data: got more than 4"),
    # Sizes written little-endian, the usual mistake of a writer.
    (struct.pack("<HBBI", 0, 8, 1, 6) + b"abcdef", "got 6 bytes, expected 100663296"),
    # A size with the top bit set is large, not negative.
    (header(0xFFFFFFFF) + b"abc", "got 3 bytes, expected 4294967295"),
    # 2**63 bytes, one too many for a signed 64-bit size; 2**63 - 2**32, the largest that are not;
    # 2**64 and 2**64 + 4 bytes, which 64-bit arithmetic takes for 0 and 4.
    (header(2**31, 2**29, code=0x0E) + b"ab", "exceed the largest array"),
    (header(2**32 - 2, 2**31) + b"ab", f"got 2 bytes, expected {2**63 - 2**32}"),
    (header(*[2**16] * 4), "exceed the largest array"),
    (header(20, 5581, 8681, 49477, 384773) + b"abcd", "exceed the largest array"),
    (header(*[2**32 - 1] * 64) + b"a", "exceed the largest array"),
    # A zero does not excuse the others.
    (header(0, *[2**32 - 1] * 3), "exceed the largest array"),
]


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("data", "message"), FAULTS, ids=range(len(FAULTS)))
def test_each_fault_is_named(data, message, compress, tmp_path):
    path = tmp_path / "the-file"
    path.write_bytes(gzip.compress(data) if compress else data)
    named = re.escape(f"read_idx: {path}: ") + ".*" + re.escape(message)
    with pytest.raises(ValueError, match=named):
        read_idx(path)


def test_compressed_twice(file):
    file.write_bytes(gzip.compress(gzip.compress(header(2) + b"ab")))
    with pytest.raises(ValueError, match="bytes 0 and 1 must be 0, got 0x1f8b"):
        read_idx(file)


@pytest.mark.parametrize("name", TYPES)
def test_cut_at_every_byte(name, file, encode_idx):
    data = encode_idx(np.ones((2, 3), name))
    for length in range(len(data)):
        file.write_bytes(data[:length])
        field = "magic" if length < 4 else "dimension" if length < 12 else "data"
        with pytest.raises(ValueError, match=rf"cut short.*{field}|{field} cut short"):
            read_idx(file)


def test_gzip_cut_at_every_byte(file, encode_idx):
    data = gzip.compress(encode_idx(np.arange(40, dtype=np.float32)))
    for length in range(len(data)):
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match=re.escape(f"read_idx: {file}: ") + ".*cut short"):
            read_idx(file)


def test_gzip_with_any_byte_changed(file, encode_idx):
    array = np.arange(40, dtype=np.float32)
    data = gzip.compress(encode_idx(array), mtime=0)
    refused = 0
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x55
        file.write_bytes(changed)
        try:
            # A few bytes (time, system) mean nothing; the checksum guards the rest.
            assert_is(read_idx(file), array)
        except ValueError as error:
            assert str(file) in str(error)  # noqa: PT017
            refused += 1
    assert refused >= len(data) - 10


@pytest.mark.parametrize("garbage", [b"\x01", b"\x1f", b"\x1f\x8b", b"garbage", b"\0\0x"])
def test_gzip_followed_by_garbage(garbage, file, encode_idx):
    file.write_bytes(gzip.compress(encode_idx(np.arange(4, dtype=np.uint8))) + garbage)
    with pytest.raises(ValueError, match="gzip data damaged or cut short"):
        read_idx(file)


@given(
    start=st.sampled_from([b"", b"\0\0", *(bytes([0, 0, code]) for code in CODES)]),
    ndim=st.binary(max_size=1) | st.sampled_from([b"\1", b"\2"]),
    sizes=st.lists(st.integers(0, 4), max_size=3),
    rest=st.binary(max_size=40),
)
@example(start=b"\0\0\x08", ndim=b"\1", sizes=[3], rest=b"abc")
@settings(max_examples=500)
def test_any_bytes_are_read_exactly_or_refused(start, ndim, sizes, rest, file, encode_idx):
    data = start + ndim + b"".join(size.to_bytes(4, "big") for size in sizes) + rest
    file.write_bytes(data)
    try:
        array = read_idx(file)
    except ValueError as error:
        assert str(file) in str(error)  # noqa: PT017
    else:
        # Nothing was ignored and nothing invented: written again, it is the same file.
        assert encode_idx(array) == data


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no-such-file"):
        read_idx(tmp_path / "no-such-file")


def test_folder_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match=re.escape(str(tmp_path))):
        read_idx(tmp_path)


@pytest.mark.parametrize("path", [None, 3, [], object()])
def test_path_of_another_type(path):
    with pytest.raises(TypeError):
        read_idx(path)


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("sizes", [(2**30,), (2**32 - 1, 2**30), (60000, 28, 28, 1000)])
def test_header_that_promises_much_costs_nothing(sizes, compress, file):
    data = header(*sizes) + bytes(100)
    file.write_bytes(gzip.compress(data) if compress else data)
    peak, error = peak_of(lambda: read_idx(file))
    assert "got 100 bytes" in error
    assert peak < 4 * MIB


def test_gzip_bomb_is_left_at_the_first_byte_too_many(file):
    packer = zlib.compressobj(9, wbits=31)
    packed = packer.compress(header(10))
    packed += b"".join(packer.compress(bytes(MIB)) for _ in range(64)) + packer.flush()
    assert len(packed) < MIB // 8
    file.write_bytes(packed)
    peak, error = peak_of(lambda: read_idx(file))
    assert "got more than 10" in error
    assert peak < 4 * MIB


@pytest.mark.parametrize("code", [0x08, 0x0D])
def test_reading_holds_the_data_once(code, file):
    count = 16 * MIB // (4 if code == 0x0D else 1)
    file.write_bytes(header(count, code=code) + bytes(16 * MIB))
    peak, error = peak_of(lambda: read_idx(file))
    assert error is None
    # A bytearray keeps up to an eighth in reserve while it grows.
    assert 16 * MIB <= peak < 16 * MIB * 9 / 8 + 4 * MIB
