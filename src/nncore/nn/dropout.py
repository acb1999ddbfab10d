"""Dropout, and the state of its random numbers."""

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np

from nncore.nn.arguments import flag, number
from nncore.nn.init import seed_or_entropy
from nncore.nn.module import Module
from nncore.nn.operation import Layer, Operation, Shape


class _Dropout(Layer):
    _reads_mode = True

    def __init__(self, p: float = 0.5, inplace: bool = False, *, seed: int | None = None) -> None:
        layer = type(self).__name__
        self.p = _chance(layer, p)
        self.inplace = flag(layer, "inplace", inplace)
        self._calls = np.zeros(1, np.uint64)
        self._reset(seed_or_entropy(seed, layer), "")

    def _reset(self, seed: int, name: str) -> None:
        self._stream = (seed, name)
        self._calls[0] = 0

    def _described(self, kind: str, shape: Shape, channels: int) -> Operation:
        layer = type(self).__name__
        return Operation(
            layer,
            kind,
            shape,
            shape,
            channels=channels,
            parameter=(_chance(layer, self.p), 0.0),
            training=self.training,
            stream=self._stream,
            calls=self._calls,
        )

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


_TEXT = """

    In evaluation y = x. Backward: dx = dy / (1 - p) where x was kept, else 0.

    Which are kept is a function of the seed, the layer's name in the model that was seeded, how
    many calls in training came before, and the place in x: not of threads, memory order or batch
    size, eager and compiled alike. `reset_parameters(seed)` of a model seeds all its layers
    and starts counting anew; `nn.random_state` and `nn.load_random_state` save and restore the
    counters, so that training goes on with the masks it would have had.

    Parameters
    ----------
    p : float
        The chance to be dropped, 0 to 1.
    inplace : bool
        Accepted for PyTorch's sake: the result is an array of its own either way.
    seed : int, optional
        Of the masks; without it they come from the operating system's entropy.

    Raises
    ------
    TypeError, ValueError
        At construction: p is no number, NaN, or not in [0, 1]. At a call: x is not of floating
        numbers{wrong}.

    Notes
    -----
    Shapes: {shapes}, y like x. Source: {source}.
    """


class Dropout(_Dropout):
    __doc__ = (
        "Dropout: in training each element is 0 with chance p, whatever it was, else x / (1 - p)."
        + _TEXT.format(
            wrong="",
            shapes="any",
            source="Srivastava and others, “Dropout: a simple way to prevent neural networks"
            " from\n    overfitting” (2014)".replace("“", '"').replace("”", '"'),
        )
    )

    def _operation(self, shape: Shape) -> Operation:
        return self._described("dropout", shape, 0)


class Dropout2d(_Dropout):
    __doc__ = (
        "Dropout of whole channels: in training each is 0 with chance p, else x / (1 - p)."
        + _TEXT.format(
            wrong=", or of another number of axes",
            shapes="x (N, C, H, W) or (N, C, L)",
            source='Tompson and others, "Efficient object localization using convolutional\n'
            '    networks" (2015)',
        )
    )

    def _operation(self, shape: Shape) -> Operation:
        if len(shape) not in (3, 4):
            raise ValueError(f"Dropout2d: x has shape {shape}, expected (N, C, H, W) or (N, C, L)")
        return self._described("dropout2d", shape, shape[1])


def _chance(layer: str, value: Any) -> float:
    p = number(layer, "p", value)
    if not 0 <= p <= 1:
        raise ValueError(f"{layer}: p must be in [0, 1], got {value!r}")
    return p


# ---- the state of the random numbers


class Stream(TypedDict):
    """Where a layer's random numbers come from, and how many calls have taken some."""

    seed: int
    name: str
    calls: int


def random_state(model: Module) -> dict[str, Stream]:
    """The state of all layers that draw random numbers, by the layer's name: plain data, for JSON.

    With the weights it is what training needs to go on as if it had never stopped.
    """
    return {
        name: {"seed": layer._stream[0], "name": layer._stream[1], "calls": int(layer._calls[0])}
        for name, layer in model.named_modules()
        if isinstance(layer, _Dropout)
    }


def load_random_state(model: Module, state: Mapping[str, Stream]) -> None:
    """Put back what `random_state` returned, all or nothing.

    Raises
    ------
    TypeError, ValueError
        `state` is no mapping of that form; the names are not those of the model's layers.
    """
    layers = {n: layer for n, layer in model.named_modules() if isinstance(layer, _Dropout)}
    if not isinstance(state, Mapping):
        raise TypeError(f"load_random_state: state must be a mapping, got {type(state).__name__}")
    if set(layers) != set(state):
        raise ValueError(
            f"load_random_state: state has the layers {sorted(state)}, the model {sorted(layers)}"
        )
    for name, given in state.items():
        if not isinstance(given, Mapping) or set(given) != {"seed", "name", "calls"}:
            raise ValueError(
                f"load_random_state: {name} must have seed, name and calls, got {given!r}"
            )
        if not isinstance(given["name"], str):
            raise TypeError(
                f"load_random_state: name of {name} must be a string, got {given['name']!r}"
            )
        for key in ("seed", "calls"):
            seed_or_entropy(
                given[key] if given[key] is not None else -1, f"load_random_state: {name}: {key}"
            )
    for name, layer in layers.items():
        layer._stream = (int(state[name]["seed"]), state[name]["name"])
        layer._calls[0] = state[name]["calls"]
