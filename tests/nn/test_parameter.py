"""Parameters: arrays that stay the same objects."""

import copy
import pickle

import numpy as np
import pytest

from nncore import nn
from nncore.nn import structure


def test_takes_a_copy_in_aligned_memory(dtype):
    for shape in [(3, 5), (), (0, 4), (1, 17, 2, 2), (70, 64)]:
        given = np.ones(shape, dtype)
        parameter = nn.Parameter(given)
        for array in (parameter.data, parameter.grad):
            assert array.shape == shape == parameter.shape
            assert array.dtype == dtype == parameter.dtype
            assert array.size == 0 or array.ctypes.data % 64 == 0
            # Longer ones by pages: loops over several of them never wait for their own stores.
            assert not 16384 <= array.nbytes < 131072 or array.ctypes.data % 4096 == 0
            assert array.flags.c_contiguous
            assert array.flags.writeable
        given[...] = 7
        assert (parameter.data == 1).all()
        assert (parameter.grad == 0).all()


def test_dtype_of_lists_and_by_argument():
    assert nn.Parameter([1.0, 2.0]).dtype == np.float32
    assert nn.Parameter([1.0, 2.0], dtype="float64").dtype == np.float64
    assert nn.Parameter(np.ones(2, ">f8")).dtype == np.dtype("=f8")
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(nn.Parameter(fortran).data, fortran)


@pytest.mark.parametrize("bad", [np.arange(3), np.ones(2, np.float16), np.ones(2, complex), None])
def test_refuses_what_is_not_floating(bad):
    with pytest.raises(TypeError, match="Parameter: data"):
        nn.Parameter(bad)


@pytest.mark.parametrize("dtype", [np.int32, np.float16, "complex128", "nonsense", "g"])
def test_refuses_other_dtypes(dtype):
    with pytest.raises(TypeError, match="Parameter: dtype must be float32 or float64"):
        nn.Parameter([1.0], dtype=dtype)


def test_data_and_grad_stay_the_same_objects():
    parameter = nn.Parameter(np.ones((2, 2)))
    data, grad = parameter.data, parameter.grad
    parameter.data -= 0.5
    parameter.grad += 2
    assert parameter.data is data
    assert parameter.grad is grad
    assert (data == 0.5).all()
    with pytest.raises(AttributeError, match=r"write p\.data\[\.\.\.\] = value"):
        parameter.data = np.zeros((2, 2))
    with pytest.raises(AttributeError, match=r"write p\.zero_grad\(\)"):
        parameter.grad = None
    assert (grad == 2).all()
    parameter.zero_grad()
    assert (grad == 0).all()
    assert parameter.grad is grad


@pytest.mark.parametrize(
    ("habit", "answer"),
    [
        ("numpy", r"parameter\.data"),
        ("item", r"parameter\.data\.item\(\)"),
        ("cuda", "leave it out"),
        ("to", r"model\.astype"),
        ("backward", r"model\.backward\(loss_fn\.backward\(\)\)"),
    ],
)
def test_habits_are_answered(habit, answer):
    parameter = nn.Parameter([1.0])
    assert not hasattr(parameter, habit)
    with pytest.raises(AttributeError, match=f"Parameter has no {habit}\\(\\).*{answer}"):
        getattr(parameter, habit)()


def test_unknown_attribute_is_an_ordinary_error():
    with pytest.raises(AttributeError, match="'Parameter' object has no attribute 'nonsense'"):
        nn.Parameter([1.0]).nonsense  # noqa: B018


def test_is_an_array_to_numpy(dtype):
    parameter = nn.Parameter(np.arange(3).astype(dtype))
    assert np.asarray(parameter) is parameter.data
    copied = np.array(parameter)
    assert not np.shares_memory(copied, parameter.data)
    np.testing.assert_array_equal(np.ones(3, dtype) + parameter, [1, 2, 3])


def test_copies_have_the_value_and_no_gradient(dtype):
    parameter = nn.Parameter(np.arange(5).astype(dtype), requires_grad=False)
    parameter.grad[...] = 3
    for copied in (
        copy.copy(parameter),
        copy.deepcopy(parameter),
        pickle.loads(pickle.dumps(parameter)),
    ):
        np.testing.assert_array_equal(copied.data, parameter.data)
        assert copied.dtype == dtype
        assert not np.shares_memory(copied.data, parameter.data)
        assert copied.data.ctypes.data % 64 == 0
        assert (copied.grad == 0).all()
        assert copied.requires_grad is False


def test_repr_and_sizes():
    parameter = nn.Parameter(np.ones((2, 3)))
    assert (parameter.ndim, parameter.size) == (2, 6)
    assert repr(parameter) == f"Parameter({parameter.data!r})"
    assert repr(parameter.requires_grad_(False)).endswith("requires_grad=False)")


def test_freezing_is_a_change_of_structure():
    parameter = nn.Parameter([1.0])
    before = structure.version()
    parameter.requires_grad = True
    assert structure.version() == before
    parameter.requires_grad = False
    assert structure.version() != before
    assert parameter.target is None
    parameter.requires_grad = True
    assert parameter.target is parameter.grad


def test_too_large_is_a_memory_error():
    with pytest.raises(MemoryError, match="no memory for an array of shape"):
        nn.Parameter.zeros((2**31, 2**31))
    with pytest.raises(MemoryError, match="no memory for an array of shape"):
        nn.Linear(2**45, 2**3)
