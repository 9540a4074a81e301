"""Each lesson in a live JupyterLab in headless Chromium: run all, move every control, look.

With TLCOURSE_SCREENSHOTS=FOLDER, a picture of each lesson's first explorers is kept there.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tlcourse.cli import find_chromium

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHROMIUM = find_chromium()

# Notebooks without a lesson around them.
SMALL = {
    "all.ipynb": [
        """from importlib import import_module
from IPython.display import display
from tlcourse import widgets
for lesson in ("embeddings", "mapping", "finetuning", "multitask", "bert"):
    place = f"tlcourse.{lesson}.explorers"
    for kind in vars(import_module(place)).values():
        if isinstance(kind, type) and kind.__module__.startswith(place):
            if issubclass(kind, widgets.Explorer):
                display(kind())
display(widgets.Quiz("bert"))"""
    ],
    "two.ipynb": [
        """from tlcourse import bert, mapping
from ipywidgets.widgets.widget import _instances
mapping.explorers.TranslateWord()""",
        """bert.explorers.FreezeDial(frozen=4, labels=200)""",
        """print(len(_instances))""",
    ],
}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found: install Debian's chromium"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab on a free loopback port over copies of the notebooks."""
    home = tmp_path_factory.mktemp("lab")
    work = home / "work"
    work.mkdir()
    for path in NOTEBOOKS:
        shutil.copy(path, work)
    for name, cells in SMALL.items():
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, work / name)
    settings = home / "settings"
    for plugin, content in {
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }.items():
        place = settings / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(content))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    log = (home / "lab.log").open("w")
    # The test's own throw-away server has no token; `tlcourse lab` keeps its own.
    server = subprocess.Popen(
        [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
            "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={work}",
            "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True",
            "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly",
        ],
        env=environment, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail(f"JupyterLab did not start: {(home / 'lab.log').read_text()[-2000:]}")
        yield address
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
        )  # fmt: skip
        yield chromium
        chromium.close()


RUN_ALL = """async () => {
    const app = window.jupyterapp;
    const panel = app.shell.currentWidget;
    await panel.sessionContext.ready;
    await app.commands.execute('notebook:run-all-cells');
    const cells = panel.content.model.cells;
    const faults = [];
    for (let i = 0; i < cells.length; i++) {
        const cell = cells.get(i);
        if (cell.type !== 'code') continue;
        if (cell.executionCount === null) faults.push('cell ' + i + ' did not run');
        for (let j = 0; j < cell.outputs.length; j++) {
            const output = cell.outputs.get(j);
            if (output.type === 'error') faults.push('cell ' + i + ': ' + JSON.stringify(output.toJSON()).slice(0, 500));
        }
    }
    return faults;
}"""

# An explorer is a box with a picture, the caption after it, and the controls before it.
STATE = """box => [
    box.querySelector('img').src,
    box.innerText,
]"""


def _open(browser, lab, name, cells=10):
    page = browser.new_page(viewport={"width": 1250, "height": 900})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.set_default_timeout(60_000)
    page.goto(f"{lab}/lab/tree/{name}?reset")
    page.wait_for_function(
        "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.connectionStatus === 'connected'"
    )
    page.wait_for_function(f"() => document.querySelectorAll('.jp-Cell').length >= {cells}")
    return page


def _changed(page, box, before, what):
    """Wait until picture and text are others than before."""
    deadline = time.time() + 20
    while time.time() < deadline:
        now = box.evaluate(STATE)
        if now[1] != before[1]:
            for _ in range(10):  # the picture comes in a message of its own
                page.wait_for_timeout(150)
                now = box.evaluate(STATE)
                if now[0] != before[0]:
                    break
            return now
        page.wait_for_timeout(30)
    raise AssertionError(f"{what} changed nothing")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_lesson_runs_and_every_control_answers(path, browser, lab):
    page = _open(browser, lab, path.name)
    assert page.evaluate(RUN_ALL) == []
    page.wait_for_timeout(1500)
    boxes = page.locator(".jp-OutputArea-output .widget-vbox:has(> .widget-image)").all()
    assert len(boxes) >= 3
    moved, pictures = 0, 0
    for number, box in enumerate(boxes):
        box.scroll_into_view_if_needed()
        assert box.locator("img").get_attribute("title"), "the picture has no accessible name"
        for control in box.locator(".widget-box").first.locator("> *").all():
            before = box.evaluate(STATE)
            label = control.inner_text().split("\n")[0]
            if control.locator("[role=slider]").count():
                handle = control.locator("[role=slider]")
                handle.focus()
                page.keyboard.press("ArrowLeft" if _at_end(handle) else "ArrowRight")
            elif control.locator("select").count():
                select = control.locator("select")
                chosen = select.evaluate("s => s.selectedIndex")
                select.select_option(index=1 if chosen == 0 else 0)
            elif control.locator("input[type=checkbox]").count():
                control.locator("input[type=checkbox]").press("Space")
            else:
                field = control.locator("input")
                field.fill(_text_for(box))
                field.press("Enter")
            after = _changed(page, box, before, label)
            moved += 1
            pictures += after[0] != before[0]
            if control.locator("select").count():  # back, so that the next control starts right
                select.select_option(index=chosen)
                _changed(page, box, after, label)
        _save(box, f"{path.stem}-{number + 1}")
    assert moved >= 7
    assert pictures >= moved - 2, "a menu of probe words changes the table only"
    page.close()


