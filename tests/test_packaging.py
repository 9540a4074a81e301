"""The wheel works outside the clone, the environments agree, and the house keeps its rules."""

from __future__ import annotations

import ast
import importlib
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


def _name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.AST) -> set[str]:
    """Modules that a tree imports, ``from tlcourse import x`` as ``tlcourse.x``."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            whole = module == "tlcourse" or (module.count(".") == 1 and module in FOLDERS)
            found |= {f"{module}.{item.name}" for item in node.names} if whole else {module}
    return found


LESSONS = ("embeddings", "mapping", "finetuning", "multitask", "bert", "compare")
COMMANDS = ("cli", "doctor", "lessons", "__main__")
FOLDERS = {_name_of(path) for path in MODULES if path.name == "__init__.py"}
TREES = {_name_of(path): ast.parse(path.read_text(encoding="utf8")) for path in MODULES}


def _floor(module: str) -> float:
    """How high a module stands: it imports from its own floor and from those below."""
    _, room, *rest = [*module.split("."), ""]
    if room in ("arguments", "paths", "notices", ""):
        return 0
    if room in LESSONS:
        shown = rest[0].startswith(("explorers", "exercises"))
        return 3 if shown else 2 + LESSONS.index(room) / 10
    return 4 if room in COMMANDS else 1.5 if room == "widgets" else 1


@pytest.mark.parametrize("module", TREES)
def test_imports_go_down_only(module):
    imported = _imports(TREES[module])
    ours = {name for name in imported if name.split(".")[0] == "tlcourse"}
    assert not {name for name in ours if _floor(name) > _floor(module)}, "upwards"
    room, _, rest = module.partition(".")[2].partition(".")
    shows = room == "widgets" or rest.startswith("explorers")
    if not shows:
        assert not {name for name in ours if ".widgets" in name or ".explorers" in name}
        tools = {name.split(".")[0] for name in imported}
        assert not tools & {"ipywidgets", "anywidget", "matplotlib"}
    elif room == "widgets":
        assert not {name for name in ours if _floor(name) >= 2}, "widgets know no lesson"
    if rest.startswith("explorers"):  # another lesson's pictures are its own
        others = {name for name in ours if ".explorers" in name or ".exercises" in name}
        assert all(name.startswith(f"tlcourse.{room}.") for name in others)
    assert not {name for name in imported if name.startswith(("pickle", "matplotlib.pyplot"))}


@pytest.mark.parametrize("module", TREES)
def test_only_the_command_knows_the_experiments_and_not_before_they_are_asked_for(module):
    tree = TREES[module]
    known = {name for name in _imports(tree) if name.split(".")[0] == "experiments"}
    if module != "tlcourse.cli":
        assert not known
    first = ast.Module(
        [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], []
    )
    assert not {name for name in _imports(first) if name.split(".")[0] == "experiments"}


SHARED = {
    "tune", "train", "evaluate", "predict", "build", "freeze",  # the same done to other models
    "EXERCISES",  # what `checks` looks for in each lesson
}  # fmt: skip
"""Public names that may stand in several modules."""


def test_a_name_means_one_thing_in_the_whole_house():
    places: dict[str, list[str]] = {}
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names = [node.name]
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            else:
                names = []
            for name in names:
                if not name.startswith("_") and name not in SHARED:
                    places.setdefault(name, []).append(module)
    assert not {name: where for name, where in places.items() if len(where) > 1}


def test_every_module_is_reached_from_the_package_alone():
    modules = [name for name in TREES if not name.endswith("__main__") and "._" not in name]
    script = "import tlcourse\n" + "\n".join(f"{name}.__name__" for name in modules)
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert said.returncode == 0, said.stderr[-500:]


def test_each_stub_names_its_folders_modules_and_what_is_there():
    for folder in FOLDERS:
        path = ROOT / folder.replace(".", "/") / "__init__.pyi"
        if not path.is_file():
            assert folder.count(".") > 1, f"{folder} has no stub"
            continue
        tree = ast.parse(path.read_text(encoding="utf8"))
        named = {
            item.name for node in tree.body if isinstance(node, ast.ImportFrom) and not node.module
            for item in node.names
        }  # fmt: skip
        there = {name.rpartition(".")[2] for name in TREES if name.rpartition(".")[0] == folder}
        assert named == {name for name in there if not name.startswith("_")}, folder
        room = importlib.import_module(folder)
        for name in room.__all__:
            assert getattr(room, name) is not None


def _lines(folder: str) -> dict[str, int]:
    paths = (ROOT / folder).rglob("*.py")
    return {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf8").splitlines())
        for path in paths
    }


def test_modules_stay_small():
    assert not {
        name: n for name, n in (_lines("tlcourse") | _lines("experiments")).items() if n > 300
    }


@pytest.mark.parametrize(("folder", "most"), [("tlcourse", 14_500), ("experiments", 1_600)])
def test_the_house_does_not_grow(folder, most):
    assert sum(_lines(folder).values()) <= most


def test_the_readmes_calls_work_on_a_readers_own_data(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text(encoding="utf8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    rows = [f"{word} film number {row},{stars}" for row in range(30) for word, stars in (("good", 5), ("bad", 1))]  # fmt: skip
    (tmp_path / "reviews.csv").write_text("\n".join(["review,stars", *rows]), encoding="utf8")
    monkeypatch.chdir(tmp_path)
    space: dict = {}
    found = []
    for block in blocks:
        *lines, last = ast.parse(block).body
        exec(compile(ast.Module(lines, []), "README.md", "exec"), space)
        found.append(eval(compile(ast.Expression(last.value), "README.md", "eval"), space))
    assert (tmp_path / "my-classifier" / "model.safetensors").is_file()
    assert len(found[1].loss) == 30
    assert found[2][0] in ("good", "bad")
    assert set(found[3]) >= {"p1", "p5", "p10", "coverage"}


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
