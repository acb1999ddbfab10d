"""docs/composing.md: its examples run as they stand."""

import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).resolve().parents[2] / "docs" / "composing.md"


def test_the_examples_run():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) == 3
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert np.isfinite(names["loss"])
    assert names["value"].shape == (5, 1)
    assert names["swish"].b.grad != 0
