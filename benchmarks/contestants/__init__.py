"""Who is measured. This list is all the driver knows; the modules are imported by workers only."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.contestants.contestant import Contestant

OURS = "nncore"
BARE, ONE_THREAD = "nncore without", "one thread"
"""Peers that are nncore itself: with less around it, and on one core."""
IMAGES = ("pool", "conv", "layers")
COMPILED = ("step", "build", "overhead", "parallel", "mnist")

CONTESTANTS: tuple[Contestant, ...] = (
    Contestant("nncore", OURS, "nncore_"),
    Contestant("nncore kernel", OURS, "products", "nncore", families=("gemm",)),
    Contestant("nncore channels_last", OURS, "nncore_", "channels_last", families=IMAGES),
    Contestant("nncore compiled", OURS, "nncore_", "compiled", families=COMPILED),
    Contestant(BARE, BARE, "nncore_", "without", package=OURS, families=("overhead",)),
    Contestant("torch", "torch", "torch_"),
    Contestant(
        "torch channels_last",
        "torch",
        "torch_",
        "channels_last",
        families=(*IMAGES, "step", "mnist"),
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
    Contestant("openblas", "openblas", "products", "openblas", "numpy", families=("gemm",)),
    Contestant("mkl", "mkl", "products", "mkl", "torch", families=("gemm",)),
    Contestant("numpy", "numpy", "numpy_"),
    Contestant("numpy loop", "numpy", "numpy_", "per-sample", families=("linear", "step")),
)
PEERS = ("numpy", "torch", "jax", "openblas", "mkl", "torch-compile")
DEFAULT_PEERS = PEERS[:5]

DISTRIBUTIONS = {"nncore": ("nncore-cpu",), "jax": ("jax", "jaxlib")}
"""What is installed for a package, where that is not one distribution of the same name."""


def chosen(peers: tuple[str, ...]) -> tuple[Contestant, ...]:
    """nncore's contestants and those of the named peers, in the table's order."""
    return tuple(c for c in CONTESTANTS if c.peer in (OURS, BARE, *peers))


def scaling(threads: int) -> tuple[Contestant, ...]:
    """Each of nncore's contestants twice: on all cores of the run, and as a peer on one of them."""
    ours = [c for c in CONTESTANTS if c.peer == OURS]
    return tuple(
        contestant
        for c in ours
        for contestant in (
            replace(c, name=f"{c.name} x{threads}"),
            replace(c, name=f"{c.name} x1", peer=ONE_THREAD, package=OURS, threads=1),
        )
    )


def distributions(contestant: Contestant) -> tuple[str, ...]:
    return DISTRIBUTIONS.get(contestant.imports, (contestant.imports,))
