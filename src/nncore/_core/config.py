"""What this process computes with: instruction set, threads, build."""

import platform
from typing import Any

import numpy as np

from nncore._core import engine


def show_config(mode: str = "text") -> dict[str, Any] | None:
    """Show what nncore computes with.

    Parameters
    ----------
    mode : str
        "text" prints it, "dict" returns it.

    Returns
    -------
    dict or None
        With ``isa`` (in use), ``isa_available``, ``threads``, ``threads_default``, ``winograd``,
        ``compiler``, ``kernels``, ``versions``.
    """
    if mode not in ("text", "dict"):
        raise ValueError(f"show_config: mode must be 'text' or 'dict', got {mode!r}")
    # Not at the top: this file is loaded on the way to nncore's own names.
    from nncore import __version__

    config: dict[str, Any] = {
        "isa": engine.isa_active(),
        "isa_available": list(engine.isa_available()),
        "threads": engine.threads_get(),
        "threads_default": engine.threads_default(),
        "winograd": engine.winograd_get(),
        "compiler": engine.compiler(),
        "kernels": list(engine.kernel_names()),
        "versions": {
            "nncore": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    if mode == "dict":
        return config
    for name, value in config.items():
        if isinstance(value, dict):
            value = ", ".join(f"{part} {number}" for part, number in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        print(f"{name:<16} {value}")
    return None


def set_num_threads(threads: int) -> None:
    """Use so many threads, the caller's included; results do not depend on it.

    Raises
    ------
    TypeError, ValueError
        `threads` is no integer, or not in 1 to 1024.
    """
    engine.threads_set(threads)


def get_num_threads() -> int:
    """How many threads are used; at first as many as CPU affinity and the cgroup quota allow."""
    return engine.threads_get()


def set_winograd(on: bool) -> None:
    """Allow or forbid Winograd's algorithm in `Conv2d`, for the whole process; at first allowed.

    It computes 3x3 convolutions in float32 with under half the multiplications, see `nn.Conv2d`.
    Layers called one by one heed it from the next call on. A compiled `Step` keeps what was set
    when its memory was laid out, at its first batch or at one larger than all before: compile
    anew to change it.

    Raises
    ------
    TypeError
        `on` is neither True nor False.
    """
    if not isinstance(on, (bool, np.bool_)):
        raise TypeError(f"set_winograd: on must be True or False, got {on!r}")
    engine.winograd_set(bool(on))


def get_winograd() -> bool:
    """Whether `Conv2d` may use Winograd's algorithm."""
    return engine.winograd_get()
