"""What this machine is, and what is asked of its operating system (Linux; less elsewhere)."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

CACHE = Path("/sys/devices/system/cpu/cpu0/cache")
UNKNOWN_CACHE = 32 << 20  # bytes, where the system does not tell


def available_cores() -> list[int]:
    """The cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(cores: list[int]) -> None:
    """Run on these cores only; threads started later inherit it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def last_level_cache() -> int:
    """Bytes of the largest cache."""
    sizes = [_cache_bytes(path) for path in CACHE.glob("index*/size")]
    return max(sizes, default=UNKNOWN_CACHE)


def _cache_bytes(path: Path) -> int:
    text = path.read_text().strip()
    units = {"K": 1 << 10, "M": 1 << 20}
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)


def reset_peak_memory() -> None:
    """Let the peak start again from what is in use now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int | None:
    """Largest resident memory of this process since `reset_peak_memory`, in bytes."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) << 10
    return None


def interruptions() -> int:
    """How often the system took a core from this process against its will."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


def cpu_model() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def facts() -> dict[str, Any]:
    """What a reader of the figures has to know about the machine."""
    return {
        "cpu": cpu_model(),
        "cores": len(available_cores()),
        "last_level_cache_bytes": last_level_cache(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def installed_bytes(distributions: tuple[str, ...]) -> int | None:
    """What the distributions' own files take on disk; None if one is not installed."""
    total = 0
    for name in distributions:
        try:
            files = importlib.metadata.distribution(name).files or []
        except importlib.metadata.PackageNotFoundError:
            return None
        for file in files:
            with contextlib.suppress(OSError):
                total += os.stat(str(file.locate())).st_size
    return total
