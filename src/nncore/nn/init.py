"""Initial values of parameters, from streams given by a seed and the parameter's name."""

import os

import numpy as np

from nncore._core import engine
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


def uniform_(
    parameter: Parameter, a: float = 0.0, b: float = 1.0, *, seed: int | None = None, name: str = ""
) -> Parameter:
    """Fill with numbers equally likely in [a, b).

    The same `seed` and `name` give the same numbers, whatever else is initialised before or after.
    """
    seed = seed_or_entropy(seed, "uniform_")
    parameter.data[...] = engine.stream_uniform(
        seed, name, 0, parameter.shape, parameter.dtype, a, b
    )
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


def _stream(module: str, parameter: str) -> str:
    return f"{module}.{parameter}" if module else parameter
