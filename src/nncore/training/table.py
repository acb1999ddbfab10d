"""The table of epochs: which columns, how wide, how a number is written."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple


def number(value: float) -> str:
    """A loss: four decimals where they say something, else a power of ten."""
    if value == 0 or 1e-3 <= abs(value) < 1e4 or not math.isfinite(value):
        return f"{value:.4f}"
    return f"{value:.2e}"


def percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


class Column(NamedTuple):
    title: str
    width: int
    write: Callable[[float], str]


# By the names that History uses, in the order in which they are shown.
COLUMNS = {
    "loss": Column("loss", 9, number),
    "accuracy": Column("accuracy", 9, percent),
    "val_loss": Column("val loss", 9, number),
    "val_accuracy": Column("val accuracy", 12, percent),
    "lr": Column("lr", 9, number),
    "seconds": Column("time", 9, seconds),
    "samples_per_second": Column("samples/s", 10, lambda value: f"{value:,.0f}"),
}
_LAST = "lr", "seconds", "samples_per_second"
_EPOCH_WIDTH = 7
_GAP = "  "


def header(names: Iterable[str]) -> str:
    """The line above the rows, with the columns of these names."""
    titles = [f"{column.title:>{column.width}}" for column in _columns(names).values()]
    return _GAP.join([f"{'epoch':>{_EPOCH_WIDTH}}", *titles])


def row(epoch: int, last: int, values: Mapping[str, float], names: Iterable[str]) -> str:
    """The line of an epoch; "-" for what was not measured in it."""
    cells = [epoch_cell(epoch, last)]
    for name, column in _columns(names).items():
        value = values.get(name, math.nan)
        # A loss that is not a number is an error before it gets here.
        cells.append(f"{'-' if math.isnan(value) else column.write(value):>{column.width}}")
    return _GAP.join(cells)


def epoch_cell(epoch: int, last: int) -> str:
    """The first column, "3/20"."""
    return f"{f'{epoch}/{last}':>{_EPOCH_WIDTH}}"


def _columns(names: Iterable[str]) -> dict[str, Column]:
    """The known columns in their order; the others before the times, in the order they come."""
    wanted = list(names)
    others = {
        name: Column(title, max(9, len(title)), number)
        for name in wanted
        if name not in COLUMNS
        for title in [name.replace("_", " ")]
    }
    known = {name: column for name, column in COLUMNS.items() if name in set(wanted)}
    times = {name: known.pop(name) for name in _LAST if name in known}
    return known | others | times
