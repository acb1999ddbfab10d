"""Cross-entropy and squared error against the reference and PyTorch; labels; bad input."""

import math

import numpy as np
import plain_losses
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import LAYOUTS
from tolerance import assert_products_close, assert_same_bits

from nncore import reference
from nncore._core import engine

# Every way through the kernel: rows side by side (up to two vectors of classes), or along.
SHAPES = [(1, 1), (1, 2), (7, 2), (64, 10), (9, 16), (5, 17), (70, 33), (3, 1000), (1700, 5)]


def exact(x):
    return np.asarray(x, np.float64)


def assert_cross_entropy_is_right(logits, labels):
    """Loss, probabilities and gradient within rounding of the reference in float64."""
    loss, p = plain_losses.cross_entropy_forward(logits, labels)
    true_loss, true_p = reference.cross_entropy(exact(logits), labels)
    eps, classes = np.finfo(logits.dtype).eps, logits.shape[1]
    below = exact(logits).max(axis=1, keepdims=True) - exact(logits)
    # classes terms in a sum, a few roundings around it, and half an eps of the exponent's argument
    bound = eps * (classes + 8 + below) * true_p + np.finfo(logits.dtype).tiny
    assert p.dtype == logits.dtype
    assert p.shape == logits.shape
    assert np.all(np.abs(p - true_p) <= bound)
    assert type(loss) is float
    n = len(logits)
    mean_bound = n * np.finfo(np.float64).eps * true_loss
    assert abs(loss - true_loss) <= eps * (classes + 8 + 2 * true_loss) + mean_bound
    dx = plain_losses.cross_entropy_backward(p, labels)
    assert_products_close(
        dx, reference.cross_entropy_backward(exact(p), labels), exact(p) / n + 1 / n, 1
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy_equals_the_reference(shape, isa, dtype, rng):
    logits = (6 * rng.standard_normal(shape)).astype(dtype)
    assert_cross_entropy_is_right(logits, rng.integers(0, shape[1], shape[0]))


@given(
    n=st.integers(1, 40),
    classes=st.integers(1, 40),
    scale=st.sampled_from([0, 1e-3, 1, 30, 1e4]),
    data=st.data(),
)
def test_cross_entropy_of_any_shape(n, classes, scale, data, isa, dtype):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    logits = (scale * rng.standard_normal((n, classes))).astype(dtype)
    assert_cross_entropy_is_right(logits, rng.integers(0, classes, n))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy_equals_pytorch(shape, isa, dtype, rng):
    torch = pytest.importorskip("torch")
    logits = (4 * rng.standard_normal(shape)).astype(dtype)
    labels = rng.integers(0, shape[1], shape[0])
    leaf = torch.tensor(logits, requires_grad=True)
    theirs = torch.nn.functional.cross_entropy(leaf, torch.tensor(labels))
    (3 * theirs).backward()
    loss, p = plain_losses.cross_entropy_forward(logits, labels)
    tolerance = 1e-5 if dtype is np.float32 else 1e-12
    np.testing.assert_allclose(loss, theirs.item(), rtol=tolerance, atol=tolerance)
    dx = plain_losses.cross_entropy_backward(p, labels, 3.0)
    np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=tolerance, atol=3 * tolerance / shape[0])


INF, NAN = math.inf, math.nan
EXTREMES = [
    ([0, 1000], 0),
    ([0, 1000], 1),
    ([-1000, -1000], 0),
    ([1e38, -1e38], 0),
    ([-INF, 7], 1),
    ([-INF, 7], 0),
    ([INF, 7], 0),
    ([INF, 7], 1),
    ([INF, INF], 1),
    ([-INF, -INF], 0),
    ([NAN, 7], 0),
    ([7, NAN], 0),
    ([NAN, INF], 0),
]


