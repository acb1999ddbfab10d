"""Every public loss, over its options and reductions: PyTorch's values and gradients, a gradient
check, bits that depend on nothing but dtype, shape and instruction set, by hand and compiled.
Special values and errors of each are in test_loss_options.py."""

import inspect

import numpy as np
import pytest
from layouts import LAYOUTS
from tolerance import assert_same_bits

import nncore as nc
from nncore import nn
from nncore._core import engine
from nncore.losses.base import LossFunction

WEIGHTS = np.array([0.5, 1.0, 2.0, 0.25, 3.0])
ROWS, IMAGES = (6, 5), (3, 5, 4, 7)

# class, options, shape of the prediction, what the target is
CASES = [
    ("CrossEntropyLoss", {}, ROWS, "labels"),
    ("CrossEntropyLoss", {"weight": WEIGHTS, "ignore_index": 2, "label_smoothing": 0.2}, ROWS,
     "labels"),
    ("CrossEntropyLoss", {"weight": WEIGHTS, "ignore_index": -1}, IMAGES, "labels"),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, ROWS, "probabilities"),
    ("CrossEntropyLoss", {"weight": WEIGHTS}, IMAGES, "probabilities"),
    ("NLLLoss", {}, ROWS, "labels"),
    ("NLLLoss", {"weight": WEIGHTS, "ignore_index": 1}, IMAGES, "labels"),
    ("BCELoss", {}, IMAGES, "probabilities"),
    ("BCELoss", {"weight": WEIGHTS}, ROWS, "probabilities"),
    ("BCEWithLogitsLoss", {}, IMAGES, "probabilities"),
    ("BCEWithLogitsLoss", {"weight": WEIGHTS, "pos_weight": WEIGHTS[::-1]}, ROWS, "probabilities"),
    ("KLDivLoss", {}, ROWS, "probabilities"),
    ("KLDivLoss", {"log_target": True}, IMAGES, "numbers"),
    ("MSELoss", {}, IMAGES, "numbers"), ("L1Loss", {}, ROWS, "numbers"),
    ("SmoothL1Loss", {}, ROWS, "numbers"), ("SmoothL1Loss", {"beta": 0.3}, IMAGES, "numbers"),
    ("HuberLoss", {}, ROWS, "numbers"), ("HuberLoss", {"delta": 0.4}, IMAGES, "numbers"),
    ("HingeLoss", {}, ROWS, "signs"), ("HingeLoss", {"margin": 0.5}, IMAGES, "signs"),
]  # fmt: skip
NAMES = [f"{kind}-{'-'.join(options) or 'plain'}-{len(shape)}" for kind, options, shape, _ in CASES]


@pytest.fixture(params=CASES, ids=NAMES)
def case(request):
    return request.param


def test_no_loss_is_missing():
    public = {name for name in nn.__all__ if inspect.isclass(getattr(nn, name))}
    losses = {name for name in public if issubclass(getattr(nn, name), LossFunction)}
    assert losses == {case[0] for case in CASES}


def reductions(kind):
    return ("mean", "sum", "none") + ("batchmean",) * (kind == "KLDivLoss")


def draw(case, dtype, n=None):
    """A prediction and a target."""
    kind, options, shape, reads = case
    rng = np.random.default_rng(4)
    shape = shape if n is None else (n, *shape[1:])
    pred = rng.random(shape) if kind == "BCELoss" else 2 * rng.standard_normal(shape)
    if reads == "labels":
        target = rng.integers(0, 5, (shape[0], *shape[2:]))
        target.reshape(-1)[::4] = options.get("ignore_index", 0)
        return pred.astype(dtype), target
    target = rng.random(shape) if reads == "probabilities" else rng.standard_normal(shape)
    return pred.astype(dtype), (np.sign(target) if reads == "signs" else target).astype(dtype)


def both(loss_fn, pred, target, layout=lambda array: array):
    """The loss and its gradient, of unequal factors where nothing is reduced."""
    value = loss_fn(layout(pred), layout(target))
    grad = 1.5
    if loss_fn.reduction == "none":
        grad = layout(np.linspace(-1, 2, value.size).astype(pred.dtype).reshape(value.shape))
    return np.asarray(value, np.float64), loss_fn.backward(grad)


