"""What all optimisers share: parameter groups, and one engine call a step for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nncore._core import engine
from nncore.nn import structure
from nncore.nn.arrays import Array, zeros
from nncore.nn.module import Module
from nncore.nn.parameter import Parameter, ParameterIterator
from nncore.optim import state

Group = dict[str, Any]


class Run(NamedTuple):
    """What the engine updates in one call: of one group, one dtype, equally many steps done."""

    update: engine.Update
    names: list[str]
    parameters: list[Parameter]


class Optimizer:
    """The base of optimisers.

    `param_groups` is a list of dicts with PyTorch's keys. Their numbers are read at each step: a
    schedule only assigns ``group["lr"]``. Frozen parameters (`requires_grad` False) are left out.
    A step is all or nothing: whatever is wrong is found before the first parameter is changed.
    """

    # The engine's name of the update rule, and PyTorch's names of its state arrays.
    _kind: str
    _state_names: tuple[str, ...]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self._arrays: dict[Parameter, tuple[Array, ...]] = {}
        self._steps: dict[Parameter, int] = {}
        self._runs: list[list[Run]] = []
        self._built: Any = None
        # The last answer of _compiled_updates, and what it was the answer to.
        self._plan: engine.Plan | None = None
        for group in self._groups_of(params):
            self.add_param_group(group)
        if not any(group["params"] for group in self.param_groups):
            raise ValueError(f"{self._name}: params is empty, expected parameters to train")

    @property
    def _name(self) -> str:
        return type(self).__name__

    # ---- what each optimiser defines

    def _check(self, group: Group) -> None:
        """Raises unless the numbers of a group are in range."""
        raise NotImplementedError

    def _hyper(self, group: Group) -> dict[str, Any]:
        """The engine's arguments for a group."""
        raise NotImplementedError

    def _state_count(self, group: Group) -> int:
        """How many of the state arrays the group needs."""
        return len(self._state_names)

    # ---- groups

    def _groups_of(self, params: Any) -> list[Group]:
        if isinstance(params, Module):
            raise TypeError(
                f"{self._name}: params must be parameters, got a {type(params).__name__}:"
                f" write {self._name}(model.parameters())"
            )
        if isinstance(params, (Parameter, Mapping)) or not isinstance(params, Iterable):
            raise TypeError(
                f"{self._name}: params must be an iterable of Parameters,"
                f" got {type(params).__name__}"
            )
        if isinstance(params, ParameterIterator):
            return [{"params": params}]
        listed = list(params)
        if listed and all(isinstance(group, Mapping) for group in listed):
            return [dict(group) for group in listed]
        return [{"params": listed}]

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with numbers of their own.

        Parameters
        ----------
        param_group : mapping
            "params", and any of the optimiser's numbers; the constructor's stand for the others.

        Raises
        ------
        TypeError, ValueError
            Something is no parameter, a number is out of range, or a parameter is there already.
        """
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError(
                f"{self._name}: a parameter group must be a dict with 'params', got {param_group!r}"
            )
        group = {**self.defaults, **param_group}
        unknown = [name for name in group if name not in self.defaults and name != "params"]
        if unknown:
            raise ValueError(
                f"{self._name}: a parameter group has unknown keys {', '.join(map(str, unknown))},"
                f" expected {', '.join(self.defaults)}"
            )
        pairs = self._named(group["params"])
        self._check(group)
        taken = {parameter for other in self.param_groups for parameter in other["params"]}
        for name, parameter in pairs:
            if parameter in taken:
                raise ValueError(f"{self._name}: parameter {name} is in the optimizer twice")
            taken.add(parameter)
        group["params"] = [parameter for _, parameter in pairs]
        group["param_names"] = [name for name, _ in pairs]
        self.param_groups.append(group)
        self._built = self._plan = None

    def _named(self, params: Any) -> list[tuple[str, Parameter]]:
        """Parameters with the names that messages use: theirs where known, else their places."""
        listed: list[Any]
        if isinstance(params, ParameterIterator):
            listed = list(params.named())
        else:
            listed = [params] if isinstance(params, Parameter) else list(params)
        at = len(self.param_groups)
        pairs: list[tuple[str, Parameter]] = []
        for i, entry in enumerate(listed):
            pair = isinstance(entry, tuple) and len(entry) == 2
            name, parameter = entry if pair else (f"param_groups[{at}]['params'][{i}]", entry)
            if not isinstance(parameter, Parameter):
                raise TypeError(
                    f"{self._name}: {name} must be a Parameter, got {type(parameter).__name__}"
                )
            pairs.append((str(name), parameter))
        return pairs

    # ---- stepping

    def step(self, *, error_if_nonfinite: bool = False) -> None:
        """Update all parameters that are not frozen, by their gradients.

        Parameters
        ----------
        error_if_nonfinite : bool
            Whether NaN or infinity in a gradient is an error.

        Raises
        ------
        ValueError
            `error_if_nonfinite`, and a gradient is not finite: names the first such parameter.
        TypeError, ValueError
            A number of a group is out of range. In all cases nothing has been changed.
        """
        updates = self._compiled_updates()
        if error_if_nonfinite:
            for run in self._all_runs():
                at = run.update.first_nonfinite()
                if at is not None:
                    raise ValueError(
                        f"{self._name}: the gradient of {run.names[at]} must be finite,"
                        " got NaN or infinity"
                    )
        for update in updates:
            update.run()

    def zero_grad(self) -> None:
        """Fill the gradients of all parameters with zeros."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.zero_grad()

    def _compiled_updates(self, clear_grad: bool = False) -> list[engine.Update]:
        """The engine's updates, numbers checked and set: what a step runs, by hand or compiled."""
        version = structure.version()
        if self._plan is not None and self._plan.holds(self.param_groups, version, clear_grad):
            return self._plan.updates
        self._plan = None
        for group in self.param_groups:
            self._check(group)
        built = (
            version,
            [(len(group["params"]), self._state_count(group)) for group in self.param_groups],
        )
        if built != self._built:
            self._build()
            self._built = built
        updates = []
        for group, runs in zip(self.param_groups, self._runs, strict=True):
            for run in runs:
                run.update.configure(**self._hyper(group), clear_grad=clear_grad)
                updates.append(run.update)
        self._plan = engine.Plan(self.param_groups, self.defaults, version, clear_grad, updates)
        return updates

    def _all_runs(self) -> Iterable[Run]:
        return (run for runs in self._runs for run in runs)

    def _build(self) -> None:
        """Sort the parameters into engine updates; state arrays and steps done go with them."""
        self._read_steps()
        self._runs = [self._runs_of(group) for group in self.param_groups]

    def _runs_of(self, group: Group) -> list[Run]:
        count = self._state_count(group)
        alike: dict[Any, list[tuple[str, Parameter]]] = {}
        for name, parameter in zip(group["param_names"], group["params"], strict=True):
            if parameter.requires_grad:
                # State arrays begin with their first step, which may follow steps without them.
                begun = parameter in self._arrays
                key = parameter.dtype, self._steps.get(parameter, 0) if begun else 0
                alike.setdefault(key, []).append((name, parameter))
        runs = []
        for (_, steps), pairs in alike.items():
            parameters = [parameter for _, parameter in pairs]
            update = engine.Update(
                self._kind,
                [parameter.data for parameter in parameters],
                [parameter.grad for parameter in parameters],
                [self._arrays_of(parameter, count) for parameter in parameters],
            )
            update.steps = steps
            runs.append(Run(update, [name for name, _ in pairs], parameters))
        return runs

    def _arrays_of(self, parameter: Parameter, count: int) -> tuple[Array, ...]:
        """The state arrays of a parameter: made when first needed, the same objects ever after."""
        arrays = self._arrays.get(parameter, ())
        while len(arrays) < count:
            arrays += (zeros(parameter.shape, parameter.dtype, self._name),)
        if arrays:
            self._arrays[parameter] = arrays
        return arrays[:count]

    def _read_steps(self) -> None:
        """Take over the steps done from the engine's updates, which count them."""
        for run in self._all_runs():
            for parameter in run.parameters:
                self._steps[parameter] = run.update.steps

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """State and numbers as copies, in PyTorch's form: {"state": ..., "param_groups": ...}.

        Parameters are numbered through all groups.
        """
        self._read_steps()
        return state.state_dict(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over state and numbers from `state_dict`, PyTorch's or ours; all or nothing.

        Raises
        ------
        TypeError, ValueError
            Groups, shapes or numbers do not fit; the message lists what, and nothing has been
            changed.
        """
        self._read_steps()
        state.load_state_dict(self, state_dict)
        self._runs, self._built, self._plan = [], None, None

    def __getstate__(self) -> dict[str, Any]:
        self._read_steps()
        return {**self.__dict__, "_runs": [], "_built": None, "_plan": None}

    def __repr__(self) -> str:
        lines = []
        for at, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {at}")
            lines += [f"    {name}: {group[name]}" for name in sorted(self.defaults)]
        return f"{self._name} (\n" + "\n".join(lines) + "\n)"