def _text_for(box) -> str:
    if "[MASK]" in box.inner_text():
        return "今天的天_很好。"
    return "医院" if "Chinese word" in box.inner_text() else "film"


def _at_end(handle) -> bool:
    return handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")


def _save(box, name: str) -> None:
    folder = os.environ.get("TLCOURSE_SCREENSHOTS")
    if folder:
        (ROOT / folder).mkdir(exist_ok=True)
        box.screenshot(path=ROOT / folder / f"{name}.png")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_live_run_code_and_quiz(path, browser, lab):
    page = _open(browser, lab, path.name)
    assert page.evaluate(RUN_ALL) == []
    page.wait_for_timeout(1000)
    name = {
        "01_embeddings": "few-shot transfer",
        "02_linear_embedding_transfer": "planted rotation",
        "03_pretrain_and_finetune": "collapse",
        "04_multitask_learning": "who helps whom",
        "05_bert_finetuning": "freeze dial",
    }[path.stem]
    box = page.locator(
        f".widget-vbox:has(> .widget-image):has(button:text-is('Train it live: {name}'))"
    )
    box.scroll_into_view_if_needed()
    start, cancel = (
        box.get_by_role("button", name=f"Train it live: {name}"),
        box.get_by_role("button", name=f"Cancel: {name}"),
    )
    assert cancel.is_disabled()
    before = box.evaluate(STATE)
    start.press("Enter")
    box.locator("[role=status]", has_text="done").wait_for()
    page.wait_for_timeout(300)
    assert box.evaluate(STATE)[0] != before[0]
    assert "Live" in box.inner_text()
    box.get_by_role("button", name=f"Copy as code: {name}").press("Enter")
    code = box.locator("textarea")
    code.wait_for()
    assert "from tlcourse" in code.input_value()
    box.locator("[role=status]", has_text="copied").wait_for()
    _save(box, f"{path.stem}-live")
    radio = page.locator(".widget-radio input").first
    radio.scroll_into_view_if_needed()
    radio.check()
    page.locator("[role=status]", has_text="1 of 3 answered").wait_for()
    page.close()


# Each element from an explorer's parts up to its cell, if it is wider inside than outside.
TOO_WIDE = """() => {
    const found = [];
    for (const box of document.querySelectorAll('.jp-OutputArea-output .widget-vbox')) {
        const inside = [...box.querySelectorAll(':scope > *')];
        for (let part = box; !part.classList.contains('jp-Cell'); part = part.parentElement)
            inside.push(part);
        for (const part of inside)
            if (part.clientWidth && part.scrollWidth > part.clientWidth)
                found.push([box.innerText.slice(0, 40), part.className, part.scrollWidth, part.clientWidth]);
    }
    return found;
}"""


def test_no_explorer_is_wider_than_its_cell_and_no_tooltip_is_null(browser, lab):
    page = _open(browser, lab, "all.ipynb", cells=1)
    assert page.evaluate(RUN_ALL) == []
    page.locator(".tl-explorer").nth(17).wait_for(state="attached")
    page.wait_for_timeout(1500)
    nameless = page.locator('[title="null"]')
    assert nameless.evaluate_all("parts => parts.map(part => part.className)") == []
    page.locator(".jp-OutputArea-output .tl-explorer button", has_text="Copy as code").first.click()
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(700)
        assert page.evaluate(TOO_WIDE) == [], f"at {width} px"
    page.close()


# Of the text in a message to the message's ground, by WCAG 2.
CONTRAST = """part => {
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const style = getComputedStyle(part);
    const both = [light(style.color), light(style.backgroundColor)].sort((a, b) => b - a);
    return (both[0] + 0.05) / (both[1] + 0.05);
}"""

