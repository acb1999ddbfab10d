"""Mistakes of a user: one line, no traceback."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something about the command, its files or its data is wrong; the text says what."""


@contextmanager
def users(*kinds: type[Exception]) -> Iterator[None]:
    """Within the block, exceptions of these kinds are mistakes of the user."""
    try:
        yield
    except kinds as error:
        raise UserError(one_line(error)) from None


def one_line(error: Exception) -> str:
    """What an exception says: "x.npz: no such file or directory"."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror.lower()}"
    return " ".join(str(error).split()) or type(error).__name__
