"""Containers whose modules read the same input."""

from typing import Any

from nncore.nn.elementary import concatenate
from nncore.nn.listed import Listed
from nncore.nn.module import Module


class Residual(Module):
    """A body and a way around it: y = body(x) + shortcut(x).

    Parameters
    ----------
    body : Module
        Part "body" of the names of parameters.
    shortcut : Module, optional
        Part "shortcut". Default: x as it is. Where the body changes the shape, a shortcut must
        change it likewise, a convolution of 1x1 for instance.

    Raises
    ------
    TypeError, ValueError
        At construction: one of them is no Module. At a call: they differ in the shape of their
        outputs.

    Notes
    -----
    Shapes are those of the body. Source: He, Zhang, Ren and Sun, "Deep residual learning for image
    recognition" (2016).
    """

    def __init__(self, body: Module, shortcut: Module | None = None) -> None:
        for name, module in (("body", body), ("shortcut", shortcut)):
            if not isinstance(module, Module) and (name == "body" or module is not None):
                raise TypeError(f"Residual: {name} must be a Module, got {type(module).__name__}")
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Any) -> Any:
        y = self.body(x)
        around = x if self.shortcut is None else self.shortcut(x)
        if y.shape != around.shape:
            raise ValueError(
                f"Residual: body makes {y.shape} of {x.shape}, the shortcut {around.shape}:"
                " expected equal shapes"
            )
        return y + around


class Concat(Listed):
    """Branches side by side, their outputs one after the other along the channels (axis 1).

    y = concatenate(branch_1(x), ..., branch_n(x)).

    Parameters
    ----------
    *branches : Module
        Named "0", "1", ...; or one ordered mapping from names to branches.

    Raises
    ------
    TypeError, ValueError
        At construction: there is no branch, or one is no Module. At a call: their outputs differ in
        more than the channels.

    Notes
    -----
    Shapes: each branch (N, C_i, ...), y (N, sum of C_i, ...). As a list it has what `Sequential`
    has. Source: Szegedy et al., "Going deeper with convolutions" (2015).
    """

    def __init__(self, *branches: Any) -> None:
        super().__init__(*branches)
        if len(self) == 0:
            raise ValueError("Concat: no branch, expected at least one")

    def forward(self, x: Any) -> Any:
        return concatenate([branch(x) for branch in self], axis=1)
