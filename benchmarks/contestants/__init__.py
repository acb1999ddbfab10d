"""Who is measured. This list is all the driver knows; the modules are imported by workers only."""

from __future__ import annotations

from benchmarks.contestants.contestant import Contestant

OURS = "nncore"
IMAGES = ("pool", "conv", "layers")

CONTESTANTS: tuple[Contestant, ...] = (
    Contestant("nncore", OURS, "nncore_"),
    Contestant("nncore channels_last", OURS, "nncore_", "channels_last", families=IMAGES),
    Contestant("nncore compiled", OURS, "nncore_", "compiled", families=("step",)),
    Contestant("torch", "torch", "torch_"),
    Contestant(
        "torch channels_last", "torch", "torch_", "channels_last", families=(*IMAGES, "step")
    ),
    # Minutes of compilation, and little or nothing gained on these cases: only when asked for.
    Contestant(
        "torch compiled",
        "torch-compile",
        "torch_",
        "compiled",
        package="torch",
        families=("activation", "step"),
    ),
    Contestant("jax", "jax", "jax_"),
    Contestant("numpy", "numpy", "numpy_"),
    Contestant("numpy loop", "numpy", "numpy_", "per-sample", families=("linear", "step")),
)
PEERS = ("numpy", "torch", "jax", "torch-compile")
DEFAULT_PEERS = PEERS[:3]

DISTRIBUTIONS = {"nncore": ("nncore-cpu",), "jax": ("jax", "jaxlib")}
"""What is installed for a package, where that is not one distribution of the same name."""


def chosen(peers: tuple[str, ...]) -> tuple[Contestant, ...]:
    """nncore's contestants and those of the named peers, in the table's order."""
    return tuple(c for c in CONTESTANTS if c.peer == OURS or c.peer in peers)


def distributions(contestant: Contestant) -> tuple[str, ...]:
    return DISTRIBUTIONS.get(contestant.imports, (contestant.imports,))
