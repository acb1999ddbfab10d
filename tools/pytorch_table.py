"""Prints docs/pytorch-modules.md: which of PyTorch's modules nncore has, and with which options.

Usage: python tools/pytorch_table.py >docs/pytorch-modules.md    (needs PyTorch; a test compares)
"""

import inspect

from nncore import nn, optim
from nncore.optim import lr_scheduler

# Options that say where or how PyTorch computes, or that it keeps for old programs.
_LEFT_OUT = {"self", "device", "dtype", "inplace", "size_average", "reduce", "args", "kwargs"}
_LEFT_OUT |= {"min_value", "max_value", "_weight", "_freeze", "foreach", "capturable", "fused"}
_LEFT_OUT |= {"differentiable", "verbose", "decoupled_weight_decay"}
_LEFT_OUT |= {"params", "defaults", "options", "optimizer"}  # what all of a kind have

# What is the same by name and yet differs.
_DIFFERENCES = {
    "BatchNorm1d": "`freeze()` freezes the statistics as well",
    "BatchNorm2d": "`freeze()` freezes the statistics as well",
    "CELU": "alpha must be positive",
    "Conv1d": "`padding_mode` is 'zeros'",
    "Conv2d": "`padding_mode` is 'zeros'",
    "ConvTranspose2d": "`padding_mode` is 'zeros'",
    "Dropout": "the mask depends on seed, name, call and element alone",
    "Dropout2d": "the mask depends on seed, name, call and element alone",
    "Embedding": "options after `padding_idx` at their defaults; compiled, x is (N) or (N, length)",
    "L1Loss": "the gradient at NaN is NaN",
    "MSELoss": "shapes must be equal: nothing is broadcast",
    "MaxPool1d": "padding up to half the dilated window",
    "MaxPool2d": "padding up to half the dilated window",
    "Mish": "-0 at minus infinity, where PyTorch has NaN",
    "Module": "backward is a method; a class with `forward` is traced",
    "Parameter": "`grad` is always an array",
}

_HEAD = """\
# PyTorch's modules in nncore

Printed by `python tools/pytorch_table.py`; a test holds it true. Names, positions and defaults of
options are PyTorch's; tests compare values, gradients and errors. Left out everywhere are options
that say where PyTorch computes (`device`, `inplace`, `fused`, ...) or that it keeps for old
programs; `dtype` is float32 or float64.
"""


def table() -> str:
    """The whole page."""
    import torch

    pairs = [
        ("Modules and losses", nn, torch.nn),
        ("Optimisers", optim, torch.optim),
        ("Schedules", lr_scheduler, torch.optim.lr_scheduler),
    ]
    parts = [_HEAD]
    for title, ours, theirs in pairs:
        parts.append(f"## {title}\n\n| | options | not here | differs |\n|:--|:--|:--|:--|")
        for name in sorted(ours.__all__):
            own, other = getattr(ours, name), getattr(theirs, name, None)
            if inspect.isclass(own):
                parts[-1] += "\n" + _row(name, own, other)
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _row(name: str, own: type, other: type | None) -> str:
    ours = _options(own)
    if other is None:
        return f"| {name} | {_listed(ours)} | | nncore's own |"
    missing = [option for option in _options(other) if option not in ours]
    return f"| {name} | {_listed(ours)} | {_listed(missing)} | {_DIFFERENCES.get(name, '')} |"


def _options(kind: type) -> list[str]:
    names = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    return [name for name in names if name not in _LEFT_OUT]


def _listed(names: list[str]) -> str:
    return ", ".join(names)


if __name__ == "__main__":
    print(table(), end="")
