"""gradcheck: right layers pass, kinks and ties are seen for what they are, ten faults are found."""

import math

import numpy as np
import pytest

import nncore as nc
from nncore import nn
from nncore.checking import GradcheckError


@pytest.fixture
def x(rng):
    return rng.standard_normal((3, 4))


def images(rng, channels=2):
    return rng.standard_normal((2, channels, 5, 6))


RIGHT = {
    "linear": (lambda: nn.Linear(4, 3), (3, 4)),
    "no bias": (lambda: nn.Linear(4, 3, bias=False), (4,)),
    "conv": (lambda: nn.Conv2d(2, 4, (3, 2), stride=2, padding=1, groups=2), (2, 2, 5, 6)),
    "dilated": (lambda: nn.Conv2d(2, 3, 2, dilation=2), (2, 5, 6)),
    "max pool": (lambda: nn.MaxPool2d(3, stride=2, padding=1), (2, 2, 5, 6)),
    "average": (lambda: nn.AvgPool2d((2, 3), stride=1, ceil_mode=True), (2, 2, 5, 6)),
    "global": (lambda: nn.GlobalAvgPool2d(), (2, 2, 5, 6)),
    "relu": (nn.ReLU, (3, 4)),
    "leaky": (lambda: nn.LeakyReLU(0.2), (3, 4)),
    "elu": (nn.ELU, (3, 4)),
    "gelu": (nn.GELU, (3, 4)),
    "silu": (nn.SiLU, (3, 4)),
    "softplus": (nn.Softplus, (3, 4)),
    "sigmoid": (nn.Sigmoid, (3, 4)),
    "tanh": (nn.Tanh, (3, 4)),
    "flatten": (nn.Flatten, (2, 2, 3, 2)),
    "network": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(18, 5),
            nn.Tanh(),
        ),
        (2, 2, 5, 6),
    ),
}


@pytest.mark.parametrize(("build", "shape"), RIGHT.values(), ids=RIGHT)
def test_the_library_passes(build, shape, rng):
    module = build()
    before = {name: p.data.copy() for name, p in module.named_parameters()}
    report = nc.gradcheck(module, rng.standard_normal(shape), max_elements=40)
    assert report
    assert not report.left_out
    assert report.checked >= min(math.prod(shape), 40)
    for name, p in module.named_parameters():
        np.testing.assert_array_equal(p.data, before[name])
        assert p.dtype == np.float32
        assert not p.grad.any()


def test_losses_pass(x, rng):
    assert nc.gradcheck(nn.CrossEntropyLoss(), x, np.array([0, 3, 1]))
    assert nc.gradcheck(nn.MSELoss(), x, rng.standard_normal(x.shape))


def test_frozen_parameters_and_eval_mode(x):
    layer = nn.Linear(4, 3).eval()
    layer.weight.requires_grad_(False)
    report = nc.gradcheck(layer, x)
    assert report.checked == 12 + 3


# ---- kinks and ties


def test_kinks_are_left_out_and_counted(x):
    x[0, 1] = x[2, 2] = 0
    report = nc.gradcheck(nn.ReLU(), x)
    assert report.left_out == ["x[0, 1]", "x[2, 2]"]
    assert report.checked == 10
    assert "2 left out, where forward is not differentiable: x[0, 1], x[2, 2]" in str(report)


def test_a_kink_nearby_is_no_kink(x):
    x[0, 1], x[1, 1] = 3e-6, -2e-6
    assert not nc.gradcheck(nn.ReLU(), x).left_out


def test_curvature_is_no_kink():
    class Square(nn.Module):
        def _forward(self, x):
            return 1e3 * x * x, x

        def _backward(self, saved, grad):
            return 2e3 * saved * grad

    report = nc.gradcheck(Square(), np.array([[0.0, 1e-5, 3.0]]))
    assert not report.left_out


def test_ties_are_left_out_one_by_one_and_compared_together():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    x[0, 0, 0] = 5
    x[0, 0, 1] = 5
    report = nc.gradcheck(nn.MaxPool2d(2), x)
    assert len(report.left_out) == 8
    assert report.checked == 8 + 1
    assert nc.gradcheck(nn.MaxPool2d(3, 1, 1), np.ones((1, 2, 4, 4)))


