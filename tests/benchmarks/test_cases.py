"""The cases: that they say the same in every process, and count the work right."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from benchmarks.cases import FAMILIES, find
from benchmarks.cases.networks import CIFAR_CNN, LENET5, NOTES_CNN, PERCEPTRON, POLICY, Network

ALL = [case for cases in FAMILIES.values() for case in cases]


def test_names_are_unique_within_a_family() -> None:
    for cases in FAMILIES.values():
        names = [case.name for case in cases]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.family}: {case.name}")
def test_every_case_states_its_work_and_can_be_found(case) -> None:
    assert find(case.family, case.name) is case
    work = {"flops": case.flops, "bytes": case.bytes, "kernel": case.bytes}
    assert work[case.bound] > 0 or case.family == "build"
    assert 0 < case.tolerance <= (3e-3 if case.runs_on else 1e-3)


def test_an_unknown_case_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="no such"):
        find("linear", "no such")


def test_inputs_are_the_same_in_another_process() -> None:
    ask = (
        "from benchmarks.cases import find; "
        "print(*(float(a.astype('float64').sum()).hex() for a in "
        "find('step', '4-64-64-2 Adam b32').arrays().values()))"
    )
    command = [sys.executable, "-c", ask]
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    arrays = find("step", "4-64-64-2 Adam b32").arrays()
    here = [float(a.astype(np.float64).sum()).hex() for a in arrays.values()]
    assert here == elsewhere


def test_mnist_is_read_from_its_folder(two_images: np.ndarray) -> None:
    arrays = FAMILIES["mnist"][0].arrays()
    assert arrays["x"].shape == (2, 1, 28, 28)
    assert arrays["x"].dtype == np.float32
    scaled = two_images.astype(np.float32) / np.float32(255)
    assert np.array_equal(arrays["test_x"].ravel(), scaled)
    assert arrays["test_y"].tolist() == [7, 1]
    assert "0.weight" in arrays


def test_where_mnist_is_missing_the_folder_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("NNCORE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="set NNCORE_DATA to the folder above mnist"):
        FAMILIES["mnist"][0].arrays()


def test_inputs_are_float32_on_a_cache_line_and_labels_in_range() -> None:
    arrays = find("step", "4-64-64-2 Adam b256").arrays()
    for name, array in arrays.items():
        if name == "y":
            assert array.dtype == np.int64
            assert set(array) == {0, 1}
        else:
            assert array.dtype == np.float32
            assert array.ctypes.data % 64 == 0
    assert abs(arrays["0.weight"]).max() <= 0.5  # 1 / sqrt(4)
    assert abs(arrays["0.weight"]).max() > 0.45


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (CIFAR_CNN, 1_116_970),
        (NOTES_CNN, 8_938),
        (LENET5, 61_706),
        (POLICY, 4_610),
        (PERCEPTRON, 535_818),
    ],
    ids=lambda value: value.name if isinstance(value, Network) else None,
)
def test_the_networks_have_their_known_number_of_parameters(
    network: Network, parameters: int
) -> None:
    assert sum(np.prod(spec.shape) for spec in network.weights().values()) == parameters


def test_the_work_of_a_step() -> None:
    # Three products of each layer, two of the first.
    assert POLICY.training_flops(32) == 2 * 32 * (2 * 4 * 64 + 3 * 64 * 64 + 3 * 64 * 2)
    assert POLICY.forward_flops(1) == 2 * (4 * 64 + 64 * 64 + 64 * 2)
    assert find("step", "4-64-64-2 Adam b32 epoch").flops == POLICY.training_flops(32)
    conv1, conv2, linear = 12 * 25 * 24 * 24, 24 * 12 * 9 * 10 * 10, 600 * 10
    assert NOTES_CNN.training_flops(64) == 2 * 64 * (2 * conv1 + 3 * conv2 + 3 * linear)


def test_the_work_of_kernels() -> None:
    assert find("linear", "64x784x512 forward+backward").flops == 3 * 2 * 64 * 784 * 512
    assert find("conv", "12->24 3x3 12x12 backward data").flops == 2 * 64 * 100 * 24 * 12 * 9
    moved = 64 * 32 * (28 * 28 * 4 + 14 * 14 * 5)
    assert find("pool", "64x32x28x28 2x2 s2 forward").bytes == moved
    assert find("optim", "784-512-256-10 Adam").bytes == 7 * 4 * 535_818
