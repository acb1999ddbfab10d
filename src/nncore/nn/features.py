"""The features of a frozen body, computed once."""

from typing import Any

import numpy as np

from nncore.nn.arguments import integer
from nncore.nn.arrays import Array
from nncore.nn.module import Module
from nncore.nn.recording import no_record


def features(body: Module, x: Any, batch_size: int = 256) -> Array:
    """What a body makes of all samples, computed once, so that a head can be trained on it.

    In eval mode, which dropout and normalisation heed; nothing is recorded, and the modes are as
    they were afterwards. Good for as long as the body is not trained.

    Parameters
    ----------
    body : Module
        Often all layers but the last, ``model[:-1]``.
    x : array_like
        Inputs, one row a sample.
    batch_size : int
        Samples at a time.

    Returns
    -------
    array
        One row a sample, in the dtype of the body.

    Raises
    ------
    TypeError, ValueError
        An argument is of another kind or out of range; x does not fit the body.

    Examples
    --------
    >>> body, head = model[:-1], nn.Linear(600, 5)
    >>> trainer = nc.Trainer(head, nn.CrossEntropyLoss(), optim.Adam(head.parameters()))
    >>> trainer.fit(nn.utils.features(body, x), y, epochs=20)
    >>> model[-1] = head
    """
    if not isinstance(body, Module):
        raise TypeError(f"features: body must be a Module, got {type(body).__name__}")
    size = integer("features", "batch_size", batch_size, 1)
    rows = body._input(x)
    if rows.ndim == 0:
        raise ValueError("features: x is a single number, expected a batch")
    modes = [(module, module.training) for module in body.modules() if module.training]
    try:
        body.eval()
        with no_record():
            first = body(rows[:size])
            if not isinstance(first, np.ndarray):
                raise TypeError("features: body has several outputs, expected one")
            outputs = np.empty((len(rows), *first.shape[1:]), first.dtype)
            outputs[:size] = first
            for start in range(size, len(rows), size):
                outputs[start : start + size] = body(rows[start : start + size])
    finally:
        for module, training in modes:
            module.training = training
    return outputs
