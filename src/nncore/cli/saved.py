"""What `nncore train --save` wrote, as a network and its data."""

import os
from typing import NamedTuple

from nncore import io, nn
from nncore.cli import datasets, networks
from nncore.cli.choices import LOSSES
from nncore.cli.datasets import Data, Scale
from nncore.cli.errors import UserError, one_line, users
from nncore.cli.networks import Shape
from nncore.cli.recipes import RECIPES

_SMALL = 2**20  # numbers; memory for so many is of no concern


class Saved(NamedTuple):
    """A loaded network, and what its file says about it."""

    file: str
    network: str
    model: nn.Sequential
    sample: Shape
    outputs: int
    loss: str
    data: str  # that it was trained on
    scale: Scale | None


def load(file: str | os.PathLike[str]) -> Saved:
    """Rebuild the network that a file names, and load it."""
    with users(OSError, ValueError, ImportError):
        weights = io.load_weights(file)
    notes = weights.metadata
    network = notes.get("network", "")
    if not network:
        raise UserError(
            f"{file}: does not say what network it holds, expected a file that"
            " `nncore train --save` wrote"
        )
    try:
        sample, outputs = _shape(network, notes)
        loss = notes.get("loss", LOSSES[0])
        if loss not in LOSSES:
            raise ValueError(f"was trained with the loss {loss!r}, expected {' or '.join(LOSSES)}")
        scale = datasets.from_text(notes)
        if scale is not None and scale.mean.shape != sample:
            raise ValueError("its mean and std are not of its samples")
        _check_size(weights, network, sample, outputs)
        model = networks.build(network, sample, outputs)
        model.load_state_dict(weights.state_dict)
    except (ValueError, TypeError) as error:
        raise UserError(f"{file}: {one_line(error)}") from None
    except UserError as error:
        raise UserError(f"{file}: holds the network {network!r}: {error}") from None
    model.eval()
    return Saved(
        os.fspath(file), network, model, sample, outputs, loss, notes.get("data", ""), scale
    )


def data_of(found: Saved, name: str | None) -> Data:
    """The data that a network was trained on, or those of `name`, where they fit."""
    name = name or found.data
    known = name in RECIPES or name.endswith(datasets.SUFFIXES)
    if not known and name == found.data:
        raise UserError(f"{found.file}: was trained on {name!r}: choose with --data")
    data = datasets.load(name, scale=found.scale)
    if data.sample != found.sample:
        raise UserError(
            f"{found.file}: the network {found.network} takes samples of shape {found.sample},"
            f" those of {name} have {data.sample}"
        )
    if found.loss == "cross-entropy" and not (data.classes and data.classes <= found.outputs):
        raise UserError(
            f"{found.file}: the network {found.network} tells {found.outputs} classes apart,"
            f" {name} has {data.classes or 'no'} classes"
        )
    return data


def _shape(network: str, notes: dict[str, str]) -> tuple[Shape, int]:
    """Of one sample, and the number of outputs."""
    if "input" not in notes and network in networks.FIRST_SAMPLES:
        return networks.FIRST_SAMPLES[network], 10
    try:
        sample = tuple(int(size) for size in notes.get("input", "").split(","))
        outputs = int(notes.get("outputs", ""))
    except ValueError:
        sample, outputs = (), 0
    if not sample or min(sample) < 1 or outputs < 1:
        raise ValueError(
            f"holds the network {network!r}, but does not say for what samples, expected a file"
            " that `nncore train --save` wrote"
        )
    return sample, outputs


def _check_size(weights: io.Weights, network: str, sample: Shape, outputs: int) -> None:
    """Refuse a file that announces far more than it holds, before memory is taken for it."""
    held = sum(array.size for array in weights.state_dict.values())
    needed = networks.numbers(network, sample, outputs)
    if needed > 64 * max(held, _SMALL):
        raise ValueError(f"holds {held} numbers, the network {network!r} needs {needed}")
