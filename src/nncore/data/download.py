"""Files that others publish: fetched on request, checked, kept in a cache folder."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_VARIABLE = "NNCORE_CACHE"


class Sources(NamedTuple):
    """Addresses that each hold all of the files, and the SHA-256 of each file by its name."""

    mirrors: tuple[str, ...]
    sha256: Mapping[str, str]


def cache_folder() -> Path:
    """Where downloads are kept: ``NNCORE_CACHE``, else ``nncore`` in the user's cache folder."""
    given = os.environ.get(_VARIABLE)
    if given:
        return Path(given)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "nncore"


def fetch(function: str, sources: Sources, folder: Path) -> list[Path]:
    """Bring all files into `folder` and return their paths; those that are there and right stay.

    Raises
    ------
    ImportError
        The package pooch is missing.
    OSError
        A file could be had from no mirror, or none had it with the right SHA-256.
    """
    try:
        import pooch
    except ImportError:
        raise ImportError(
            f'{function}: download=True needs the package pooch: pip install "nncore-cpu[data]"'
        ) from None
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        return [_fetch_one(function, sources, name, folder) for name in sources.sha256]
    finally:
        logger.setLevel(level)


def _fetch_one(function: str, sources: Sources, name: str, folder: Path) -> Path:
    import pooch

    reasons = []
    for mirror in sources.mirrors:
        try:
            # pooch writes beside the target and renames, and only what has the right hash.
            path = pooch.retrieve(
                mirror + name, f"sha256:{sources.sha256[name]}", fname=name, path=folder
            )
        except (OSError, ValueError) as error:  # no connection; another hash
            reasons.append(f"{mirror + name}: {str(error).splitlines()[0]}")
        else:
            return Path(path)
    raise OSError(
        f"{function}: could not download {name} ({'; '.join(reasons)}): without a connection, put "
        f"the file into {folder} by hand"
    )
