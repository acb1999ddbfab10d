"""Arguments of `Trainer`, checked before anything is changed."""

import inspect
from typing import Any, NamedTuple

import numpy as np

from nncore.losses import CrossEntropyLoss
from nncore.nn.arrays import Array
from nncore.nn.container import Sequential
from nncore.nn.embedding import Embedding
from nncore.nn.module import Module
from nncore.nn.recording import no_record
from nncore.training.samples import Samples


def parts(model: Any, loss_fn: Any, optimizer: Any) -> None:
    """Whether the three belong together."""
    if not isinstance(model, Module):
        raise TypeError(f"Trainer: model must be a Module, got {_kind(model)}")
    if isinstance(loss_fn, type) or not callable(loss_fn) or not hasattr(loss_fn, "backward"):
        raise TypeError(f"Trainer: loss_fn must be a loss function, got {_kind(loss_fn)}")
    if getattr(loss_fn, "reduction", None) == "none":
        raise ValueError(
            f"Trainer: {type(loss_fn).__name__} with reduction='none' gives no one number to train"
            " on, expected 'mean' or 'sum'; fit(sample_weight=) weighs samples"
        )
    if optimizer is None:
        return
    if isinstance(optimizer, type) or not hasattr(optimizer, "step"):
        raise TypeError(f"Trainer: optimizer must be an Optimizer, got {_kind(optimizer)}")
    own = {id(parameter) for parameter in model.parameters()}
    groups = getattr(optimizer, "param_groups", [])
    if groups and not any(
        id(parameter) in own for group in groups for parameter in group["params"]
    ):
        raise ValueError(
            "Trainer: optimizer holds none of the model's parameters: make it from"
            " model.parameters() of this very model (copies and astype() have others)"
        )


def held(function: str, model: Module, optimizer: Any) -> None:
    """Whether the optimizer was made before a layer was replaced: the new one would not learn."""
    groups = getattr(optimizer, "param_groups", [])
    taken = {id(parameter) for group in groups for parameter in group["params"]}
    own = {id(parameter): name for name, parameter in model.named_parameters()}
    missing = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in taken]
    if missing and taken - own.keys():
        raise ValueError(
            f"{function}: the optimizer does not hold {', '.join(missing)}, but parameters that"
            " are not the model's: after a layer is replaced, make a new optimizer"
        )


def _kind(given: Any) -> str:
    """What was given, in words: a class is a common slip."""
    if isinstance(given, type):
        return f"the class {given.__name__}: write {given.__name__}(...), an object"
    return type(given).__name__


def pair(function: str, name: str, given: Any) -> tuple[Any, Any]:
    """(x, y)."""
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        found = (
            f"{len(given)} of them" if isinstance(given, (tuple, list)) else type(given).__name__
        )
        raise TypeError(f"{function}: {name} must be a pair (x, y), got {found}")
    return given[0], given[1]


class Schedule(NamedTuple):
    """When a scheduler steps, and whether it takes a value then."""

    interval: str
    takes_value: bool


def schedule(scheduler: Any, interval: Any, optimizer: Any) -> Schedule:
    """When the scheduler steps, and whether it takes a value then."""
    if interval not in ("epoch", "batch"):
        raise ValueError(
            f"Trainer: scheduler_interval must be 'epoch' or 'batch', got {interval!r}"
        )
    if scheduler is None:
        return Schedule(interval, False)
    if isinstance(scheduler, type) or not hasattr(scheduler, "step"):
        raise TypeError(f"Trainer: scheduler must have a method step, got {_kind(scheduler)}")
    own = getattr(scheduler, "optimizer", optimizer)
    if own is not optimizer:
        raise ValueError("Trainer: scheduler is of another optimizer than the trainer's")
    wanted = [
        parameter
        for parameter in inspect.signature(scheduler.step).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if wanted and interval == "batch":
        raise ValueError(
            f"Trainer: {type(scheduler).__name__} takes a value of each epoch: it cannot step by"
            " batch"
        )
    return Schedule(interval, bool(wanted))


def verbosity(function: str, verbose: Any) -> int:
    """0, 1 or 2; True is 1."""
    if not isinstance(verbose, (int, np.integer)):
        raise TypeError(f"{function}: verbose must be 0, 1 or 2, got {verbose!r}")
    if not 0 <= verbose <= 2:
        raise ValueError(f"{function}: verbose must be 0, 1 or 2, got {verbose}")
    return int(verbose)


def indices(function: str, model: Module, x: Array) -> None:
    """The range of all indices, where the first layer looks them up, as of labels."""
    layer = model
    while isinstance(layer, Sequential) and len(layer) > 0:
        layer = next(iter(layer))
    if isinstance(layer, Embedding):
        wrong = np.argwhere((x < 0) | (x >= layer.num_embeddings))
        if len(wrong):
            where = ", ".join(str(index) for index in wrong[0])
            raise IndexError(
                f"{function}: x[{where}] is {x[tuple(wrong[0])]}, expected an index from 0 to"
                f" {layer.num_embeddings - 1}"
            )


def target(function: str, loss_fn: Any, output: Array, data: Samples) -> None:
    """Whether the loss takes the targets beside the model's output for the first sample."""
    if isinstance(loss_fn, CrossEntropyLoss):
        _labels(function, output, data.y, loss_fn.ignore_index)
    with no_record():
        loss_fn(output, data.y[:1])


def _labels(function: str, output: Array, y: Array, ignored: int) -> None:
    """The range of all labels: one found in the middle of an epoch would come too late."""
    if y.dtype.kind not in "iu" or output.ndim != y.ndim + 1:
        return  # the loss says it
    classes = output.shape[1]
    wrong = np.flatnonzero(((y < 0) | (y >= classes)) & (y != ignored))
    if wrong.size:
        row = np.unravel_index(int(wrong[0]), y.shape)
        where = ", ".join(str(index) for index in row)
        raise IndexError(
            f"{function}: y[{where}] is {y[row]}, expected a label from 0 to {classes - 1},"
            f" as the model has {classes} outputs"
        )
