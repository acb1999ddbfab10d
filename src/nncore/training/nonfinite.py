"""Where a loss that is not finite comes from: the sample, and the first layer that shows it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore.nn.arrays import Array
from nncore.nn.module import Module
from nncore.nn.recording import no_record
from nncore.training.samples import Samples

_ADVICE = "often the learning rate is too large, or the data hold NaN or infinity"


def describe(model: Module, batch: Samples, rows: NDArray[np.int64] | None) -> str:
    """What is not finite in this batch, in words."""
    if (at := _first_bad(batch.x)) is not None:
        return f"x of {_sample(at, rows)} holds NaN or infinity"
    if batch.y.dtype.kind == "f" and (at := _first_bad(batch.y)) is not None:
        return f"y of {_sample(at, rows)} holds NaN or infinity"
    for name, parameter in model.named_parameters():
        if not np.isfinite(parameter.data).all():
            return f"the parameter {name} holds NaN or infinity: {_ADVICE}"
    found: list[str] = []

    def note(name: str, y: Array) -> None:
        # Looked at now: a later layer may write over it.
        if not found and len(y) == len(batch) and (at := _first_bad(y)) is not None:
            found.append(f"the output of {name} is not finite for {_sample(at, rows)}")

    with _watched(model, note), no_record(), np.errstate(all="ignore"):
        try:
            model(batch.x)
        except Exception as error:  # whatever a layer of the user's own says to such numbers
            found.append(f"the batch again gives {type(error).__name__}")
    return f"{found[0] if found else 'outputs are finite, the loss of them is not'}: {_ADVICE}"


def _first_bad(array: Array) -> int | None:
    """The first row that holds something not finite."""
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    return int(bad.argmax()) if bad.any() else None


def _sample(at: int, rows: NDArray[np.int64] | None) -> str:
    return f"sample {at} of the batch" if rows is None else f"sample {int(rows[at])}"


@contextmanager
def _watched(model: Module, note: Callable[[str, Array], Any]) -> Iterator[None]:
    """Within, `note` gets name and output of each layer that is computed; in eval mode."""
    modes = [(module, module.training) for module in model.modules()]
    layers = [
        (f"{type(module).__name__} ({name})" if name else type(module).__name__, module)
        for name, module in model.named_modules()
        if next(module.children(), None) is None
    ]
    try:
        model.eval()
        for label, layer in layers:
            # Past __setattr__: it is not the structure of the model that changes.
            layer.__dict__["_forward_only"] = _noting(layer._forward_only, label, note)
        yield
    finally:
        for _, layer in layers:
            layer.__dict__.pop("_forward_only", None)
        for module, training in modes:
            if module.training != training:
                module.training = training


def _noting(
    forward: Callable[[Array], Array], label: str, note: Callable[[str, Array], Any]
) -> Callable[[Array], Array]:
    def wrapped(x: Array) -> Array:
        y = forward(x)
        note(label, y)
        return y

    return wrapped