RUN_CELL = """async index => {
    const app = window.jupyterapp, content = app.shell.currentWidget.content;
    content.activeCellIndex = index;
    await app.commands.execute('notebook:run-cell');
    return content.model.cells.get(index).outputs.get(0)?.toJSON().text;
}"""


def test_bad_input_veils_the_picture_and_is_readable_in_both_themes(browser, lab):
    page = _open(browser, lab, "two.ipynb", cells=3)
    assert page.evaluate(RUN_ALL) == []
    box = page.locator(".tl-explorer").first
    field = box.locator("input[type=text]")
    opacity = "image => getComputedStyle(image).opacity"
    assert box.locator("img").evaluate(opacity) == "1"
    field.fill("qqqq")
    field.press("Enter")
    message = box.locator("[role=alert]")
    message.wait_for()
    assert float(box.locator("img").evaluate(opacity)) < 0.5
    assert box.locator("img").get_attribute("title").startswith("Not of this setting")
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
        )
        page.wait_for_timeout(1500)
        assert message.evaluate(CONTRAST) >= 4.5, theme
    field.fill("医院")
    field.press("Enter")
    message.wait_for(state="detached")
    assert box.locator("img").evaluate(opacity) == "1"
    page.close()


def test_code_is_copied_and_training_moves_nothing(browser, lab):
    page = _open(browser, lab, "two.ipynb", cells=3)
    assert page.evaluate(RUN_ALL) == []
    box = page.locator(".tl-explorer").nth(1)
    copy = box.get_by_role("button", name="Copy as code: freeze dial")
    copy.press("Enter")
    box.locator("[role=status]", has_text="copied").wait_for()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied == box.locator("textarea").input_value()
    assert "result = " in copied
    copy.press("Enter")
    box.locator("textarea").wait_for(state="hidden")
    assert box.locator("[role=status]", has_text="copied").count() == 0

    height = "box => box.getBoundingClientRect().height"
    before = box.evaluate(height)
    box.get_by_role("button", name="Train it live").press("Enter")
    box.locator("[role=status]", has_text="training").wait_for()
    assert box.locator(".widget-hprogress, .jupyter-widget-hprogress, .progress").first.is_visible()
    assert box.evaluate(height) == before
    box.locator("[role=status]", has_text="done").wait_for()

    slider = box.locator("[role=slider]").first  # k
    slider.focus()
    page.keyboard.press("ArrowLeft")
    box.locator("[role=status]", has_text="choose k ≥ 4").wait_for()
    assert box.get_by_role("button", name="Train it live").is_disabled()
    page.close()


def test_running_a_cell_again_leaves_nothing_behind(browser, lab):
    page = _open(browser, lab, "two.ipynb", cells=3)
    assert page.evaluate(RUN_ALL) == []
    counts = []
    for _ in range(3):
        page.evaluate(RUN_CELL, 1)
        counts.append(page.evaluate(RUN_CELL, 2))
    assert counts[0]
    assert len(set(counts)) == 1, counts
    assert page.locator(".tl-explorer").count() == 2
    page.close()


# From the key press to the new picture loaded; after 10 s it counts as infinite.
WATCH = """box => {
    const image = box.querySelector('img');
    let start = 0;
    document.addEventListener('keydown', () => { start = performance.now(); }, {capture: true, once: true});
    window.redrawn = new Promise(done => {
        image.addEventListener('load', () => done(performance.now() - start), {once: true});
        setTimeout(() => done(Infinity), 10000);
    });
}"""


@pytest.mark.skipif("TLCOURSE_BENCH" not in os.environ, reason="a measurement: make bench")
def test_key_press_to_changed_picture(browser, lab):
    path = NOTEBOOKS[1]
    page = _open(browser, lab, path.name)
    assert page.evaluate(RUN_ALL) == []
    box = page.locator(
        ".widget-vbox:has(> .widget-image):has(button:text-is('Train it live: planted rotation'))"
    )
    box.scroll_into_view_if_needed()
    handle = box.locator("[role=slider]").first
    handle.focus()
    times = []
    for press in range(16):
        box.evaluate(WATCH)
        page.keyboard.press("ArrowRight" if press % 2 else "ArrowLeft")
        times.append(page.evaluate("() => window.redrawn"))
    times.sort()
    print(
        f"\nkey press to changed picture: median {times[len(times) // 2]:.0f} ms, worst {times[-1]:.0f} ms"
    )
    page.close()
