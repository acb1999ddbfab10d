"""What `fit` prints: a row for each epoch and, on a terminal, a bar within the epoch."""

import os
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from nncore.training import table

_BAR_WIDTH = 24
_SECONDS_BETWEEN_DRAWINGS = 0.1


class Console:
    """Writes to the standard output, as it is when the console is made.

    Parameters
    ----------
    verbose
        0: nothing; 1: rows, and the bar where the output is a terminal; 2: rows.
    """

    def __init__(self, verbose: int) -> None:
        stream: TextIO | None = sys.stdout  # None in a program without a console
        self._stream = stream if verbose > 0 else None
        self.has_bar = verbose == 1 and _is_terminal(stream)
        self._drawn = False
        self._drawn_at = 0.0
        self._names: tuple[str, ...] = ()

    @property
    def seconds_between_drawings(self) -> float:
        return _SECONDS_BETWEEN_DRAWINGS

    def note(self, text: str) -> None:
        """A remark in a line of its own."""
        self._line(text)

    def row(self, epoch: int, last: int, values: Mapping[str, Any]) -> None:
        """An epoch, under a header where the columns are new; what is no number has no column."""
        values = {name: value for name, value in values.items() if np.ndim(value) == 0}
        if (names := tuple(values)) != self._names:
            self._line(table.header(names))
            self._names = names
        self._line(table.row(epoch, last, values, names))

    def start_bar(self) -> None:
        """Begin to count: what is over in an instant needs no bar."""
        self._drawn_at = time.perf_counter()

    def bar(self, epoch: int, last: int, batch: int, batches: int | None, loss: float) -> None:
        """Draw how far the epoch is, at most ten times a second."""
        now = time.perf_counter()
        if self._stream is None or now - self._drawn_at < _SECONDS_BETWEEN_DRAWINGS:
            return
        self._drawn_at = now
        if batches is None:  # a loader that does not say
            bar = f"batch {batch}"
        else:
            filled = min(_BAR_WIDTH, _BAR_WIDTH * batch // max(batches, 1))
            bar = f"[{'=' * filled}{' ' * (_BAR_WIDTH - filled)}] {batch}/{batches}"
        line = f"{table.epoch_cell(epoch, last)}  {bar}  loss {table.number(loss)}"
        # A line that wraps could not be taken back.
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r{line[:width]}\x1b[K")
        self._stream.flush()
        self._drawn = True

    def clear_bar(self) -> None:
        """Take the bar back: the cursor is at the beginning of an empty line."""
        if self._drawn and self._stream is not None:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
        self._drawn = False

    def _line(self, text: str) -> None:
        if self._stream is None:
            return
        self.clear_bar()
        # At once, for those who read it through a pipe.
        print(text, file=self._stream, flush=True)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False
