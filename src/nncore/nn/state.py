"""The values of a model by name: taken as copies, loaded all or nothing."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nncore.nn.arrays import Array, value
from nncore.nn.parameter import Parameter

if TYPE_CHECKING:
    from nncore.nn.module import Module


class LoadResult(NamedTuple):
    """What `load_state_dict` did not find in one of the two."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def _named(module: "Module") -> Iterator[tuple[str, Parameter]]:
    """Every parameter by every name: a shared one has several, and PyTorch writes all of them."""
    for path, part in module._paths():
        for name, parameter in part._own(Parameter):
            yield (f"{path}.{name}" if path else name), parameter


def state_dict(module: "Module") -> dict[str, Array]:
    return {name: parameter.data.copy() for name, parameter in _named(module)}


def load_state_dict(module: "Module", given: Mapping[str, Any], strict: bool) -> LoadResult:
    layer = type(module).__name__
    if not isinstance(given, Mapping):
        raise TypeError(f"{layer}: state_dict must be a mapping, got {type(given).__name__}")
    own = dict(_named(module))
    missing = [name for name in own if name not in given]
    unexpected = [str(name) for name in given if name not in own]
    faults: list[str] = []
    if strict:
        faults += [f"{name} is missing" for name in missing]
        faults += [f"{name} is unexpected" for name in unexpected]
    only_dtypes = not faults
    staged: list[tuple[Parameter, Array]] = []
    for name, parameter in own.items():
        if name not in given:
            continue
        try:
            array = value(given[name], parameter.dtype, layer, name)
        except TypeError as error:
            faults.append(str(error).removeprefix(f"{layer}: "))
            continue
        if array.shape != parameter.shape:
            faults.append(f"{name} has shape {array.shape}, expected {parameter.shape}")
            only_dtypes = False
            continue
        # A copy: the values may be views of the very parameters that are written next.
        staged.append((parameter, np.array(array)))
    if faults:
        message = f"{layer}: state_dict does not fit, nothing was loaded: " + "; ".join(faults)
        raise TypeError(message) if only_dtypes else ValueError(message)
    for parameter, array in staged:
        parameter.data[...] = array
    return LoadResult(missing, unexpected)