@pytest.mark.parametrize("classes", [2, 3, 20])
@pytest.mark.parametrize(("two", "label"), EXTREMES, ids=str)
def test_extreme_logits_give_what_pytorch_gives(two, label, classes, isa, dtype):
    torch = pytest.importorskip("torch")
    # The extreme row among plain ones, which it must not touch; its values first and last.
    logits = np.zeros((3, classes), dtype)
    logits[1, 0], logits[1, -1] = two
    labels = np.array([0, 0 if label == 0 else classes - 1, 0])
    for rows in (slice(0, 3), slice(1, 2)):
        leaf = torch.tensor(logits[rows], requires_grad=True)
        theirs = torch.nn.functional.cross_entropy(leaf, torch.tensor(labels[rows]))
        theirs.backward()
        loss, p = plain_losses.cross_entropy_forward(logits[rows], labels[rows])
        # The logarithm of a sum near 1, and a probability near 1 less 1, are as exact as these.
        atol = 2 * np.finfo(dtype).eps
        np.testing.assert_allclose(loss, theirs.item(), rtol=1e-6, atol=atol)
        np.testing.assert_allclose(p, torch.softmax(leaf, 1).detach().numpy(), rtol=1e-6)
        dx = plain_losses.cross_entropy_backward(p, labels[rows])
        np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=1e-6, atol=atol)


def test_a_thousand_apart_is_a_loss_of_a_thousand(isa, dtype):
    loss, p = plain_losses.cross_entropy_forward(np.array([[0, 1000]], dtype), [0])
    assert loss == 1000
    assert p.tolist() == [[0, 1]]
    assert plain_losses.cross_entropy_backward(p, [0]).tolist() == [[-1, 1]]


def test_an_empty_batch(isa, dtype):
    loss, p = plain_losses.cross_entropy_forward(np.empty((0, 3), dtype), np.empty(0, int))
    assert math.isnan(loss)
    assert p.shape == (0, 3)
    dx = plain_losses.cross_entropy_backward(p, [])
    assert dx.shape == (0, 3)
    assert dx.dtype == dtype
    for shape in ((0,), (0, 4)):
        empty = np.empty(shape, dtype)
        assert math.isnan(plain_losses.mse_forward(empty, empty))
        assert plain_losses.mse_backward(empty, empty).shape == shape


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_no_classes(rows, dtype):
    with pytest.raises(ValueError, match="CrossEntropyLoss: classes is 0, expected at least 1"):
        plain_losses.cross_entropy_forward(np.empty((rows, 0), dtype), np.zeros(rows, int))


@pytest.mark.parametrize("row", [0, 6, 8])
@pytest.mark.parametrize("label", [-1, 4, 2**63 - 1, -(2**63)])
def test_a_label_out_of_range(label, row, isa, dtype):
    labels = np.zeros(9, np.int64)
    labels[row] = label
    expected = "at least 0" if label < 0 else "below 4"
    message = rf"CrossEntropyLoss: target\[{row}\] is {label}, expected {expected}"
    x = np.ones((9, 4), dtype)
    with pytest.raises(IndexError, match=message):
        plain_losses.cross_entropy_forward(x, labels)
    with pytest.raises(IndexError, match=message):
        plain_losses.cross_entropy_backward(x, labels)


def test_the_first_bad_label_is_named():
    with pytest.raises(IndexError, match=r"target\[1\] is 7"):
        plain_losses.cross_entropy_forward(np.ones((3, 2)), [0, 7, -1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(9, 5), (33, 40)], ids=str)
def test_cross_entropy_of_every_layout(layout, shape, isa, dtype, rng):
    logits = rng.standard_normal(shape).astype(dtype)
    labels = rng.integers(0, shape[1], shape[0])
    loss, p = plain_losses.cross_entropy_forward(logits, labels)
    dx = plain_losses.cross_entropy_backward(p, labels)
    laid = LAYOUTS[layout](logits)
    laid_labels = LAYOUTS[layout](labels)
    loss_laid, p_laid = plain_losses.cross_entropy_forward(laid, laid_labels)
    assert loss_laid == loss
    assert_same_bits(p_laid, p)
    assert_same_bits(plain_losses.cross_entropy_backward(LAYOUTS[layout](p), laid_labels), dx)
    assert_same_bits(laid, logits)
    assert_same_bits(laid_labels, labels)


