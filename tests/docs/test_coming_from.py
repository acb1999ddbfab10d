"""The pages for those who come from elsewhere: their code runs as it stands."""

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "packages"),
    [
        ("coming-from-pytorch.md", ["torch", "safetensors"]),
        ("coming-from-scikit-learn.md", ["sklearn"]),
    ],
)
def test_the_code_runs(page, packages, tmp_path, monkeypatch):
    for package in packages:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    text = (DOCS / page).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) >= 3
    names = {"__name__": page}
    with contextlib.redirect_stdout(io.StringIO()):
        for block in blocks:
            # On its line of the page, so that a traceback shows where it is.
            line = text[: text.index(block)].count("\n")
            exec(compile("\n" * line + block, page, "exec"), names)


@pytest.mark.parametrize("page", ["coming-from-pytorch.md", "coming-from-scikit-learn.md"])
def test_every_name_exists(page):
    """What the tables call `nc.`, `nn.`, `optim.` or nncore.training is there."""
    import nncore as nc

    text = (DOCS / page).read_text()
    places = {"nc": nc, "nn": nc.nn, "optim": nc.optim, "trainer": nc.Trainer}
    for place, path in re.findall(r"`(nc|nn|optim|trainer)\.(\w+(?:\.\w+)*)", text):
        found = places[place]
        for name in path.split("."):
            assert hasattr(found, name), f"{page}: {place}.{path}"
            found = getattr(found, name)
