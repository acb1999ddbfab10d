"""The report: everything in one file, and what it says."""

import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from nncore import nn
from nncore.inspection.report import report


def test_says_what_there_is_and_stands_alone(small_cnn, images):
    page = report(small_cnn.train(), images, images, title="Mine & <yours>")
    assert small_cnn.training
    assert "Mine &amp; &lt;yours&gt;" in page
    for part in ("What it is", "How well it does", "Where it errs", "What each layer has learned"):
        assert part in page
    assert page.count("<img") == 8
    assert "http" not in page
    assert "src='/" not in page


def test_a_network_without_convolutions(images):
    x, y = images
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8, seed=0), nn.Sigmoid(), nn.Linear(8, 3))
    page = report(model, (x, y), (x, y))
    assert "the model has no convolution" in page
    assert page.count("<img") == 6


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
def test_in_a_browser(tmp_path, small_cnn, images, width):
    """No console errors, nothing wider than the window."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    script = (
        "<script>window.onload = () => { document.title = 'width ' +"
        " document.documentElement.scrollWidth + ' of ' + window.innerWidth; }</script></body>"
    )
    file = tmp_path / "report.html"
    page = report(small_cnn, images, images).replace("</body>", script)
    file.write_text(page, encoding="utf-8")
    # Headless windows are at least 500 wide: the page is framed at the width that is asked for.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<body style='margin:0'><iframe id=f src=report.html width={width} height=900></iframe>"
        "<script>window.onload = () => { const d = document.getElementById('f').contentDocument;"
        " document.title = d.documentElement.scrollWidth; }</script></body>"
    )
    run = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            "--allow-file-access-from-files",
            "--enable-logging=stderr",
            "--virtual-time-budget=3000",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in run.stderr, run.stderr
    shown = run.stdout.split("<title>")[1].split("</title>")[0]
    assert int(np.float64(shown)) <= width