@pytest.mark.parametrize("shape", [(5000, 2), (2500, 10), (300, 100), (3, 20000)], ids=str)
def test_cross_entropy_does_not_depend_on_threads(shape, isa, dtype, rng, threads):
    logits, labels = rng.standard_normal(shape).astype(dtype), rng.integers(0, shape[1], shape[0])
    loss, p = plain_losses.cross_entropy_forward(logits, labels)
    dx = plain_losses.cross_entropy_backward(p, labels)
    engine.threads_set(1)
    one = plain_losses.cross_entropy_forward(logits, labels)
    assert loss == one[0]
    assert_same_bits(p, one[1])
    assert_same_bits(dx, plain_losses.cross_entropy_backward(p, labels))


def test_a_row_does_not_depend_on_its_neighbours(isa, dtype, rng):
    for classes in (3, 30):
        logits = rng.standard_normal((21, classes)).astype(dtype)
        _, together = plain_losses.cross_entropy_forward(logits, np.zeros(21, int))
        for row in range(21):
            _, alone = plain_losses.cross_entropy_forward(logits[row : row + 1], [0])
            assert_same_bits(together[row : row + 1], alone)


@pytest.mark.parametrize(
    "kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i8"]
)
def test_labels_of_any_integer_type(kind):
    given_labels = np.array([3, 0, 100], kind)
    labels = engine.labels(given_labels)
    assert labels.dtype == np.int64
    assert labels.dtype.isnative
    assert labels.tolist() == [3, 0, 100]
    assert (labels is given_labels) == (kind == "int64")
    assert engine.labels([3, 0, 100]).tolist() == [3, 0, 100]
    assert engine.labels([]).dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (None, TypeError, "Layer: target is None, expected an array of class numbers"),
        (np.array([1.0]), TypeError, r"target has dtype float64, .*write target\.astype\(int\)"),
        (np.empty(0), TypeError, "target has dtype float64"),
        (np.array([True]), TypeError, r"target has dtype bool, .*write target\.astype\(int\)"),
        ([True, False], TypeError, "target has dtype bool"),
        (np.array([1, None]), TypeError, "target has dtype object"),
        (["cat"], TypeError, "target has dtype <U3"),
        (np.array([1j]), TypeError, "target has dtype complex128"),
        ([[1], [2, 3]], TypeError, "target cannot be made an array"),
        (np.ma.masked_array([1], [True]), TypeError, "target is a masked array"),
        (3, ValueError, r"target has shape \(\), expected one class number a row"),
        (np.eye(3), ValueError, r"target has shape \(3, 3\), .*write target\.argmax\(1\)"),
        (np.eye(3, dtype=int), ValueError, r"write target\.argmax\(1\)"),
        (np.zeros((3, 1), int), ValueError, r"write target\[:, 0\]"),
        (np.zeros((3, 1, 1), int), ValueError, r"target has shape \(3, 1, 1\)"),
        (np.array([0, 2**63], np.uint64), IndexError, r"target\[1\] is 9223372036854775808"),
        ([2**63], IndexError, r"target\[0\] is 9223372036854775808"),
        ([0, 2**64], TypeError, "target has dtype object"),
    ],
)
def test_what_labels_are_not(labels, error, message):
    with pytest.raises(error, match=message):
        engine.labels(labels, "Layer")


def test_shapes_that_do_not_fit(dtype):
    x = np.ones((3, 2), dtype)
    with pytest.raises(ValueError, match=r"target has shape \(2,\), expected \(3,\)"):
        plain_losses.cross_entropy_forward(x, [0, 1])
    with pytest.raises(ValueError, match=r"logits have shape \(3,\), expected \(batch, classes\)"):
        plain_losses.cross_entropy_forward(x[:, 0], [0, 1, 1])
    with pytest.raises(ValueError, match="target must be 3 int64 labels"):
        plain_losses.cross_entropy_backward(x, [0, 1, 1, 0])


# ---- squared error ----------------------------------------------------------------------

MSE_SHAPES = [(1,), (5,), (64, 1), (33, 7), (4096,), (4097,), (12300,), (2, 3, 5), (2, 3, 5, 7), ()]


