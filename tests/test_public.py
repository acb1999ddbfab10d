"""The public face: names, what importing loads, configuration."""

import json
import subprocess
import sys

import pytest

import nncore

LOADED = """
import json, sys
import numpy
before = set(sys.modules)
import nncore
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(names)))
"""


def test_import_loads_numpy_and_nothing_else():
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=120
    )
    outside = set(json.loads(done.stdout)) - set(sys.stdlib_module_names)
    # Cython's modules keep what they share in two entries that are no files.
    assert {name for name in outside if "cython" not in name} == {"nncore", "numpy"}


def test_names():
    for name in nncore.__all__:
        assert getattr(nncore, name) is not None
    assert set(nncore.nn.__all__) <= set(dir(nncore.nn))
    assert set(nncore.optim.__all__) <= set(dir(nncore.optim))


def test_config_as_a_dict():
    config = nncore.show_config("dict")
    assert config["isa"] in config["isa_available"]
    assert config["threads"] == nncore.get_num_threads()
    assert config["versions"]["nncore"] == nncore.__version__
    assert "linear_forward" in config["kernels"]
    json.dumps(config)


def test_config_as_text(capsys):
    assert nncore.show_config() is None
    lines = capsys.readouterr().out.splitlines()
    config = nncore.show_config("dict")
    assert [line.split()[0] for line in lines] == list(config)
    assert lines[0].split()[1] == config["isa"]
    with pytest.raises(ValueError, match="show_config: mode must be 'text' or 'dict', got 'xml'"):
        nncore.show_config("xml")


def test_number_of_threads():
    before = nncore.get_num_threads()
    try:
        nncore.set_num_threads(2)
        assert nncore.get_num_threads() == 2
    finally:
        nncore.set_num_threads(before)
    for bad, error in ((0, ValueError), (10**6, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="set_num_threads: threads must be"):
            nncore.set_num_threads(bad)
    assert nncore.get_num_threads() == before