def test_a_gradient_between_the_slopes_will_do():
    class Part(nn.Module):
        def __init__(self, at_zero):
            self.at_zero = at_zero

        def _forward(self, x):
            return np.maximum(x, 0), x

        def _backward(self, saved, grad):
            return grad * ((saved > 0) + self.at_zero * (saved == 0))

    x = np.array([[1.0, 0.0, -1.0]])
    assert nc.gradcheck(Part(0.5), x)
    with pytest.raises(GradcheckError, match=r"the worst: x\[0, 1\]: numerical"):
        nc.gradcheck(Part(1.5), x)


# ---- ten planted faults


class Layer(nn.Module):
    """y = x W + b in NumPy, right; each fault spoils one thing."""

    def __init__(self):
        self.weight = nn.Parameter(np.random.default_rng(1).standard_normal((4, 4)))
        self.bias = nn.Parameter(np.random.default_rng(2).standard_normal(4))

    def _forward(self, x):
        return x @ self.weight.data + self.bias.data, x

    def _backward(self, saved, grad):
        self.weight.grad[...] += saved.T @ grad
        self.bias.grad[...] += grad.sum(axis=0)
        return grad @ self.weight.data.T


class ForgottenTransposition(Layer):
    def _backward(self, saved, grad):
        super()._backward(saved, grad)
        return grad @ self.weight.data


class NoBiasGradient(Layer):
    def _backward(self, saved, grad):
        self.weight.grad[...] += saved.T @ grad
        return grad @ self.weight.data.T


class Overwritten(Layer):
    def _backward(self, saved, grad):
        self.weight.grad[...] = saved.T @ grad
        self.bias.grad[...] += grad.sum(axis=0)
        return grad @ self.weight.data.T


class WrongSign(Layer):
    def _backward(self, saved, grad):
        return -super()._backward(saved, grad)


class DroppedLastRow(Layer):
    def _backward(self, saved, grad):
        dx = super()._backward(saved, grad)
        self.weight.grad[...] -= np.outer(saved[-1], grad[-1])
        return dx


class WrongShape(Layer):
    def _backward(self, saved, grad):
        return super()._backward(saved, grad).T


class ChangesItsGradient(Layer):
    def _backward(self, saved, grad):
        dx = super()._backward(saved, grad)
        grad *= 2
        return dx


class OneInput(nn.Module):
    """x * x, whose backward uses what an earlier forward saw."""

    def _forward(self, x):
        self.seen = getattr(self, "seen", np.zeros(x.shape)) + 0
        self.seen = x if not self.seen.any() else self.seen
        return x * x, None

    def _backward(self, saved, grad):
        return 2 * self.seen * grad


