"""Files that are there whole or not at all."""

import os
import stat
from contextlib import suppress
from pathlib import Path


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to the file `path`: at any instant the old content is there, whole, or the new.

    The data go to a temporary file in the same folder, are flushed to the disk, and the file is
    renamed over the old one; then the folder is flushed, so that the new name survives a power cut
    too. After an error no temporary file is left and the old file is untouched.

    Raises
    ------
    OSError
        The folder does not exist or cannot be written, the disk is full, `path` is a folder or a
        device.
    """
    target = _resolved(path)
    temporary, descriptor = _create_beside(target)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # A replaced file keeps its permissions; a new one has what the umask gives.
        with suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _flush_folder(target.parent)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out now, by an empty temporary file, whether `write_atomic(path, ...)` could succeed.

    Raises
    ------
    OSError
        As `write_atomic`.
    """
    target = _resolved(path)
    temporary, descriptor = _create_beside(target)
    os.close(descriptor)
    os.unlink(temporary)


def _resolved(path: str | os.PathLike[str]) -> Path:
    """The file itself behind symbolic links: renaming over a link would replace the link."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path}: is a folder, expected a file")
    if target.exists() and not target.is_file():
        # Renaming over a device would remove the device.
        raise OSError(f"{path}: is not a regular file")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {target.parent} does not exist")
    return target


def _create_beside(target: Path) -> tuple[Path, int]:
    """A new, empty file in the folder of `target`, open for writing."""
    temporary = target.with_name(f".{target.name[:100]}.{os.urandom(8).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        return temporary, os.open(temporary, flags, 0o666)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise type(error)(f"{target}: cannot be written: {reason}") from None


def _flush_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows: a folder cannot be opened, and the rename is already on its way
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
