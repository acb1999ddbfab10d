"""Nested values with arrays in them as one file: what a run needs in order to go on.

The arrays are those of a weight file, named by their place in the tree; everything else is JSON in
its metadata. What JSON lacks is written as an object with one key: ``{"$array": name}``,
``{"$tuple": [...]}``, ``{"$items": [[key, value], ...]}`` for keys that are no strings.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore.io import forms

Arrays = dict[str, NDArray[Any]]

# The version of the tree's names and meanings. A change that an older nncore would misread takes a
# new number here and a branch in `training/state.py` that reads the older ones.
VERSION = 1
_VERSION_KEY, _VALUES_KEY = "nncore_checkpoint", "nncore_values"
# Far beyond any state; a hostile file cannot exhaust the stack.
_DEEPEST = 50


def write_checkpoint(path: str | os.PathLike[str], tree: Mapping[str, Any]) -> None:
    """Write a tree of dicts, lists, tuples, numbers, strings, None and arrays; all or nothing.

    Raises
    ------
    TypeError
        Something in it is of another kind: names its place.
    ValueError, ImportError, OSError
        As `save_weights`.
    """
    arrays: Arrays = {}
    values = _packed(tree, "", arrays, 0)
    metadata = {_VERSION_KEY: str(VERSION), _VALUES_KEY: json.dumps(values)}
    forms.write("save_checkpoint", path, forms.checked("save_checkpoint", arrays), metadata)


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Any], int]:
    """The tree in a file of any origin, and the version it was written as.

    Raises
    ------
    ValueError
        The file is damaged, something else, or of a later version.
    ImportError, OSError
        As `load_weights`.
    """
    arrays, metadata = forms.read("load_checkpoint", path, "checkpoint")
    version, text = metadata.get(_VERSION_KEY), metadata.get(_VALUES_KEY)
    if version is None or text is None:
        raise ValueError(
            f"{path}: holds weights and no state of training: read it with nncore.io.load_weights"
        )
    if version not in {str(known) for known in range(1, VERSION + 1)}:
        raise ValueError(
            f"{path}: is a checkpoint of version {version[:20]!r}, this nncore reads up to"
            f" {VERSION}: a newer one may"
        )
    try:
        tree = _unpacked(json.loads(text), arrays, 0)
    except (ValueError, RecursionError, TypeError) as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path}: not a checkpoint, or damaged: {reason}") from None
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: not a checkpoint, or damaged: its values are no object")
    return tree, int(version)


def _packed(value: Any, where: str, arrays: Arrays, depth: int) -> Any:
    if depth > _DEEPEST:
        raise TypeError(f"save_checkpoint: {where} is nested more than {_DEEPEST} deep")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.ndarray):
        name = where
        while name in arrays:  # "a.b" within "c" and "b" within "c.a" would be the same
            name += "_"
        arrays[name] = value
        return {"$array": name}
    if isinstance(value, Mapping):
        pairs = [
            (key, _packed(each, _join(where, key), arrays, depth + 1))
            for key, each in value.items()
        ]
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
            return dict(pairs)
        return {"$items": [[_packed(key, where, arrays, depth + 1), each] for key, each in pairs]}
    if isinstance(value, (list, tuple)):
        listed = [
            _packed(each, _join(where, at), arrays, depth + 1) for at, each in enumerate(value)
        ]
        return {"$tuple": listed} if isinstance(value, tuple) else listed
    raise TypeError(
        f"save_checkpoint: {where} is a {type(value).__name__}, expected numbers, strings, arrays,"
        " lists and dicts of them"
    )


def _unpacked(value: Any, arrays: Arrays, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"the values are nested more than {_DEEPEST} deep")
    if isinstance(value, list):
        return [_unpacked(each, arrays, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (tag, given), *_ = value.items()
        if tag == "$array":
            if not isinstance(given, str) or given not in arrays:
                raise ValueError(f"the array {str(given)[:100]!r} is missing")
            return arrays[given]
        if tag == "$tuple" and isinstance(given, list):
            return tuple(_unpacked(each, arrays, depth + 1) for each in given)
        if tag == "$items" and isinstance(given, list):
            if not all(isinstance(pair, list) and len(pair) == 2 for pair in given):
                raise ValueError("the values hold a pair that is none")
            return {
                _unpacked(key, arrays, depth + 1): _unpacked(each, arrays, depth + 1)
                for key, each in given
            }
    return {key: _unpacked(each, arrays, depth + 1) for key, each in value.items()}


def _join(where: str, name: Any) -> str:
    # A name is an entry of a zip archive, too.
    part = str(name).replace("/", "_").replace("\\", "_").replace("\0", "_")
    return f"{where}.{part}" if where else part
