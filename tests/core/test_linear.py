"""Linear against its definition: every form of the product, every edge of every tile."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import LAYOUTS
from tolerance import assert_products_close, assert_same_bits

from nncore import reference
from nncore._core import engine

# (batch, in, out): one line a form, its edges beside it.
SHAPES = [
    (1, 64, 64), (3, 4, 70), (2, 5, 3), (4, 33, 19), (50, 40, 2), (33, 130, 12),  # dot products
    (64, 256, 10), (1, 4, 70),
    (7, 33, 19), (8, 40, 70), (13, 300, 33), (15, 129, 11),
    (9, 33, 19), (32, 64, 64), (5, 7, 5), (6, 16, 16), (20, 100, 33), (40, 8, 6),  # packed panels
    (32, 4, 64), (20, 33, 97), (30, 3, 7),  # columns of a gradient that hardly fill a lane
    (16, 128, 13), (64, 256, 40), (70, 129, 50), (33, 130, 20), (64, 784, 100),  # roles swapped
    (50, 129, 4), (3, 17, 70), (9, 48, 97), (130, 20, 49), (200, 30, 60),  # blocks, pieces
    (0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0), (1, 1, 1),
]  # fmt: skip


def problem(rng, dtype, n, features, out):
    return (
        rng.standard_normal((n, features)).astype(dtype),
        rng.standard_normal((out, features)).astype(dtype),
        rng.standard_normal(out).astype(dtype),
        rng.standard_normal((n, out)).astype(dtype),
    )


def run(x, weight, bias, dy):
    """Everything the layer computes; gradients are added to what stands there."""
    dweight, dbias = np.ones_like(weight), np.ones_like(bias)
    y = engine.linear_forward(x, weight, bias)
    dx = engine.linear_backward(dy, x, weight, dweight, dbias)
    return y, dx, dweight, dbias


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_reference(shape, isa, dtype, threads, rng):
    x, weight, bias, dy = problem(rng, dtype, *shape)
    y, dx, dweight, dbias = run(x, weight, bias, dy)
    wide = [array.astype(np.float64) for array in (x, weight, bias, dy)]
    wx, ww, wb, wdy = wide
    n, features, out = shape
    expected = reference.linear(wx, ww, wb)
    expected_dx, expected_dweight, expected_dbias = reference.linear_backward(wdy, wx, ww)
    size = [np.abs(array) for array in wide]
    sx, sw, sb, sdy = size
    assert_products_close(y, expected, sx @ sw.T + sb, features + 1)
    assert_products_close(dx, expected_dx, sdy @ sw, out)
    assert_products_close(dweight, 1 + expected_dweight, 1 + sdy.T @ sx, n + 1)
    assert_products_close(dbias, 1 + expected_dbias, 1 + sdy.sum(0), n + 1)


@pytest.mark.parametrize("shape", SHAPES[:29], ids=str)
def test_bits_do_not_depend_on_threads(shape, isa, dtype, rng):
    arrays = problem(rng, dtype, *shape)
    before = engine.threads_get(), engine.threads_threshold_get()
    try:
        engine.threads_set(1)
        one = run(*arrays)
        engine.threads_set(2)
        engine.threads_threshold_set(0)
        two = run(*arrays)
    finally:
        engine.threads_set(before[0])
        engine.threads_threshold_set(before[1])
    for a, b in zip(one, two, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("shape", [(7, 33, 19), (1, 20, 9), (64, 130, 40)], ids=str)
def test_bits_do_not_depend_on_layout(layout, shape, isa, dtype, rng):
    x, weight, bias, dy = problem(rng, dtype, *shape)
    plain = run(x, weight, bias, dy)
    laid = layout(x)
    before = laid.tobytes()
    x_in = engine.floating(laid, dtype, "Linear")
    dy_in = engine.floating(layout(dy), dtype, "Linear", "grad")
    for a, b in zip(plain, run(x_in, weight, bias, dy_in), strict=True):
        assert_same_bits(a, b)
    assert laid.tobytes() == before


@given(
    n=st.integers(0, 40),
    features=st.integers(0, 150),
    out=st.integers(0, 40),
    seed=st.integers(0, 99),
)
def test_any_shape(n, features, out, seed):
    x, weight, bias, dy = problem(np.random.default_rng(seed), np.float64, n, features, out)
    y, dx, dweight, dbias = run(x, weight, bias, dy)
    np.testing.assert_allclose(y, x @ weight.T + bias, rtol=0, atol=1e-12)
    np.testing.assert_allclose(dx, dy @ weight, rtol=0, atol=1e-12)
    np.testing.assert_allclose(dweight, 1 + dy.T @ x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(dbias, 1 + dy.sum(0), rtol=0, atol=1e-12)


def test_what_is_not_asked_for_is_not_computed(isa, dtype, rng):
    x, weight, bias, dy = problem(rng, dtype, 5, 4, 3)
    dbias = np.zeros_like(bias)
    assert engine.linear_backward(dy, x, weight, None, dbias, input_grad=False) is None
    np.testing.assert_allclose(dbias, dy.sum(0), rtol=1e-5)
    dweight = np.zeros_like(weight)
    engine.linear_backward(dy, x, weight, dweight, None, input_grad=False)
    np.testing.assert_allclose(dweight, dy.T @ x, rtol=1e-4, atol=1e-5)
    assert_same_bits(
        engine.linear_forward(x, weight), engine.linear_forward(x, weight, np.zeros_like(bias))
    )


def test_leading_axes(isa, dtype, rng):
    x, weight, bias, _ = problem(rng, dtype, 6, 5, 4)
    y = engine.linear_forward(x.reshape(2, 3, 5), weight, bias)
    assert y.shape == (2, 3, 4)
    assert_same_bits(y.reshape(6, 4), engine.linear_forward(x, weight, bias))
    assert engine.linear_forward(x[0], weight, bias).shape == (4,)
    assert engine.linear_forward(x.reshape(2, 3, 5)[:, :0], weight, bias).shape == (2, 0, 4)


@pytest.mark.parametrize("shape", [(7, 33, 19), (2, 33, 19), (32, 140, 20)], ids=str)
def test_zero_times_infinity_is_nan(shape, isa, dtype, rng):
    x, weight, bias, dy = problem(rng, dtype, *shape)
    x[...] = 0
    weight[3, 5] = np.inf
    y = engine.linear_forward(x, weight, bias)
    assert np.isnan(y[:, 3]).all()
    assert np.isfinite(np.delete(y, 3, axis=1)).all()
    dx = engine.linear_backward(np.zeros_like(dy), x, weight)
    assert np.isnan(dx[:, 5]).all()
    assert (np.delete(dx, 5, axis=1) == 0).all()


def test_errors_name_both_numbers(rng):
    x, weight, bias, dy = problem(rng, np.float32, 2, 784, 10)
    with pytest.raises(ValueError, match="Linear: x has 783 features, weight expects 784"):
        engine.linear_forward(x[:, 1:], weight, bias)
    with pytest.raises(ValueError, match=r"Linear: grad has shape \(2, 9\), expected \(2, 10\)"):
        engine.linear_backward(dy[:, 1:], x, weight)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (None, "None"),
        (np.zeros((2, 3), np.uint8), r"uint8.*astype\(np.float32\) / 255"),
        (np.zeros((2, 3), np.int64), r"int64.*astype\(np.float32\)"),
        (np.zeros((2, 3), bool), "bool"),
        (np.zeros((2, 3), np.complex64), "complex64"),
        (np.zeros((2, 3), np.float16), "float16"),
        (np.array([["a", "b"]]), "<U1"),
        (np.array([[None, 1.0]]), "object"),
        (np.ma.masked_array(np.zeros((2, 3), np.float32)), "masked"),
        ([[1.0, 2.0], [3.0]], "cannot be made an array"),
    ],
)
def test_what_is_no_array_of_floats(bad, says):
    with pytest.raises(TypeError, match=says) as caught:
        engine.floating(bad, np.float32, "Linear")
    assert str(caught.value).startswith("Linear: x")


def test_what_is_converted(rng):
    values = rng.standard_normal((2, 3)).astype(np.float32)
    same = engine.floating(values, np.float32, "Linear")
    assert same is values
    for given_as in (values.astype(np.float64), values.astype(">f4"), values.tolist()):
        taken = engine.floating(given_as, np.float32, "Linear")
        assert taken.dtype == np.float32
        assert taken.dtype.isnative
        np.testing.assert_array_equal(taken, values)
    assert engine.floating([[1, 2]], np.float64, "Linear").dtype == np.float64
