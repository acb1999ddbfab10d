"""Initial values of parameters, from streams given by a seed and the parameter's name.

The functions that draw take ``seed`` and ``name``: the same two give the same numbers, whatever
else is initialised before or after; without a seed they come from the operating system's entropy.
All of them fill the parameter in place and return it.
"""

import math
import os
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from nncore._core import engine
from nncore.nn.arrays import Array
from nncore.nn.parameter import Parameter


def seed_or_entropy(seed: int | None, owner: str) -> int:
    """`seed` checked, or one from the operating system's entropy: no hidden global state."""
    if seed is None:
        return int.from_bytes(os.urandom(8), "little")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"{owner}: seed must be an integer, got {seed!r}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"{owner}: seed must be 0 to 2**64 - 1, got {seed}")
    return int(seed)


# ---- without chance


def constant_(parameter: Parameter, val: float) -> Parameter:
    """Fill with one number."""
    _array(parameter, "constant_")[...] = _number("constant_", "val", val)
    return parameter


def zeros_(parameter: Parameter) -> Parameter:
    """Fill with zeros."""
    return constant_(parameter, 0.0)


def ones_(parameter: Parameter) -> Parameter:
    """Fill with ones."""
    return constant_(parameter, 1.0)


def eye_(parameter: Parameter) -> Parameter:
    """The identity, as far as it goes; `parameter` has two axes."""
    data = _array(parameter, "eye_")
    if data.ndim != 2:
        raise ValueError(f"eye_: parameter has shape {data.shape}, expected two axes")
    data[...] = np.eye(*data.shape)
    return parameter


# ---- given distributions


def uniform_(
    parameter: Parameter, a: float = 0.0, b: float = 1.0, *, seed: int | None = None, name: str = ""
) -> Parameter:
    """Fill with numbers equally likely in [a, b)."""
    low, high = _number("uniform_", "a", a), _number("uniform_", "b", b)
    if not low <= high:
        raise ValueError(f"uniform_: a must be at most b, got a={a!r}, b={b!r}")
    return _uniform(parameter, low, high, seed, name, "uniform_")


def normal_(
    parameter: Parameter,
    mean: float = 0.0,
    std: float = 1.0,
    *,
    seed: int | None = None,
    name: str = "",
) -> Parameter:
    """Fill with normally distributed numbers."""
    return _normal(
        parameter, _number("normal_", "mean", mean), _spread("normal_", std), seed, name, "normal_"
    )


def trunc_normal_(
    parameter: Parameter,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    *,
    seed: int | None = None,
    name: str = "",
) -> Parameter:
    """Fill with normally distributed numbers of which only those in [a, b] are taken.

    Each is the quantile of a number that is equally likely between the probabilities of a and b.
    """
    from statistics import NormalDist  # loads more than most programs need

    owner = "trunc_normal_"
    data = _array(parameter, owner)
    mean, low, high = (_number(owner, n, v) for n, v in (("mean", mean), ("a", a), ("b", b)))
    spread = _spread(owner, std)
    if not (spread > 0 and low < high):
        raise ValueError(
            f"{owner}: std must be positive and a below b, got std={std!r}, a={a!r}, b={b!r}"
        )
    seed = seed_or_entropy(seed, owner)
    normal = NormalDist()
    # In the lower half, where probabilities keep their digits: the upper one is its mirror image.
    sign = -1.0 if low > mean else 1.0
    ends = sorted(sign * (end - mean) / spread for end in (low, high))
    first, last = (normal.cdf(end) for end in ends)
    u = engine.stream_uniform(seed, name, 0, data.shape, np.float64, first, max(first, last))
    inside = np.clip(u, np.finfo(np.float64).tiny, 1 - 2.0**-53)
    quantiles = np.fromiter(map(normal.inv_cdf, inside.ravel().tolist()), np.float64, u.size)
    values = mean + spread * sign * quantiles
    data[...] = np.clip(values, low, high).reshape(data.shape)
    # Rounding to float32 may lead beyond an end by a part of its last digit.
    np.clip(data, _inside(low, data, 1), _inside(high, data, -1), out=data)
    return parameter


# ---- by the number of connections

