"""Every loss with every option against PyTorch: values, gradients, shapes, errors; and by hand."""

import itertools
import math

import numpy as np
import pytest
from tolerance import assert_same_bits

from nncore import nn, reference
from nncore._core import engine

REDUCTIONS = ("mean", "sum", "none")
# Rows and images, H != W, three axes; the second is longer than a piece of the work.
SHAPES = [(6, 5), (900, 33), (3, 4, 5, 6), (2, 3, 7)]
INF, NAN = math.inf, math.nan


def draw(shape, dtype, seed=0):
    return (3 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def assert_like(torch, ours, theirs, pred, target, tolerance=None):
    """Value and gradient, with a factor on each loss, or on the one."""
    leaf = torch.tensor(pred, requires_grad=True)
    expected = theirs(leaf, torch.tensor(target))
    factor = np.asarray(draw(tuple(expected.shape), pred.dtype, 9) if expected.ndim else 1.5)
    (expected * torch.tensor(factor, dtype=leaf.dtype)).sum().backward()
    loss = ours(pred, target)
    dx = ours.backward(factor if expected.ndim else 1.5)
    assert dx.dtype == pred.dtype
    bound = tolerance or (2e-6 if pred.dtype == np.float32 else 1e-12)
    value = expected.detach().numpy()
    if expected.ndim:
        assert loss.dtype == pred.dtype
    else:
        assert isinstance(loss, float)
    assert np.shape(loss) == value.shape
    np.testing.assert_allclose(loss, value, rtol=10 * bound, atol=bound)
    np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=10 * bound, atol=bound)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses_of_labels(reduction, shape, dtype, torch):
    pred, classes = draw(shape, dtype), shape[1]
    labels = np.random.default_rng(1).integers(0, classes, (shape[0], *shape[2:]))
    labels.flat[1] = 2
    with_default = labels.copy()
    with_default.flat[0] = -100
    class_weights = np.abs(draw(classes, dtype)) + dtype(0.1)
    for weight, smoothing, ignored in itertools.product(
        (None, class_weights), (0.0, 0.1), (-100, 2)
    ):
        target = with_default if ignored == -100 else labels
        keywords = {"ignore_index": ignored, "reduction": reduction}
        theirs = {"weight": None if weight is None else torch.tensor(weight), **keywords}
        assert_like(
            torch,
            nn.CrossEntropyLoss(weight, **keywords, label_smoothing=smoothing),
            torch.nn.CrossEntropyLoss(**theirs, label_smoothing=smoothing),
            pred,
            target,
        )
        if not smoothing:
            ours = nn.NLLLoss(weight, **keywords)
            assert_like(torch, ours, torch.nn.NLLLoss(**theirs), pred, target)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_of_probabilities(reduction, shape, dtype, torch):
    pred, raw = draw(shape, dtype), np.exp(draw(shape, dtype, 1))
    target = raw / raw.sum(axis=1, keepdims=True)
    class_weights = np.abs(draw(shape[1], dtype, 2))
    for weight, smoothing in itertools.product((None, class_weights), (0.0, 0.2)):
        theirs = None if weight is None else torch.tensor(weight)
        assert_like(
            torch,
            nn.CrossEntropyLoss(weight, reduction=reduction, label_smoothing=smoothing),
            torch.nn.CrossEntropyLoss(theirs, reduction=reduction, label_smoothing=smoothing),
            pred,
            target,
        )


PAIRS = {
    "MSELoss": {},
    "L1Loss": {},
    "SmoothL1Loss": {"beta": 2.0},
    "SmoothL1Loss straight": {"beta": 0.0},
    "HuberLoss": {"delta": 1.5},
    "KLDivLoss": {},
    "KLDivLoss of logarithms": {"log_target": True},
    "BCELoss": {},
    "BCELoss weighted": {"weight": True},
    "BCEWithLogitsLoss": {},
    "BCEWithLogitsLoss weighted": {"weight": True, "pos_weight": True},
}


def arrays_for(name, shape, dtype):
    pred, target = draw(shape, dtype, 3), draw(shape, dtype, 4)
    if name == "KLDivLoss":
        target = np.abs(target)
    if name.startswith("BCE"):
        target = np.random.default_rng(5).random(shape).astype(dtype)
        target.flat[:2] = 0, 1
    if name.startswith("BCELoss"):
        pred = np.random.default_rng(6).random(shape).astype(dtype)
    return pred, target


