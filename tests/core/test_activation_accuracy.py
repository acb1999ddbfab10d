"""Activations against mpmath, to fifty digits: the bounds that the docstrings promise."""

import numpy as np
import pytest

from nncore import nn
from nncore._core import engine

mpmath = pytest.importorskip("mpmath")


def gelu(x):
    return x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def gelu_tanh(x):
    v = mpmath.sqrt(8 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)
    return x / (1 + mpmath.exp(-v))


def selu(x):
    scale = mpmath.mpf("1.0507009873554804934193349852946")
    alpha = mpmath.mpf("1.6732632423543772848170429916717")
    return scale * (x if x > 0 else alpha * mpmath.expm1(x))


# name -> engine's function, truth, half width of the range, promised ULP of float32 and float64
FUNCTIONS = {
    "exp": (engine.exp_forward, mpmath.exp, 88, 1.5, 1.5),
    "log": (engine.log_forward, mpmath.log, 100, 1.5, 1.5),
    "sigmoid": (engine.sigmoid_forward, lambda x: 1 / (1 + mpmath.exp(-x)), 100, 2.5, 2.5),
    "tanh": (engine.tanh_forward, mpmath.tanh, 10, 2.5, 2.5),
    "elu": (engine.elu_forward, lambda x: x if x > 0 else mpmath.expm1(x), 20, 2.5, 2.5),
    "gelu": (engine.gelu_forward, gelu, 14.5, 6, 8),
    "gelu tanh": (lambda x: engine.gelu_forward(x, "tanh"), gelu_tanh, 10.5, 250, 3000),
    "silu": (engine.silu_forward, lambda x: x / (1 + mpmath.exp(-x)), 100, 3.5, 3.5),
    "softplus": (
        lambda x: engine.softplus_forward(x, 1.0, 200.0),
        lambda x: mpmath.log1p(mpmath.exp(x)),
        100,
        3.5,
        3.5,
    ),
    "mish": (nn.Mish(), lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))), 100, 4.5, 4.5),
    "softsign": (nn.Softsign(), lambda x: x / (1 + abs(x)), 100, 1.5, 1.5),
    "logsigmoid": (nn.LogSigmoid(), lambda x: -mpmath.log1p(mpmath.exp(-x)), 80, 4, 4),
    "selu": (nn.SELU(), selu, 20, 3, 3),
}


def check(name, count, seed):
    function, truth, reach, *promised = FUNCTIONS[name]
    rng = np.random.default_rng(seed)
    magnitude = 10 ** rng.uniform(-6, 0, count // 2)
    values = np.concatenate([rng.uniform(-1, 1, count - count // 2), magnitude]) * reach
    values[::2] *= -1
    if name == "log":
        values = np.abs(values)
    x = values.astype(np.float32)
    with mpmath.workdps(50):
        right = [truth(mpmath.mpf(float(value))) for value in x]
        head = np.array([float(value) for value in right])
        rest = np.array(
            [float(r - mpmath.mpf(h)) for r, h in zip(right, head.tolist(), strict=True)]
        )
    for dtype, bound in zip((np.float32, np.float64), promised, strict=True):
        y = function(x.astype(dtype)).astype(np.float64)
        unit = np.spacing(np.abs(head).astype(dtype)).astype(np.float64)
        error = np.abs((y - head) - rest) / unit
        worst = error.argmax()
        assert error[worst] <= bound, f"{name}({x[worst]!r}): {error[worst]:.3f} ULP"
        assert error[worst] > 0.4  # something was measured


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_sample(name, isa):
    check(name, 1000, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_hundred_thousand(name, isa):
    check(name, 100_000, 2)
