"""State of optimisers in PyTorch's form: taken as copies, loaded all or nothing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nncore.nn.arrays import Array, value
from nncore.nn.parameter import Parameter

if TYPE_CHECKING:
    from nncore.optim.optimizer import Group, Optimizer

# What a schedule leaves in a group, to begin from when it is resumed.
_KEPT = "initial_lr"


def state_dict(optimizer: "Optimizer") -> dict[str, Any]:
    entries: dict[int, dict[str, Any]] = {}
    groups: list[dict[str, Any]] = []
    number = 0
    for group in optimizer.param_groups:
        numbers = []
        for parameter in group["params"]:
            steps = optimizer._steps.get(parameter, 0)
            arrays = optimizer._arrays.get(parameter, {})
            if steps and arrays:
                entry = {name: array.copy() for name, array in arrays.items()}
                entries[number] = {"step": steps, **entry}
            numbers.append(number)
            number += 1
        kept = {key: group[key] for key in (*optimizer.defaults, _KEPT) if key in group}
        groups.append({**kept, "params": numbers})
    return {"state": entries, "param_groups": groups}


def load_state_dict(optimizer: "Optimizer", given: Mapping[str, Any]) -> None:
    name = type(optimizer).__name__
    if not isinstance(given, Mapping) or not {"state", "param_groups"} <= set(given):
        raise TypeError(f"{name}: state_dict must be a mapping with 'state' and 'param_groups'")
    groups, entries = given["param_groups"], given["state"]
    own = optimizer.param_groups
    sizes = [len(group["params"]) for group in own]
    given_sizes = [len(group["params"]) for group in groups]
    if sizes != given_sizes:
        raise ValueError(
            f"{name}: state_dict has groups of {given_sizes} parameters, the optimizer has {sizes}"
        )
    faults: list[str] = []
    numbers = [
        _numbers(optimizer, group, theirs) for group, theirs in zip(own, groups, strict=True)
    ]
    staged: list[tuple[Parameter, int, dict[str, Array], Group]] = []
    for group, theirs, loaded in zip(own, groups, numbers, strict=True):
        needed = optimizer._needed({**group, **loaded})
        for parameter, number in zip(group["params"], theirs["params"], strict=True):
            entry = entries.get(number, {})
            try:
                steps, arrays = _entry(optimizer, parameter, needed, number, entry)
                staged.append((parameter, steps, arrays, group))
            except (TypeError, ValueError) as error:
                faults.append(str(error))
    if faults:
        message = "; ".join(fault.removeprefix(f"{name}: ") for fault in faults)
        raise ValueError(f"{name}: state_dict does not fit, nothing was loaded: {message}")
    # Arrays that are not there yet are made before any is written.
    for parameter, _, arrays, group in staged:
        optimizer._arrays_of(parameter, arrays, group)
    for parameter, steps, arrays, group in staged:
        optimizer._steps[parameter] = steps
        for key, own_array in optimizer._arrays.get(parameter, {}).items():
            own_array[...] = arrays.get(key, optimizer._initial(group))
    for group, theirs in zip(own, numbers, strict=True):
        group.update(theirs)


def _numbers(optimizer: "Optimizer", group: "Group", given: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a given group that the optimiser knows, checked."""
    name = type(optimizer).__name__
    for key, what in given.items():
        # PyTorch's switches that change what is computed, where there is nothing for them here.
        if key in ("amsgrad", "maximize") and what and key not in optimizer.defaults:
            raise ValueError(f"{name}: state_dict has {key}={what!r}, expected False")
    numbers = {key: given[key] for key in (*optimizer.defaults, _KEPT) if key in given}
    optimizer._check({**group, **numbers})
    return numbers


def _entry(
    optimizer: "Optimizer",
    parameter: Parameter,
    needed: tuple[str, ...],
    number: Any,
    entry: Mapping[str, Any],
) -> tuple[int, dict[str, Array]]:
    """The steps done and the state arrays (none yet: no arrays) of one parameter."""
    name = type(optimizer).__name__
    arrays: dict[str, Array] = {}
    for key in optimizer._state_names:
        if entry.get(key) is None:
            continue
        array = value(entry[key], parameter.dtype, name, f"state[{number!r}]['{key}']")
        if array.shape != parameter.shape:
            raise ValueError(
                f"state[{number!r}]['{key}'] has shape {array.shape}, expected {parameter.shape}"
            )
        arrays[key] = array
    if not arrays:
        return 0, {}
    if not set(needed) <= set(arrays):
        raise ValueError(f"state[{number!r}] lacks one of {', '.join(needed)}")
    # PyTorch's SGD counts no steps: that there is a buffer says that there was one.
    steps = float(entry.get("step", 1))
    if not (steps >= 0 and steps.is_integer()):
        raise ValueError(f"state[{number!r}]['step'] must be a whole number, got {steps}")
    return int(steps), arrays
