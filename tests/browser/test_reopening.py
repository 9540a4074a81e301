"""A session's pictures are there when the notebook is opened again, without a kernel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tlcourse.cli import find_chromium

CHROMIUM = find_chromium()
CELL = "from tlcourse.mapping import explorers\nexplorers.PlantedRotation()"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found: install Debian's chromium"),
]


@pytest.fixture
def address(tmp_path):
    """`tlcourse lab` on a free port, with a small notebook among the copies."""
    mine = tmp_path / "mine"
    mine.mkdir()
    notebook = new_notebook(cells=[new_code_cell(CELL)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, mine / "small.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    environment = {
        **os.environ,
        **{f"JUPYTER_{name}": str(tmp_path / folder) for name, folder in places.items()},
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "JUPYTER_TOKEN": "s3cret",
    }
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "tlcourse", "lab", "--no-browser", f"--port={port}", "--allow-root",
             "--folder", str(mine), "--LabApp.expose_app_in_browser=True"],
            env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


RUN_SAVE_AND_END = """async () => {
    const app = window.jupyterapp, panel = app.shell.currentWidget;
    await panel.sessionContext.ready;
    await app.commands.execute('notebook:run-all-cells');
    await new Promise(done => setTimeout(done, 3000));
    await panel.context.save();
    await panel.sessionContext.shutdown();
}"""


def test_a_reopened_notebook_shows_its_explorer(address, tmp_path):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
        )  # fmt: skip
        page = chromium.new_page()
        page.set_default_timeout(60_000)
        connected = "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.connectionStatus === 'connected'"  # fmt: skip
        page.goto(f"{address}/lab/tree/small.ipynb?reset&token=s3cret")
        page.wait_for_function(connected)
        page.evaluate(RUN_SAVE_AND_END)
        saved = nbformat.read(tmp_path / "mine" / "small.ipynb", as_version=4)
        assert "application/vnd.jupyter.widget-state+json" in saved.metadata.widgets
        page.close()
        page = chromium.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{address}/lab/tree/small.ipynb?reset&token=s3cret")
        output = page.locator(".jp-OutputArea-output").first
        output.locator("img").first.wait_for()
        page.wait_for_timeout(2000)
        assert "P@1 is least squares" in output.inner_text()
        assert "model not found" not in output.inner_text()
        width = output.locator("img").first.evaluate("image => image.naturalWidth")
        assert width > 300, "the picture is broken"
        assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.cells.length") == 1  # fmt: skip
        chromium.close()
