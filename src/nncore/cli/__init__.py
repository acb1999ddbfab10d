"""The command line: ``nncore train``, ``nncore eval FILE`` and others."""

import os
import sys
from collections.abc import Sequence

from nncore.cli.errors import UserError
from nncore.cli.parser import make_parser

__all__ = ["main"]

# What shells expect of a program that Ctrl-C ended: 128 and the number of the signal.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code.

    0 when it did what was asked, 2 for a mistake in the command (with one line on the standard
    error that says which), 130 after Ctrl-C. Anything else is a defect and shows its traceback.
    """
    options = make_parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        # Here rather than at exit, where nothing could be done about a closed pipe.
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"nncore {options.command}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        done = f": {interrupt}" if interrupt.args else ""
        print(f"nncore {options.command}: interrupted{done}", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has had enough (`nncore train | head`). Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
