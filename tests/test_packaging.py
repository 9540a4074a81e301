"""The wheel works outside the clone, the environments agree, and the house keeps its rules."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
MODULES = sorted((ROOT / "tlcourse").rglob("*.py"))


def test_wheel_installs_and_works_from_another_folder(tmp_path):
    """Into an empty environment of its own; the dependencies are this environment's."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    wheel = next(tmp_path.glob("*.whl"))
    assert wheel.stat().st_size < 40e6
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = next(home.glob("lib/python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(site), str(wheel)],
        check=True,
    )  # fmt: skip
    # Our own site-packages come after the wheel's, so that torch need not be copied.
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    script = (
        "import sys; sys.path.append(sys.argv[1]);"
        "import tlcourse; from tlcourse import paths, recorded; from tlcourse.data import sources; from tlcourse.embeddings import load_vectors, nearest;"
        "print(tlcourse.__file__); print(paths.is_clone());"
        "print(len(load_vectors('zh')), len(recorded.load('map_pairs')), len(sources.manifest()));"
        "print(sorted(p.name for p in paths.notebooks_dir().glob('*.ipynb'))[0]);"
        "print(nearest(load_vectors('zh'), '音乐', 1));"
        "from tlcourse import cli, lessons; print(lessons.default_folder());"
        "print(len(lessons.lay_out(lessons.default_folder()).new));"
        "print([p.name for p in cli._JUPYTER.rglob('*.json')])"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    said = subprocess.run(
        [python, "-c", script, ours], cwd=elsewhere, env=environment, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert lines[0].startswith(str(site))
    assert lines[1] == "False"
    assert lines[2] == "20003 480 6"
    assert lines[3] == "01_embeddings.ipynb"
    assert lines[5] == str(elsewhere / "tlcourse-notebooks")
    assert int(lines[6]) == len(list((elsewhere / "tlcourse-notebooks").rglob("*.ipynb"))) >= 5
    assert lines[7] == "['default_setting_overrides.json']"


def test_environments_agree():
    text = (ROOT / "environment.yml").read_text(encoding="utf8")
    low = PROJECT["requires-python"].removeprefix(">=")
    assert f"python>={low}" in text
    assert re.search(r"^\s+- -e \.\[test\]$", text, re.MULTILINE), (
        "it installs pyproject.toml's packages"
    )
    assert re.search(r"^\s+- -c constraints\.txt$", text, re.MULTILINE)
    assert "conda-forge" in text


def _name(requirement: str) -> str:
    return re.split(r"[<>=!~\[ ]", requirement)[0].lower().replace("_", "-")


def test_every_dependency_is_pinned_within_its_range():
    from packaging.requirements import Requirement

    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    pins = {_name(line): line.split("==")[1] for line in lines}
    extras = PROJECT["optional-dependencies"]["test"]
    for text in [*PROJECT["dependencies"], *extras]:
        requirement = Requirement(text)
        if requirement.name != "pip":
            assert requirement.specifier.contains(pins[_name(text)]), text
    assert pins["torch"] == "2.13.0"
    ranges = {_name(text): text for text in PROJECT["dependencies"]}
    assert ranges["ipykernel"] == "ipykernel>=6.29,<7"
    for name in (
        "jupyterlab",
        "torch",
        "transformers",
        "gensim",
        "matplotlib",
        "ipywidgets",
        "nbval",
    ):
        assert name in ranges


def test_repeated_facts_agree():
    import tlcourse

    assert tlcourse.__version__ == PROJECT["version"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_stay_small_and_import_downwards(path):
    text = path.read_text(encoding="utf8")
    assert len(text.splitlines()) <= 300
    imported = {
        name
        for node in ast.walk(ast.parse(text))
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom)
            else [item.name for item in node.names] if isinstance(node, ast.Import) else []
        )
    }  # fmt: skip
    room = path.relative_to(ROOT / "tlcourse").parts[0]
    if room not in {"explorers", "__init__.py"}:
        assert not any(
            name.startswith("tlcourse.explorers") or name == "ipywidgets" for name in imported
        )
        if room != "figures":
            assert not any("figures" in name or name.startswith("matplotlib") for name in imported)
    if room not in {"explorers", "runs", "cli.py", "doctor.py"}:
        assert not any(name.startswith("experiments") for name in imported)
    assert not any(name.startswith(("pickle", "matplotlib.pyplot")) for name in imported)


def test_the_readmes_snippet_does_what_it_says():
    text = (ROOT / "README.md").read_text(encoding="utf8")
    snippet = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    *lines, last = snippet.strip().splitlines()
    space: dict = {}
    exec("\n".join(lines), space)
    found = [word for word, _ in eval(last.split("#")[0].strip(), space)]
    assert found == re.findall(r"\('(\w+)', …\)", last)
    assert space["bridge"].W.shape == (100, 50)


def test_the_readme_tells_every_command():
    from tlcourse import cli

    text = (ROOT / "README.md").read_text(encoding="utf8")
    rows = re.findall(r"^\| (`tlcourse .*?) \|", text, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`tlcourse (\w+)", row)}
    parser = cli._parser()
    commands = next(action.choices for action in parser._actions if action.choices)
    assert told == set(commands)
    options = {option for row in rows for option in re.findall(r"--[a-z]+", row)}
    assert {"--folder", "--lessons", "--verify"} <= options
    known = {option for command in commands.values() for option in command._option_string_actions}
    assert options <= known


def test_readme_names_real_files():
    text = "".join(
        (ROOT / name).read_text(encoding="utf8") for name in ("README.md", "CONTRIBUTING.md")
    )
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).is_file(), target
