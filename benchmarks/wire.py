"""The language between driver and worker: one JSON object per line."""

from __future__ import annotations

import json
from typing import Any, TextIO

Message = dict[str, Any]


def write(stream: TextIO, message: Message) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


def read(line: str) -> Message:
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError(f"expected a JSON object on the line, got {line!r}")
    return message


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