def theirs(torch, case, reduction, pred, target):
    kind, options, _, _ = case
    leaf, goal = torch.tensor(pred, requires_grad=True), torch.tensor(target)
    if kind == "HingeLoss":
        value = (options.get("margin", 1.0) - leaf * goal).clamp(min=0)
        value = value if reduction == "none" else getattr(value, reduction)()
    else:
        given = {
            name: torch.tensor(v.astype(pred.dtype)) if isinstance(v, np.ndarray) else v
            for name, v in options.items()
        }
        value = getattr(torch.nn, kind)(**given, reduction=reduction)(leaf, goal)
    grad = torch.linspace(-1, 2, value.numel(), dtype=torch.float64).reshape(value.shape)
    value.backward(grad.to(leaf.dtype) if reduction == "none" else 1.5 * torch.ones_like(value))
    return value.detach().numpy(), leaf.grad.numpy()


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")
def test_equals_pytorch_on_every_instruction_set(case, dtype, torch):
    pred, target = draw(case, dtype)
    bound = 2e-6 if dtype is np.float32 else 1e-12
    before = engine.isa_active()
    try:
        for reduction in reductions(case[0]):
            expected = theirs(torch, case, reduction, pred, target)
            for isa in engine.isa_available():
                engine.isa_select(isa)
                found = both(getattr(nn, case[0])(**case[1], reduction=reduction), pred, target)
                for own, other in zip(found, expected, strict=True):
                    assert own.shape == other.shape
                    scale = max(np.abs(other).max(), 1)
                    np.testing.assert_allclose(own, other, rtol=bound, atol=bound * scale)
    finally:
        engine.isa_select(before)


def test_the_gradient_check(case):
    pred, target = draw(case, np.float64)
    for reduction in reductions(case[0])[:2]:
        loss_fn = getattr(nn, case[0])(**case[1], reduction=reduction)
        assert nc.gradcheck(loss_fn, pred, target, max_elements=25)


def test_any_layout_one_thread_and_two_by_hand_and_compiled(case, dtype):
    """The compiled step has the loss after a layer that leaves its input as it is."""
    kind, options, shape, _ = case
    pred, target = draw(case, dtype, 40)
    before = engine.threads_get(), engine.threads_threshold_get()
    try:
        for reduction in reductions(kind):
            loss_fn = getattr(nn, kind)(**options, reduction=reduction)
            expected = both(loss_fn, pred, target)
            for threads in (1, 2):
                engine.threads_set(threads)
                engine.threads_threshold_set(0)
                for layout in LAYOUTS.values():
                    found = both(loss_fn, pred, target, layout)
                    assert_same_bits(found[0], expected[0])
                    assert_same_bits(found[1], expected[1])
                if reduction == "none":
                    with pytest.raises(ValueError, match=f"{kind} with reduction='none' has no"):
                        nc.compile(nn.Identity(), loss_fn, input_shape=shape[1:])
                    continue
                model = Shift(shape, dtype)
                step = nc.compile(model, loss_fn)
                assert step.gradients(pred, target) == loss_fn(model(pred), target)
                dx = loss_fn.backward()
                model.zero_grad()
                model.backward(dx)
                by_hand = model.shift.grad.copy()
                step.gradients(pred, target)
                assert_same_bits(model.shift.grad, by_hand)
                assert step.evaluate(pred, target) == float(expected[0])
    finally:
        engine.threads_set(before[0])
        engine.threads_threshold_set(before[1])


class Shift(nn.Module):
    """y = x + shift, of zeros: its gradient is the sum over the batch of the loss's."""

    def __init__(self, shape, dtype):
        self.shift = nn.Parameter(np.zeros(shape[1:], dtype))

    def forward(self, x):
        return x + self.shift


def test_an_empty_batch_and_a_batch_of_one(case, dtype, torch):
    pred, target = draw(case, dtype, 0)
    one = draw(case, dtype, 1)
    for reduction in ("mean", "sum", "none"):
        loss_fn = getattr(nn, case[0])(**case[1], reduction=reduction)
        value = loss_fn(pred, target)
        if reduction == "none":
            assert len(value) == 0
        else:
            assert value == 0 if reduction == "sum" else np.isnan(value)
        assert loss_fn.backward().shape == pred.shape
        expected = theirs(torch, case, "sum", *one)
        if reduction == "sum":
            np.testing.assert_allclose(both(loss_fn, *one)[1], expected[1], 1e-5, 1e-6)


def test_what_is_refused(case):
    kind, options, _, reads = case
    loss_fn = getattr(nn, kind)(**options)
    pred, target = draw(case, np.float32)
    for bad in (None, "abc", pred.astype(complex), pred.astype(object), pred > 0,
                pred.astype(np.int64)):  # fmt: skip
        with pytest.raises(TypeError, match=kind):
            loss_fn(bad, target)
    for bad in (None, "abc", target.astype(complex), target[:-1], target[None], 1.0):
        with pytest.raises((TypeError, ValueError), match=kind):
            loss_fn(pred, bad)
    if reads == "labels":
        for label in (-7, 5, 2**62):
            wrong = target.copy()
            wrong.reshape(-1)[3] = label
            with pytest.raises(IndexError, match=rf"{kind}: target\[3\] is {label}"):
                loss_fn(pred, wrong)
    with pytest.raises(RuntimeError, match="no recorded forward"):
        loss_fn.backward()
    for reduction in ("Mean", None, 1):
        with pytest.raises(ValueError, match=f"{kind}: reduction must be"):
            getattr(nn, kind)(**options, reduction=reduction)
