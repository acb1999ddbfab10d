"""The values of a model by name: taken as copies, loaded all or nothing."""

import weakref
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nncore._core import engine
from nncore.nn import buffers, structure
from nncore.nn.arrays import Array, value
from nncore.nn.parameter import Parameter

if TYPE_CHECKING:
    from nncore.nn.module import Module

Shape = tuple[int, ...]


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class LoadResult(_Keys):
    """What `load_state_dict` did; ``print`` it. As a tuple it is PyTorch's pair.

    Attributes
    ----------
    missing_keys : list of str
        Parameters of the module that were not given.
    unexpected_keys : list of str
        Names that were given and that the module does not have.
    taken : list of str
        Parameters that have new values now.
    mismatched : dict of str to (tuple, tuple)
        Left out for their shape, where not strict: the given shape and the module's.
    """

    taken: list[str]
    mismatched: dict[str, tuple[Shape, Shape]]

    def __str__(self) -> str:
        count = len(self.taken) + len(self.missing_keys) + len(self.mismatched)
        lines = [f"taken: {len(self.taken)} of {count}" + _listed(self.taken)]
        if self.mismatched:
            shapes = [
                f"{name} {given}, expected {own}" for name, (given, own) in self.mismatched.items()
            ]
            lines.append("of another shape, left out" + _listed(shapes, "; "))
        if self.missing_keys:
            lines.append("missing, left as it was" + _listed(self.missing_keys))
        if self.unexpected_keys:
            lines.append("unexpected, left out" + _listed(self.unexpected_keys))
        return "\n".join(lines)


def _listed(names: list[str], between: str = ", ") -> str:
    return f": {between.join(names)}" if names else ""


def _named(module: "Module") -> Iterator[tuple[str, Parameter]]:
    """Every parameter by every name: a shared one has several, and PyTorch writes all of them."""
    for path, part in module._paths():
        for name, parameter in part._own(Parameter):
            yield (f"{path}.{name}" if path else name), parameter


def _arrays(module: "Module") -> dict[str, Array]:
    """The arrays of the state by every name, in PyTorch's order: a module's buffers come after its
    parameters."""
    found: dict[str, Array] = {}
    for path, part in module._paths():
        prefix = f"{path}." if path else ""
        found |= {prefix + name: parameter.data for name, parameter in part._own(Parameter)}
        found |= {prefix + name: array for name, array, kept in buffers.own(part) if kept}
    return found


def state_dict(module: "Module") -> dict[str, Array]:
    return {name: array.copy() for name, array in _arrays(module).items()}


def _converted(given: Any, like: Array, layer: str, name: str) -> Array:
    """A value for the array `like`: floating numbers, or whole ones for a counter."""
    if like.dtype.kind == "f":
        return value(given, like.dtype, layer, name)
    array = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{layer}: {name} has dtype {array.dtype}, expected {like.dtype}")
    return array.astype(like.dtype)


def load_state_dict(module: "Module", given: Mapping[str, Any], strict: bool) -> LoadResult:
    layer = type(module).__name__
    if not isinstance(given, Mapping):
        held = getattr(given, "state_dict", None)
        hint = "" if held is None else f": give its state_dict{'()' if callable(held) else ''}"
        raise TypeError(f"{layer}: state_dict must be a mapping, got {type(given).__name__}{hint}")
    own = _arrays(module)
    missing = [name for name in own if name not in given]
    unexpected = [str(name) for name in given if name not in own]
    faults: list[str] = []
    if strict:
        faults += [f"{name} is missing" for name in missing]
        faults += [f"{name} is unexpected" for name in unexpected]
    only_dtypes = not faults
    staged: dict[str, tuple[Array, Array]] = {}
    mismatched: dict[str, tuple[Shape, Shape]] = {}
    for name, target in own.items():
        if name not in given:
            continue
        try:
            array = _converted(given[name], target, layer, name)
        except TypeError as error:
            faults.append(str(error).removeprefix(f"{layer}: "))
            continue
        if array.shape != target.shape:
            if not strict:
                mismatched[name] = array.shape, target.shape
                continue
            faults.append(f"{name} has shape {array.shape}, expected {target.shape}")
            only_dtypes = False
            continue
        # A copy: the values may be views of the very parameters that are written next.
        staged[name] = target, np.array(array)
    if faults:
        message = f"{layer}: state_dict does not fit, nothing was loaded: " + "; ".join(faults)
        raise TypeError(message) if only_dtypes else ValueError(message)
    for target, array in staged.values():
        target[...] = array
    result = LoadResult(missing, unexpected)
    result.taken, result.mismatched = list(staged), mismatched
    return result


def copy_from(module: "Module", source: Any, tau: float) -> None:
    layer = f"{type(module).__name__}.copy_from"
    if isinstance(tau, bool) or not isinstance(tau, Real):
        raise TypeError(f"{layer}: tau must be a number, got {tau!r}")
    if not 0 <= tau <= 1:
        raise ValueError(f"{layer}: tau must be in [0, 1], got {tau!r}")
    version, kept = structure.version(), module.__dict__.get("_mean")
    if kept is None or kept[0] != version or kept[1]() is not source:
        pairs = _pairs(module, source, layer)
        weights = {id(parameter.data) for _, parameter in _named(module)}
        learned = [pair for pair in pairs if id(pair[0]) in weights]
        others = [pair for pair in pairs if id(pair[0]) not in weights]
        kept = version, weakref.ref(source), learned, others, _mean(learned)
        if all(own.dtype == theirs.dtype for own, theirs in pairs):
            module.__dict__["_mean"] = kept  # good while neither of the two changes
    _, _, learned, others, mean = kept
    if tau == 1:
        others = learned + others
    else:
        mean.run(lr=-float(tau), weight_decay=-1.0)
    for own, theirs in others if tau > 0 else []:
        own[...] = theirs


def _pairs(module: "Module", source: Any, layer: str) -> list[tuple[Array, Array]]:
    """The arrays of both by name, each of the module's once; those they share are left out."""
    if not hasattr(source, "_paths"):
        raise TypeError(f"{layer}: source must be a Module, got {type(source).__name__}")
    own, theirs = _arrays(module), _arrays(source)
    faults = [f"{name} is missing" for name in own if name not in theirs]
    faults += [f"{name} is unexpected" for name in theirs if name not in own]
    faults += [
        f"{name} has shape {theirs[name].shape}, expected {array.shape}"
        for name, array in own.items()
        if name in theirs and theirs[name].shape != array.shape
    ]
    if faults:
        raise ValueError(f"{layer}: source does not fit, nothing was copied: " + "; ".join(faults))
    once = {id(array): (array, theirs[name]) for name, array in own.items()}
    return [(mine, other) for mine, other in once.values() if mine is not other]


def _mean(pairs: list[tuple[Array, Array]]) -> engine.Update:
    """w <- w + tau (source - w) for all in one engine call: a step of SGD, with the source as the
    gradient, lr = -tau and weight_decay = -1. What is of another dtype is converted for it."""
    sources = [
        theirs if theirs.dtype == own.dtype else theirs.astype(own.dtype) for own, theirs in pairs
    ]
    return engine.Update("sgd", [own for own, _ in pairs], sources, [()] * len(pairs))
