"""What a module is made of, found once for each structure: models are walked at every call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncore.nn import structure
from nncore.nn.parameter import Parameter

if TYPE_CHECKING:
    from nncore.nn.module import Module

KEPT = ("_modules_seen", "_parameters_seen")  # attributes of the root


def modules(root: Module) -> list[tuple[str, Module]]:
    """All modules within it with their names, each once, by the first of its names."""
    version, kept = structure.version(), root.__dict__.get("_modules_seen")
    if kept is not None and kept[0] == version:
        return kept[1]  # type: ignore[no-any-return]
    found = {id(root): ("", root)}
    for name, module in root._paths():
        found.setdefault(id(module), (name, module))
    within = list(found.values())[1:]  # without itself: it would keep itself alive
    root.__dict__["_modules_seen"] = (version, within)
    return within


def parameters(root: Module) -> list[tuple[str, Parameter]]:
    """The same of its parameters."""
    version, kept = structure.version(), root.__dict__.get("_parameters_seen")
    if kept is not None and kept[0] == version:
        return kept[1]  # type: ignore[no-any-return]
    found: dict[int, tuple[str, Parameter]] = {}
    for path, module in [("", root), *modules(root)]:
        for name, parameter in module._own(Parameter):
            found.setdefault(id(parameter), (join(path, name), parameter))
    within = list(found.values())
    root.__dict__["_parameters_seen"] = (version, within)
    return within


def heed_modes(root: Module) -> None:
    """Modes of all within are structure from now on: a `forward` of one's own may ask for them."""
    for _, module in modules(root):
        module.__dict__["_reads_mode"] = True


def join(prefix: str, name: str) -> str:
    """The name of a part: "body", "weight" -> "body.weight"."""
    return f"{prefix}.{name}" if prefix else name
