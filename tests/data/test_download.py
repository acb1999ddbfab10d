"""Downloads: mirrors in turn, the hash decides, and the message without a connection."""

import hashlib
import http.server
import sys
import threading

import pytest

from nncore.data import download

pytest.importorskip("pooch")


@pytest.fixture
def server(tmp_path):
    """Serves a folder on this machine; gives (address, folder)."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/", folder
        httpd.shutdown()
        thread.join()


def sources(mirrors, data=b"right"):
    return download.Sources(tuple(mirrors), {"file.bin": hashlib.sha256(data).hexdigest()})


def test_the_second_mirror_where_the_first_fails(server, tmp_path):
    address, folder = server
    (folder / "file.bin").write_bytes(b"right")
    known = sources([address + "nowhere/", address])
    (path,) = download.fetch("load_it", known, tmp_path / "cache")
    assert path.read_bytes() == b"right"
    (folder / "file.bin").unlink()  # now it is in the cache
    assert download.fetch("load_it", known, tmp_path / "cache") == [path]


def test_what_has_another_hash_is_refused_and_not_kept(server, tmp_path):
    address, folder = server
    (folder / "file.bin").write_bytes(b"wrong")
    with pytest.raises(OSError, match=r"load_it: could not download file.bin .*hash"):
        download.fetch("load_it", sources([address]), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_offline_the_message_names_file_address_and_folder(tmp_path):
    known = sources(["http://127.0.0.1:9/"])  # nobody listens there
    with pytest.raises(OSError, match=r"could not download file\.bin") as error:
        download.fetch("load_it", known, tmp_path)
    assert "http://127.0.0.1:9/file.bin" in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_without_pooch(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r'pip install "nncore-cpu\[data\]"'):
        download.fetch("load_it", sources([]), tmp_path)


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("NNCORE_CACHE", str(tmp_path))
    assert download.cache_folder() == tmp_path
    monkeypatch.delenv("NNCORE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert download.cache_folder() == tmp_path / "xdg" / "nncore"