@pytest.mark.parametrize("shape", MSE_SHAPES, ids=str)
def test_mse_equals_the_reference(shape, isa, dtype, rng):
    x = rng.standard_normal(shape).astype(dtype)
    target = rng.standard_normal(shape).astype(dtype)
    loss = plain_losses.mse_forward(x, target)
    true = reference.mse(exact(x), exact(target))
    assert type(loss) is float
    assert abs(loss - true) <= 4 * min(x.size, 4096) * np.finfo(dtype).eps * true
    dx = plain_losses.mse_backward(x, target, 0.5)
    assert dx.dtype == dtype
    true_dx = 0.5 * reference.mse_backward(exact(x), exact(target))
    assert_products_close(dx, true_dx, (abs(exact(x)) + abs(exact(target))) / x.size, 1)


@pytest.mark.parametrize("shape", MSE_SHAPES, ids=str)
def test_mse_equals_pytorch(shape, isa, dtype, rng):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal(shape).astype(dtype)
    target = rng.standard_normal(shape).astype(dtype)
    leaf = torch.tensor(x, requires_grad=True)
    theirs = torch.nn.functional.mse_loss(leaf, torch.tensor(target))
    theirs.backward()
    tolerance = 1e-5 if dtype is np.float32 else 1e-12
    np.testing.assert_allclose(plain_losses.mse_forward(x, target), theirs.item(), rtol=tolerance)
    np.testing.assert_allclose(
        plain_losses.mse_backward(x, target), leaf.grad.numpy(), rtol=tolerance
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(9, 5), (3, 4, 5, 7), (6001,)], ids=str)
def test_mse_of_every_layout(layout, shape, isa, dtype, rng):
    x, target = rng.standard_normal((2, *shape)).astype(dtype)
    loss, dx = plain_losses.mse_forward(x, target), plain_losses.mse_backward(x, target)
    laid = LAYOUTS[layout]
    for pred, truth in ((laid(x), target), (x, laid(target)), (laid(x), laid(target))):
        assert plain_losses.mse_forward(pred, truth) == loss
        assert_same_bits(plain_losses.mse_backward(pred, truth), dx)
        assert_same_bits(pred, x)
        assert_same_bits(truth, target)


def test_mse_does_not_depend_on_threads(isa, dtype, rng, threads):
    x, target = rng.standard_normal((2, 50001)).astype(dtype)
    loss, dx = plain_losses.mse_forward(x, target), plain_losses.mse_backward(x, target)
    engine.threads_set(1)
    assert loss == plain_losses.mse_forward(x, target)
    assert_same_bits(dx, plain_losses.mse_backward(x, target))


def test_mse_of_inf_and_nan(isa, dtype):
    for values in ([1, INF, 2], [1, 2, NAN], [INF, -INF, 0]):
        x, target = np.array(values, dtype), np.zeros(3, dtype)
        np.testing.assert_array_equal(plain_losses.mse_forward(x, target), np.square(x).sum() / 3)
        np.testing.assert_allclose(plain_losses.mse_backward(x, target), x * (2 / 3), rtol=1e-6)


def test_mse_target_is_converted_to_the_prediction(dtype):
    assert plain_losses.mse_forward(np.array([1, 2], dtype), [1, 4]) == 2
    other = np.float64 if dtype is np.float32 else np.float32
    assert plain_losses.mse_forward(np.array([1, 2], dtype), np.array([1, 4], other)) == 2
    with pytest.raises(TypeError, match="MSELoss: target has dtype int64"):
        plain_losses.mse_forward(np.array([1, 2], dtype), np.array([1, 4]))


@pytest.mark.parametrize(
    ("shape", "target_shape", "hint"),
    [
        ((4, 1), (4,), r"write target\[\.\.\., None\]"),
        ((4,), (4, 1), r"write target\[\.\.\., 0\]"),
        ((4, 2), (2, 4), "as the prediction has"),
        ((1,), (), r"write target\[\.\.\., None\]"),
    ],
)
def test_mse_never_broadcasts(shape, target_shape, hint, dtype):
    x, target = np.ones(shape, dtype), np.ones(target_shape, dtype)
    for run in (plain_losses.mse_forward, plain_losses.mse_backward):
        with pytest.raises(ValueError, match="MSELoss: target has shape") as error:
            run(x, target)
        error.match(hint)
