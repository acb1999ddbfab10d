"""nncore's threads as threadpoolctl sees and limits them."""

import sys

import pytest

import nncore
from nncore.interop import register_threadpoolctl

threadpoolctl = pytest.importorskip("threadpoolctl")


@pytest.fixture
def two_threads():
    before = nncore.get_num_threads()
    nncore.set_num_threads(2)
    yield
    nncore.set_num_threads(before)


def ours():
    return [each for each in threadpoolctl.threadpool_info() if each["user_api"] == "nncore"]


def test_threads_are_listed_and_limited(two_threads):
    register_threadpoolctl()
    register_threadpoolctl()
    (listed,) = ours()
    assert listed["num_threads"] == 2
    assert listed["version"] == nncore.__version__
    assert listed["filepath"] == nncore._core.engine.__file__
    with threadpoolctl.threadpool_limits(1):
        assert nncore.get_num_threads() == 1
    assert nncore.get_num_threads() == 2
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert nncore.get_num_threads() == 2
    with threadpoolctl.threadpool_limits({"nncore": 1}):
        assert nncore.get_num_threads() == 1
    assert nncore.get_num_threads() == 2


def test_without_threadpoolctl_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    with pytest.raises(ImportError, match="pip install threadpoolctl"):
        register_threadpoolctl()
