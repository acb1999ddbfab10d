"""What all optimisers share: parameter groups, and one engine call a step for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypedDict, Unpack

from nncore._core import engine
from nncore.nn import structure
from nncore.nn.arrays import Array, zeros
from nncore.nn.module import Module
from nncore.nn.parameter import Parameter, ParameterIterator
from nncore.optim import state
from nncore.optim.checks import betas, flag, limit, number

Group = dict[str, Any]
# Of an optimiser's numbers those that are on or off; betas are two, all others one of at least 0.
FLAGS = ("amsgrad", "centered", "maximize", "nesterov")


class Options(TypedDict, total=False):
    """What every optimiser takes besides its numbers: see `Optimizer`."""

    max_grad_norm: float | None
    max_grad_value: float | None
    error_if_nonfinite: bool


class Run(NamedTuple):
    """What the engine updates in one call: of one group, one dtype, equally many steps done."""

    update: engine.Update
    parameters: list[Parameter]


class Optimizer(engine.Planned):
    """The base of optimisers.

    `param_groups` is a list of dicts with PyTorch's keys. Their numbers are read at each step: a
    schedule only assigns ``group["lr"]``. Frozen parameters (`requires_grad` False) are left out.
    A step is all or nothing: whatever is wrong is found before the first parameter is changed.

    Compiled steps honour the same numbers and these options, which may be changed at any time.

    Parameters
    ----------
    max_grad_norm : float, optional
        Clips by norm: where the norm of all gradients of all groups together is larger, they are
        scaled to it, as by `nncore.nn.utils.clip_grad_norm_`.
    max_grad_value : float, optional
        Clips by value, then: each element lies in [-max_grad_value, max_grad_value]. Both act on
        the gradients as they are read; `Parameter.grad` stays as it is.
    error_if_nonfinite : bool
        Whether NaN or infinity in a gradient is an error, a ValueError that names the parameter.
        Nothing has been changed then.
    """

    # The engine's name of the update rule, and PyTorch's names of all arrays it may need, those
    # first that it always needs.
    _kind: str
    _state_names: tuple[str, ...]

    def __init__(self, params: Any, defaults: dict[str, Any], **options: Unpack[Options]) -> None:
        unknown = options.keys() - Options.__annotations__.keys()
        if unknown:
            raise TypeError(
                f"{self._name}: got unexpected arguments {', '.join(sorted(unknown))}, expected"
                f" {', '.join((*defaults, *Options.__annotations__))}"
            )
        self.max_grad_norm = options.get("max_grad_norm")
        self.max_grad_value = options.get("max_grad_value")
        self.error_if_nonfinite = options.get("error_if_nonfinite", False)
        self.defaults = defaults
        self.param_groups = []
        self._arrays: dict[Parameter, dict[str, Array]] = {}
        self._steps: dict[Parameter, int] = {}
        self._runs: list[list[Run]] = []
        self._built: Any = None
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
        for name in self.defaults:
            if name == "betas":
                betas(self._name, group[name])
            elif name in FLAGS:
                flag(self._name, name, group[name])
            else:
                number(self._name, name, group[name])

    def _hyper(self, group: Group) -> dict[str, Any]:
        """The engine's arguments for a group: its numbers, by name."""
        numbers: dict[str, Any] = {}
        for name in self.defaults:
            if name == "betas":
                numbers["beta1"], numbers["beta2"] = map(float, group[name])
            else:
                numbers[name] = (bool if name in FLAGS else float)(group[name])
        return numbers

    def _needed(self, group: Group) -> tuple[str, ...]:
        """The state arrays that the group needs, in the engine's order."""
        return self._state_names

    def _initial(self, group: Group) -> float:
        """What state arrays are filled with at first."""
        return 0.0

    # ---- options

    @property
    def max_grad_norm(self) -> float | None:
        return self._max_grad_norm

    @max_grad_norm.setter
    def max_grad_norm(self, value: float | None) -> None:
        self._max_grad_norm = limit(self._name, "max_grad_norm", value)
        self._plan = None  # what was configured is out of date

    @property
    def max_grad_value(self) -> float | None:
        return self._max_grad_value

    @max_grad_value.setter
    def max_grad_value(self, value: float | None) -> None:
        self._max_grad_value = limit(self._name, "max_grad_value", value)
        self._plan = None

    @property
    def error_if_nonfinite(self) -> bool:
        return self._error_if_nonfinite

    @error_if_nonfinite.setter
    def error_if_nonfinite(self, value: bool) -> None:
        self._error_if_nonfinite = bool(value)
        self._plan = None

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
            Whether NaN or infinity in a gradient is an error, if the optimiser's option does not
            say so already.

        Raises
        ------
        ValueError
            `error_if_nonfinite`, and a gradient is not finite: names the first such parameter.
        TypeError, ValueError
            A number of a group is out of range. In all cases nothing has been changed.
        """
        updates = self._compiled_updates()
        if error_if_nonfinite and not self.error_if_nonfinite:
            for update in updates:
                at = update.first_nonfinite()
                if at is not None:
                    raise ValueError(
                        f"{self._name}: the gradient of {update.names[at]} must be finite,"
                        " got NaN or infinity"
                    )
        engine.run_updates(updates, self._name)

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
            [(len(group["params"]), self._needed(group)) for group in self.param_groups],
        )
        if built != self._built:
            self._build()
            self._built = built
        updates = []
        for group, runs in zip(self.param_groups, self._runs, strict=True):
            for run in runs:
                run.update.configure(
                    **self._hyper(group),
                    clear_grad=clear_grad,
                    max_norm=self.max_grad_norm or 0.0,
                    max_value=self.max_grad_value or 0.0,
                    finite=self.error_if_nonfinite,
                )
                updates.append(run.update)
        self._plan = engine.Plan(self.param_groups, self.defaults, version, clear_grad, updates)
        return updates

    @property
    def _is_plain(self) -> bool:
        """Whether the update is w - lr g, and that is all: what `nn_update_rule` calls plain."""
        more = ("momentum", "weight_decay", "maximize")
        return (
            self._kind == "sgd"
            and not self.max_grad_value
            and not any(group[name] for group in self.param_groups for name in more)
        )

    def _all_runs(self) -> Iterable[Run]:
        return (run for runs in self._runs for run in runs)

    def _build(self) -> None:
        """Sort the parameters into engine updates; state arrays and steps done go with them."""
        self._read_steps()
        self._runs = [self._runs_of(group) for group in self.param_groups]

    def _runs_of(self, group: Group) -> list[Run]:
        needed = self._needed(group)
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
                [parameter._grad for parameter in parameters],
                [self._arrays_of(parameter, needed, group) for parameter in parameters],
                [name for name, _ in pairs],
            )
            update.steps = steps
            runs.append(Run(update, parameters))
        return runs

    def _arrays_of(self, parameter: Parameter, names: Iterable[str], group: Group) -> list[Array]:
        """State arrays of a parameter: made when first needed, the same objects ever after."""
        arrays = []
        for name in names:
            own = self._arrays.setdefault(parameter, {})
            if name not in own:
                own[name] = zeros(parameter.shape, parameter.dtype, self._name)
                own[name][...] = self._initial(group)
            arrays.append(own[name])
        return arrays

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

    def __getstate__(self) -> tuple[dict[str, Any], dict[str, Any]]:
        self._read_steps()
        return {**self.__dict__, "_runs": [], "_built": None}, {"param_groups": self.param_groups}

    def __repr__(self) -> str:
        lines = []
        for at, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {at}")
            lines += [f"    {name}: {group[name]}" for name in sorted(self.defaults)]
        return f"{self._name} (\n" + "\n".join(lines) + "\n)"