class Pool(nn.Module):
    """Max pooling 3x3 with stride 2 by loops, right."""

    k, s = 3, 2

    def winner(self, i, j, at, window):
        yield i * self.s + at // self.k, j * self.s + at % self.k

    def _forward(self, x):
        rows, columns = ((size - self.k) // self.s + 1 for size in x.shape[2:])
        y, mask = np.zeros((*x.shape[:2], rows, columns)), []
        for n, c, i, j in np.ndindex(y.shape):
            window = x[n, c, i * self.s :, j * self.s :][: self.k, : self.k]
            y[n, c, i, j] = window.max()
            for h, w in self.winner(i, j, int(window.argmax()), window):
                mask.append(((n, c, i, j), (n, c, h, w)))
        return y, (self.masks(mask), x.shape)

    def masks(self, mask):
        return mask

    def _backward(self, saved, grad):
        mask, shape = saved
        dx = np.zeros(shape)
        for out, winner in mask:
            dx[winner] += grad[out]
        return dx


class StrideForKernel(Pool):
    def winner(self, i, j, at, window):
        yield min(i * self.s + at // self.s, 4), j * self.s + at % self.s


class MaskNotCleared(Pool):
    def masks(self, mask):
        self.kept = getattr(self, "kept", []) + mask
        return list(dict.fromkeys(self.kept))


class EveryWinner(Pool):
    """At a tie all the largest get the whole gradient."""

    def winner(self, i, j, at, window):
        for h, w in zip(*np.nonzero(window == window.max()), strict=True):
            yield i * self.s + int(h), j * self.s + int(w)


class NoMean(nn.MSELoss):
    def _backward(self, saved, grad):
        dx = super()._backward(saved, grad)
        return dx * dx.size


FAULTS = [
    (ForgottenTransposition, r"the worst: x\[\d, \d\]: numerical"),
    (NoBiasGradient, r"the worst: bias\[\d\]: numerical [-\d.]+, analytic 0"),
    (Overwritten, "weight: the gradient is overwritten: backward must add to it"),
    (WrongSign, r"12 differ\n.*the worst: x\["),
    (DroppedLastRow, r"the worst: weight\[\d, \d\]: numerical"),
    (WrongShape, r"x: backward returns shape \(4, 3\), expected shape \(3, 4\)"),
    (ChangesItsGradient, "backward changes the gradient it is given"),
    (OneInput, "x: the gradient depends on earlier calls"),
]


def test_the_layers_without_their_faults_pass(x, rng):
    assert nc.gradcheck(Layer(), x)
    assert nc.gradcheck(Pool(), images(rng))
    tied = np.round(images(rng))
    assert nc.gradcheck(Pool(), tied).left_out


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=lambda v: getattr(v, "__name__", ""))
def test_planted_faults(fault, message, x):
    with pytest.raises(GradcheckError, match=message) as caught:
        nc.gradcheck(fault(), x)
    assert str(caught.value).startswith(f"gradcheck of {fault.__name__}: FAILED")


POOL_FAULTS = [
    (StrideForKernel, False, r"the worst: x\["),
    (MaskNotCleared, False, "x: the gradient depends on earlier calls: .* a mask that is not clea"),
    (EveryWinner, True, "equal and moved together: numerical"),
]


@pytest.mark.parametrize(
    ("fault", "ties", "message"), POOL_FAULTS, ids=lambda v: getattr(v, "__name__", "")
)
def test_planted_faults_of_pooling(fault, ties, message, rng):
    x = np.round(images(rng)) if ties else images(rng)
    with pytest.raises(GradcheckError, match=message):
        nc.gradcheck(fault(), x)


def test_a_mean_without_its_divisor(x, rng):
    with pytest.raises(GradcheckError, match="12 differ"):
        nc.gradcheck(NoMean(), x, rng.standard_normal(x.shape))


def test_one_wrong_element_is_named(x):
    class Wrong(nn.Tanh):
        def _backward(self, saved, grad):
            dx = super()._backward(saved, grad)
            dx[1, 2] += 1e-3
            return dx

    report = nc.gradcheck(Wrong(), x, raise_exception=False)
    assert not report
    assert report.differing == 1
    assert report.worst.name == "x[1, 2]"
    assert report.worst.analytic - report.worst.numerical == pytest.approx(1e-3, rel=1e-4)


# ---- the rest


def test_what_differs_from_call_to_call_is_checked_on_fresh_copies(x):
    class Noise(nn.Module):
        calls = 0

        def _forward(self, x):
            self.calls += 1
            scale = np.random.default_rng(self.calls).uniform(size=x.shape)
            return x * scale, scale

        def _backward(self, saved, grad):
            return grad * saved

    report = nc.gradcheck(Noise(), x)
    assert report
    assert "fresh copy" in str(report)


def test_errors(x):
    with pytest.raises(TypeError, match="module must be a Module or a loss, got function"):
        nc.gradcheck(lambda x: x, x)
    with pytest.raises(TypeError, match="gradcheck: MSELoss needs target"):
        nc.gradcheck(nn.MSELoss(), x)
    with pytest.raises(TypeError, match="gradcheck: ReLU takes no target"):
        nc.gradcheck(nn.ReLU(), x, x)
    with pytest.raises(ValueError, match="forward gives NaN or infinity at x"):
        nc.gradcheck(nn.ReLU(), x * np.nan)
    with pytest.raises(ValueError, match="max_elements must be"):
        nc.gradcheck(nn.ReLU(), x, max_elements=0)
