"""What `nncore train --save` wrote, as a network and its data."""

import os
from typing import NamedTuple

from nncore import io, nn
from nncore.cli.errors import UserError, one_line, users
from nncore.cli.recipes import NETWORKS, RECIPES, Split


class Saved(NamedTuple):
    """A loaded network, and the data to measure it on."""

    network: str
    model: nn.Sequential
    data: str
    split: Split


def load(file: str | os.PathLike[str], data: str | None) -> Saved:
    """Rebuild the network that a file names, load it, and the data it was trained on or `data`."""
    with users(OSError, ValueError, ImportError):
        weights = io.load_weights(file)
    network = weights.metadata.get("network", "")
    if network not in NETWORKS:
        found = (
            f"holds the network {network!r}" if network else "does not say what network it holds"
        )
        raise UserError(
            f"{file}: {found}, expected a file that `nncore train --save` wrote, with"
            f" {' or '.join(NETWORKS)}"
        )
    name = data or weights.metadata.get("data", "")
    if name not in RECIPES:
        raise UserError(f"{file}: was trained on {name!r}: choose with --data")
    model = NETWORKS[network].build()
    try:
        model.load_state_dict(weights.state_dict)
    except (ValueError, TypeError) as error:
        raise UserError(f"{file}: {one_line(error)}") from None
    with users(OSError, ValueError):
        split = RECIPES[name].load()
    sample = split[1][0].shape[1:]
    if sample != NETWORKS[network].sample:
        raise UserError(
            f"{file}: the network {network} takes images of shape"
            f" {NETWORKS[network].sample}, those of {name} have {sample}"
        )
    return Saved(network, model, name, split)
