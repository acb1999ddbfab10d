"""The picture of a learning curve."""

import io
from pathlib import Path

from nncore.cli.errors import UserError, users
from nncore.io.atomic import check_writable, write_atomic
from nncore.training import History


def check(file: str) -> str:
    """The format that the suffix names: whether it can be drawn and written, found out now."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError:
        raise UserError(
            '--plot needs the package matplotlib: pip install "nncore-cpu[plot]"'
        ) from None
    suffix = Path(file).suffix[1:].lower()
    if suffix not in FigureCanvasAgg.get_supported_filetypes():
        raise UserError(f"--plot: {file} must end in .png, .svg or .pdf")
    check_writable(file)
    return suffix


def draw(history: History, file: str) -> None:
    """Loss, and accuracy beside it where there is one; the file is there whole or not at all."""
    from matplotlib.figure import Figure

    names = [name for name in ("loss", "accuracy") if name in history.history]
    figure = Figure(figsize=(6.4 * len(names), 4.0), layout="constrained")
    for name, axes in zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True):
        history.plot(name, axes)
    picture = io.BytesIO()
    figure.savefig(picture, format=check(file))
    with users(OSError):
        write_atomic(file, picture.getvalue())