_GAINS: dict[str, Callable[[float], float]] = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "sigmoid"), lambda _: 1.0),
    **dict.fromkeys(tuple(f"conv_transpose{d}d" for d in (1, 2, 3)), lambda _: 1.0),
    "tanh": lambda _: 5 / 3,
    "relu": lambda _: math.sqrt(2),
    "leaky_relu": lambda slope: math.sqrt(2 / (1 + slope**2)),
    "selu": lambda _: 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights before this activation are drawn wider, PyTorch's numbers.

    `param` is the slope of "leaky_relu", 0.01 unless given.
    """
    if nonlinearity not in _GAINS:
        raise ValueError(
            f"calculate_gain: nonlinearity must be one of {', '.join(_GAINS)}, got {nonlinearity!r}"
        )
    slope = 0.01 if param is None else _number("calculate_gain", "param", param)
    return _GAINS[nonlinearity](slope)


def xavier_uniform_(
    parameter: Parameter, gain: float = 1.0, *, seed: int | None = None, name: str = ""
) -> Parameter:
    """Uniform in [-a, a), a = gain sqrt(6 / (fan_in + fan_out)).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (2010).
    """
    bound = math.sqrt(3) * _xavier("xavier_uniform_", parameter, gain)
    return _uniform(parameter, -bound, bound, seed, name, "xavier_uniform_")


def xavier_normal_(
    parameter: Parameter, gain: float = 1.0, *, seed: int | None = None, name: str = ""
) -> Parameter:
    """Normal with standard deviation gain sqrt(2 / (fan_in + fan_out)).

    Source: as of `xavier_uniform_`.
    """
    std = _xavier("xavier_normal_", parameter, gain)
    return _normal(parameter, 0.0, std, seed, name, "xavier_normal_")


def kaiming_uniform_(
    parameter: Parameter,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    seed: int | None = None,
    name: str = "",
) -> Parameter:
    """Uniform in [-b, b), b = gain sqrt(3 / fan).

    `mode` "fan_in" keeps the size of activations from layer to layer, "fan_out" that of gradients;
    `a` is the slope of "leaky_relu". Source: He et al., "Delving deep into rectifiers" (2015).
    """
    bound = math.sqrt(3) * _kaiming("kaiming_uniform_", parameter, a, mode, nonlinearity)
    return _uniform(parameter, -bound, bound, seed, name, "kaiming_uniform_")


def kaiming_normal_(
    parameter: Parameter,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    seed: int | None = None,
    name: str = "",
) -> Parameter:
    """Normal with standard deviation gain / sqrt(fan); arguments and source as kaiming_uniform_."""
    std = _kaiming("kaiming_normal_", parameter, a, mode, nonlinearity)
    return _normal(parameter, 0.0, std, seed, name, "kaiming_normal_")


def orthogonal_(
    parameter: Parameter, gain: float = 1.0, *, seed: int | None = None, name: str = ""
) -> Parameter:
    """A random matrix with orthogonal rows (columns, where there are fewer of them), times `gain`.

    The first axis makes the rows, all others the columns. Every such matrix is as likely: the Q of
    a normal matrix, with the signs that make R's diagonal positive. Source: Saxe, McClelland and
    Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks"
    (2014); Mezzadri, "How to generate random matrices from the classical compact groups" (2007).
    """
    data = _array(parameter, "orthogonal_")
    if data.ndim < 2:
        raise ValueError(
            f"orthogonal_: parameter has shape {data.shape}, expected two axes or more"
        )
    gain = _number("orthogonal_", "gain", gain)
    seed = seed_or_entropy(seed, "orthogonal_")
    if data.size == 0:
        return parameter
    rows = data.shape[0]
    drawn = engine.stream_normal(seed, name, 0, (rows, data.size // rows), np.float64, 0.0, 1.0)
    wide = rows < drawn.shape[1]
    q, r = np.linalg.qr(drawn.T if wide else drawn)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    data[...] = gain * (q.T if wide else q).reshape(data.shape)
    return parameter


def linear_default(weight: Parameter, bias: Parameter | None, seed: int, name: str) -> None:
    """PyTorch's default for Linear and Conv2d: U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for both.

    For the weight this is ``kaiming_uniform_(a=sqrt(5))``: gain sqrt(2 / (1 + a^2)) = sqrt(1/3)
    and bound gain * sqrt(3 / fan_in) = 1 / sqrt(fan_in). fan_in is the number of inputs of one
    output. Source: He et al., "Delving deep into rectifiers" (2015); LeCun et al., "Efficient
    BackProp" (1998), for the scale.
    """
    fan_in = int(np.prod(weight.shape[1:]))
    bound = fan_in**-0.5 if fan_in else 0.0
    uniform_(weight, -bound, bound, seed=seed, name=_stream(name, "weight"))
    if bias is not None:
        uniform_(bias, -bound, bound, seed=seed, name=_stream(name, "bias"))


# ---- parts


def _stream(module: str, parameter: str) -> str:
    return f"{module}.{parameter}" if module else parameter


def _array(parameter: Any, owner: str) -> Array:
    if not isinstance(parameter, Parameter):
        raise TypeError(f"{owner}: parameter must be a Parameter, got {type(parameter).__name__}")
    return parameter.data


def _number(owner: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{owner}: {name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{owner}: {name} must be finite, got {value!r}")
    return float(value)


def _spread(owner: str, std: Any) -> float:
    value = _number(owner, "std", std)
    if value < 0:
        raise ValueError(f"{owner}: std must be at least 0, got {std!r}")
    return value


def _uniform(
    parameter: Parameter, low: float, high: float, seed: int | None, name: str, owner: str
) -> Parameter:
    data, seed = _array(parameter, owner), seed_or_entropy(seed, owner)
    data[...] = engine.stream_uniform(seed, name, 0, data.shape, data.dtype, low, high)
    return parameter


def _normal(
    parameter: Parameter, mean: float, std: float, seed: int | None, name: str, owner: str
) -> Parameter:
    data, seed = _array(parameter, owner), seed_or_entropy(seed, owner)
    data[...] = engine.stream_normal(seed, name, 0, data.shape, data.dtype, mean, std)
    return parameter


def _inside(end: float, data: Array, towards: int) -> Any:
    """The number of the array's dtype next to `end` that is not beyond it."""
    near = data.dtype.type(end)
    beyond = near < end if towards > 0 else near > end
    return np.nextafter(near, data.dtype.type(towards * math.inf)) if beyond else near


def _fans(owner: str, parameter: Any) -> tuple[int, int]:
    """The inputs of one output and the outputs of one input."""
    shape = _array(parameter, owner).shape
    if len(shape) < 2:
        raise ValueError(f"{owner}: parameter has shape {shape}, expected two axes or more")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _xavier(owner: str, parameter: Parameter, gain: float) -> float:
    fans = sum(_fans(owner, parameter))
    gain = _number(owner, "gain", gain)
    if gain < 0:
        raise ValueError(f"{owner}: gain must be at least 0, got {gain!r}")
    return gain * math.sqrt(2 / max(fans, 1))


def _kaiming(owner: str, parameter: Parameter, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{owner}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(owner, parameter)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))
