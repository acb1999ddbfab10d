"""What options may be, as argparse wants it: a function from the text to the value."""

import argparse
import math
from collections.abc import Callable


def _integer(text: str, least: int, most: float, expected: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return number


def _real(text: str, allowed: Callable[[float], bool], expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not allowed(number):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return number


def positive(text: str) -> int:
    return _integer(text, 1, 2**31, "a positive integer")


def threads(text: str) -> int:
    return _integer(text, 1, 1024, "an integer from 1 to 1024")


def seed(text: str) -> int:
    return _integer(text, 0, 2**64 - 1, "an integer from 0 to 2**64 - 1")


def sizes(text: str) -> list[int]:
    """Of layers."""
    found = [_integer(part, 1, 1000, "integers from 1 to 1000") for part in text.split(",")]
    if len(found) < 2:
        raise argparse.ArgumentTypeError(f"expected at least two sizes, got {text!r}")
    return found


def shape(text: str) -> tuple[int, ...]:
    """Of a sample."""
    expected = "the shape of one sample, such as 1,28,28"
    return tuple(_integer(part, 1, 2**20, expected) for part in text.split(","))


def numbers(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise argparse.ArgumentTypeError(f"expected numbers with commas between, got {text!r}")
    return found


def rate(text: str) -> float:
    return _real(text, lambda number: 0 < number < math.inf, "a positive number")


def fraction(text: str) -> float:
    """Such as momentum."""
    return _real(text, lambda number: 0 <= number < 1, "a number from 0 to below 1")


def decay(text: str) -> float:
    return _real(text, lambda number: 0 <= number < math.inf, "a number from 0 on")


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=threads,
        metavar="N",
        help="threads to use (default: all that the process may have); results do not depend on it",
    )


def add_saved(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="what `nncore train --save FILE` wrote")


def add_data(parser: argparse.ArgumentParser, known: str, text: str) -> None:
    parser.add_argument("--data", metavar="NAME", help=f"{text} ({known})")