@pytest.mark.filterwarnings("ignore:reduction")  # PyTorch's, of the mean of KLDivLoss
@pytest.mark.parametrize("shape", [*SHAPES, (7,), (5, 1), (2, 1, 3, 2, 2)], ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses_of_two_arrays(reduction, shape, dtype, torch):
    for name, options in PAIRS.items():
        pred, target = arrays_for(name, shape, dtype)
        given = dict(options)
        if "weight" in given and len(shape) > 1:  # one for each feature of a sample
            given["weight"] = np.abs(draw(shape[1:], dtype, 7))
        else:
            given.pop("weight", None)
        if "pos_weight" in given:
            given["pos_weight"] = np.abs(draw(shape[-1:], dtype, 8))
        kind = name.split()[0]
        tensors = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in given.items()}
        ours = getattr(nn, kind)(**given, reduction=reduction)
        theirs = getattr(torch.nn, kind)(**tensors, reduction=reduction)
        # PyTorch takes p t from (p t + 1 - t) s, which loses digits.
        bound = 1e-5 if kind == "BCEWithLogitsLoss" and dtype is np.float32 else None
        assert_like(torch, ours, theirs, pred, target, bound)


def test_batchmean(dtype, torch):
    pred, target = arrays_for("KLDivLoss", (4, 3, 2), dtype)
    theirs = torch.nn.KLDivLoss(reduction="batchmean")
    assert_like(torch, nn.KLDivLoss("batchmean"), theirs, pred, target)


def test_hinge(dtype):
    pred = np.array([2, 0.5, -1, 1, NAN], dtype)
    target = np.array([1, 1, 1, -1, 1], dtype)
    loss_fn = nn.HingeLoss(reduction="none")
    np.testing.assert_array_equal(loss_fn(pred, target), [0, 0.5, 2, 2, NAN])
    np.testing.assert_array_equal(loss_fn.backward(), [0, -1, -1, 1, -1])
    assert nn.HingeLoss()(pred[:4], target[:4]) == 4.5 / 4
    assert nn.HingeLoss(0.0, "sum")(pred[:4], target[:4]) == 2


def test_the_reference_says_the_same(dtype):
    """The oracle in NumPy is held against the engine, which is held against PyTorch."""
    for name in ("l1", "smooth_l1", "huber", "hinge", "bce", "bce_with_logits", "kl_div"):
        kinds = {"bce": "BCELoss", "bce_with_logits": "BCEWithLogitsLoss", "kl_div": "KLDivLoss"}
        kind = kinds.get(name) or name.title().replace("_", "") + "Loss"
        pred, target = arrays_for(kind, (9, 7), dtype)
        loss_fn = getattr(nn, kind)(reduction="none")
        wide = pred.astype(np.float64), target.astype(np.float64)
        bound = 40 * np.finfo(dtype).eps
        expected = getattr(reference, name)(*wide)
        np.testing.assert_allclose(loss_fn(pred, target), expected, rtol=bound, atol=bound)
        expected = getattr(reference, f"{name}_backward")(*wide)
        np.testing.assert_allclose(loss_fn.backward(), expected, rtol=bound, atol=bound)
    logits, labels = draw((9, 5), dtype), np.array([0, 1, 2, 3, 4, 0, 1, 2, 3])
    options = {"weight": np.arange(1.0, 6.0), "ignore_index": 2, "label_smoothing": 0.3}
    loss_fn = nn.CrossEntropyLoss(**options)
    logp = reference.log_softmax(logits.astype(np.float64))
    bound = 40 * float(np.finfo(dtype).eps)
    assert loss_fn(logits, labels) == pytest.approx(
        reference.label_loss(logp, labels, **options), rel=bound
    )
    expected = reference.label_loss_backward(logp, labels, **options, of_logits=True)
    np.testing.assert_allclose(loss_fn.backward(), expected, rtol=bound, atol=bound)


def test_gradients_are_slopes():
    """Central differences in float64, away from kinks."""
    labels = np.array([0, 3, -100, 2])
    weights = np.arange(1.0, 6.0)
    given = [
        (nn.CrossEntropyLoss(weights, label_smoothing=0.1), draw((4, 5), np.float64), labels),
        (nn.NLLLoss(weights, reduction="sum"), draw((4, 5), np.float64), labels),
        (nn.BCEWithLogitsLoss(weights, pos_weight=weights), *arrays_for("BCE", (4, 5), np.float64)),
    ]
    for name in ("MSELoss", "SmoothL1Loss", "HuberLoss", "BCELoss", "KLDivLoss", "HingeLoss"):
        given.append((getattr(nn, name)(), *arrays_for(name, (4, 5), np.float64)))
    for loss_fn, pred, target in given:
        loss_fn(pred, target)
        dx = loss_fn.backward()
        for at in range(2, pred.size):
            far = np.zeros_like(pred)
            far.flat[at] = 1e-6
            slope = (loss_fn(pred + far, target) - loss_fn(pred - far, target)) / 2e-6
            assert dx.flat[at] == pytest.approx(slope, rel=1e-5, abs=1e-8), loss_fn


