"""The table of a model's layers: what comes out of each, what it holds, what it costs."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nncore.nn import arguments

if TYPE_CHECKING:
    from nncore.nn.module import Module

_HEAD = ("Layer", "Output shape", "Parameters", "Multiply-adds")


class Row(NamedTuple):
    """One layer, as it is used once."""

    name: str
    kind: str
    output_shape: tuple[int, ...]  # of one sample
    module: Any  # a Module, or what else holds parameters
    multiply_adds: int  # of the forward of one sample

    @property
    def parameters(self) -> int:
        """The number of parameters of the layer, each array counted once."""
        sizes: list[int] = [parameter.size for parameter in self.module.parameters()]
        return sum(sizes)


@dataclass
class Summary:
    """What `Module.summary` returns; ``print`` it."""

    rows: list[Row]
    parameters: int
    trainable: int
    multiply_adds: int = field(init=False)

    def __post_init__(self) -> None:
        self.multiply_adds = sum(row.multiply_adds for row in self.rows)

    def __str__(self) -> str:
        table = [_HEAD]
        for row in self.rows:
            shape = "(" + ", ".join(["N", *map(str, row.output_shape)]) + ")"
            label = f"{row.name} {row.kind}" if row.name else row.kind
            table.append((label, shape, f"{row.parameters:,}", f"{row.multiply_adds:,}"))
        table.append(("Total", "", f"{self.parameters:,}", f"{self.multiply_adds:,}"))
        widths = [max(len(line[column]) for line in table) for column in range(4)]
        lines = [
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}"
            for a, b, c, d in table
        ]
        rule = "-" * len(lines[0])
        lines[1:1] = [rule]
        lines[-1:-1] = [rule]
        if self.trainable != self.parameters:
            lines.append(f"Trainable parameters: {self.trainable:,}")
        return "\n".join(lines)

    __repr__ = __str__


def summarise(module: "Module", input_shape: tuple[int, ...]) -> Summary:
    layer = f"{type(module).__name__}.summary"
    if not isinstance(input_shape, (tuple, list)):
        raise TypeError(
            f"{layer}: input_shape must be the shape of one sample, a tuple, got {input_shape!r}"
        )
    sizes = [arguments.integer(layer, "input_shape", size, 0) for size in input_shape]
    # An empty batch runs through every layer and costs nothing.
    x = np.zeros((0, *sizes), dtype=module.dtype or np.float32)
    rows, _ = module._rows("", x)
    parameters = list(module.parameters())
    return Summary(
        rows,
        sum(parameter.size for parameter in parameters),
        sum(parameter.size for parameter in parameters if parameter.requires_grad),
    )
