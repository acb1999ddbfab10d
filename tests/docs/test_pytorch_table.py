"""The page that says what nncore has of PyTorch is what the programs say."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_true():
    pytest.importorskip("torch")
    table = runpy.run_path(str(ROOT / "tools" / "pytorch_table.py"))["table"]
    page = (ROOT / "docs" / "pytorch-modules.md").read_text(encoding="utf-8")
    assert page == table(), "run: python tools/pytorch_table.py >docs/pytorch-modules.md"