# ---- what must hold exactly


def test_all_labels_ignored(dtype):
    for kind in (nn.CrossEntropyLoss, nn.NLLLoss):
        for weight in (None, [1.0, 2.0, 3.0]):
            loss_fn = kind(weight, ignore_index=1)
            assert math.isnan(loss_fn(np.ones((2, 3), dtype), [1, 1]))
            np.testing.assert_array_equal(loss_fn.backward(), np.zeros((2, 3)))
            summed = kind(weight, 1, "sum")
            assert summed(np.ones((2, 3), dtype), [1, 1]) == 0
            np.testing.assert_array_equal(summed.backward(), np.zeros((2, 3)))


def test_logits_of_a_hundred(dtype):
    loss_fn = nn.BCEWithLogitsLoss(reduction="none")
    loss = loss_fn(np.array([-100, 100, -1e4, 1e4], dtype), np.array([1, 0, 0, 1], dtype))
    np.testing.assert_array_equal(loss, [100, 100, 0, 0])
    np.testing.assert_allclose(loss_fn.backward(), [-1, 1, 0, 0], atol=1e-40)
    # What PyTorch's own formula loses: exp(-50) is not 0.
    loss_fn = nn.BCEWithLogitsLoss()
    for sign, target in ((-1, 0.0), (1, 1.0)):
        assert loss_fn(np.array([50.0 * sign]), [target]) == pytest.approx(math.exp(-50), rel=1e-14)
        assert loss_fn.backward() == pytest.approx(-sign * math.exp(-50), rel=1e-14)


def test_probabilities_at_their_ends(dtype):
    loss_fn = nn.BCELoss(reduction="none")
    loss = loss_fn(np.array([0, 0, 1, 1, 1e-10], dtype), np.array([1, 0, 1, 0, 0], dtype))
    np.testing.assert_allclose(loss, [100, 0, 0, 100, 1e-10], rtol=1e-6)
    dx = loss_fn.backward()
    np.testing.assert_allclose(dx, [-1e12, 0, 0, 1e12, 1], rtol=1e-6)
    for wrong in (1.5, -1e-6):
        with pytest.raises(ValueError, match=r"BCELoss: pred has .*, expected probabilities"):
            loss_fn(np.array([0.5, wrong], dtype), np.array([1, 0], dtype))
        with pytest.raises(ValueError, match=r"BCELoss: target has .*, expected probabilities"):
            loss_fn(np.array([0.5], dtype), np.array([wrong], dtype))
    assert math.isnan(nn.BCELoss()(np.array([NAN], dtype), np.array([1], dtype)))


def test_nan_and_infinity_go_through(dtype):
    """In the body of vectors and in the tail alike."""
    for name, options in PAIRS.items():
        if name.startswith("BCELoss"):
            continue
        loss_fn = getattr(nn, name.split()[0])(
            reduction="none", **{k: v for k, v in options.items() if v is not True or "log" in k}
        )
        for n in (1, 41):
            assert np.isnan(loss_fn(np.full(n, NAN, dtype), np.zeros(n, dtype))).all(), name
            assert np.isnan(loss_fn(np.zeros(n, dtype), np.full(n, NAN, dtype))).all(), name
    for kind in (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss):
        assert kind()(np.array([INF, 1], dtype), np.zeros(2, dtype)) == INF


def test_nothing(dtype):
    for name, options in PAIRS.items():
        given = {k: v for k, v in options.items() if v is not True or "log" in k}
        kind = getattr(nn, name.split()[0])
        empty = np.empty((0, 3), dtype)
        assert math.isnan(kind(**given)(empty, empty))
        assert kind(**given, reduction="sum")(empty, empty) == 0
        loss_fn = kind(**given, reduction="none")
        assert loss_fn(empty, empty).shape == (0, 3)
        assert loss_fn.backward().shape == (0, 3)
    for kind in (nn.CrossEntropyLoss, nn.NLLLoss):
        loss_fn = kind(reduction="none", weight=np.ones(3))
        assert loss_fn(np.empty((0, 3, 2, 2), dtype), np.empty((0, 2, 2), int)).shape == (0, 2, 2)
        assert loss_fn.backward().shape == (0, 3, 2, 2)


def test_threads_and_layouts_do_not_matter(isa, dtype, threads):
    shape = (40, 3, 9, 11)
    labels = np.random.default_rng(0).integers(0, 3, (40, 9, 11))
    runs = [(nn.CrossEntropyLoss([1.0, 2.0, 3.0], label_smoothing=0.1), draw(shape, dtype), labels)]
    runs += [(nn.NLLLoss([1.0, 2.0, 3.0]), draw(shape, dtype), labels)]
    for name in ("SmoothL1Loss", "BCELoss", "BCEWithLogitsLoss", "KLDivLoss"):
        runs.append((getattr(nn, name)(), *arrays_for(name, shape, dtype)))
    for loss_fn, pred, target in runs:
        loss = loss_fn(pred, target)
        dx = loss_fn.backward(2.0)
        engine.threads_set(1)
        assert loss_fn(np.asfortranarray(pred), np.asfortranarray(target)) == loss
        assert_same_bits(loss_fn.backward(2.0), dx)
        engine.threads_set(2)


# ---- wrong arguments


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.MSELoss("max"), ValueError, "MSELoss: reduction must be 'mean' or 'sum'"),
        (lambda: nn.L1Loss("batchmean"), ValueError, "L1Loss: reduction must be"),
        (lambda: nn.SmoothL1Loss(beta=-1.0), ValueError, "beta must be at least 0, got -1.0"),
        (lambda: nn.HuberLoss(delta=0.0), ValueError, "delta must be positive, got 0.0"),
        (lambda: nn.HuberLoss(delta="1"), TypeError, "HuberLoss: delta must be a number"),
        (lambda: nn.HingeLoss(NAN), ValueError, "HingeLoss: margin must be finite"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=1.5), ValueError, "from 0 to 1, got 1.5"),
        (lambda: nn.CrossEntropyLoss(ignore_index=1.5), TypeError, "ignore_index must be an int"),
        (lambda: nn.NLLLoss(ignore_index=2**63), ValueError, "NLLLoss: ignore_index must fit"),
        (lambda: nn.CrossEntropyLoss(np.ones((2, 2))), ValueError, r"weight has shape \(2, 2\)"),
        (lambda: nn.BCELoss(["a"]), TypeError, "BCELoss: weight has dtype"),
        (lambda: nn.KLDivLoss(log_target=3), TypeError, "log_target must be True or False"),
    ],
)
def test_wrong_options(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("kind", [nn.CrossEntropyLoss, nn.NLLLoss])
def test_wrong_labels(kind, dtype):
    pred = np.zeros((2, 3, 2, 2), dtype)
    with pytest.raises(IndexError, match=rf"{kind.__name__}: target\[3\] is 7, expected below 3"):
        kind()(pred, np.array([[[0, 1], [2, 7]]] * 2))
    with pytest.raises(IndexError, match=r"target\[0\] is -1, expected at least 0"):
        kind()(pred, np.full((2, 2, 2), -1))
    with pytest.raises(ValueError, match=r"target has shape \(2, 2, 3\), expected \(2, 2, 2\)"):
        kind()(pred, np.zeros((2, 2, 3), int))
    with pytest.raises(ValueError, match=r"target has shape \(2,\)"):
        kind()(pred, np.zeros(2, int))
    with pytest.raises(ValueError, match="weight has 2 elements, expected 3"):
        kind(weight=[1.0, 2.0])(pred, np.zeros((2, 2, 2), int))


def test_wrong_shapes(dtype):
    for name in ("L1Loss", "BCELoss", "BCEWithLogitsLoss", "KLDivLoss", "HingeLoss"):
        with pytest.raises(
            ValueError, match=rf"{name}: target has shape \(3,\), expected \(3, 1\)"
        ):
            getattr(nn, name)()(np.ones((3, 1), dtype), np.ones(3, dtype))
    with pytest.raises(ValueError, match=r"pos_weight has shape \(4,\), expected one that"):
        nn.BCEWithLogitsLoss(pos_weight=np.ones(4))(np.ones((2, 3)), np.ones((2, 3)))
    loss_fn = nn.MSELoss("none")
    loss_fn(np.ones((2, 3), dtype), np.ones((2, 3), dtype))
    with pytest.raises(ValueError, match=r"MSELoss: grad has shape \(3,\), expected \(2, 3\)"):
        loss_fn.backward(np.ones(3, dtype))


def test_options_may_change_between_calls(dtype):
    loss_fn = nn.HuberLoss()
    x, t = np.array([3], dtype), np.array([0], dtype)
    assert loss_fn(x, t) == 2.5
    loss_fn.delta = 2.0
    assert loss_fn(x, t) == 4.0
    assert repr(loss_fn) == "HuberLoss(delta=2.0)"
