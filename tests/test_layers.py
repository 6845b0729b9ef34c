"""The rules of the house: who imports whom, what stays light, and that documents tell the truth."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the bottom up; a file imports only from the rows below its own (or, in a package, its own package).
LAYERS = (
    ("_lazy", "errors"),
    ("failure", "files", "environment", "discovery", "logs"),
    ("settings", "data", "status", "new"),
    ("layers",),
    ("model_file",),
    ("plots", "run", "scores", "text_scores", "ngrams", "backend"),
    ("classification", "inference"),
    (
        *("baselines", "text_baselines", "word_vectors", "classifying", "filters", "generation"),
        *("checkpoint", "optimization", "report", "checks"),
    ),
    ("callbacks", "checkpoint_folder", "diagnosis", "comparison", "writing", "binary_report"),
    ("progress", "experiment", "annealing"),
    ("origin",),
    ("saving",),
    ("fitting", "reporting"),
    ("session",),
    ("trainer",),
    ("registry", "companions"),
    ("sweep", "resuming", "testing"),
    ("cli",),
)
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}
SOURCES = sorted((ROOT / "lab").rglob("*.py"))
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.py"))
MAY_KNOW_TENSORFLOW = (*(f"lab/data/{name}" for name in ("feed.py", "held.py", "fused", "compiled.py")), "lab/layers/")


def imports(path: Path, *, typing_too: bool = False) -> set[str]:
    """The modules that a file imports anywhere, without those for the type checker alone."""
    tree = ast.parse(path.read_text("utf-8"))
    if not typing_too:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part(module: str) -> str:
    """The row's entry that a module of the lab belongs to."""
    return module.split(".")[1]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_of_the_lab_imports_only_from_layers_below(path: Path) -> None:
    name = path.relative_to(ROOT / "lab").parts[0].removesuffix(".py")
    if name == "__init__":
        return
    for module in imports(path):
        if module.startswith("lab.") and part(module) in RANK and part(module) != name:
            assert RANK[part(module)] < RANK[name], f"{path.name} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_lab_never_imports_experiments(path: Path) -> None:
    assert not [module for module in imports(path, typing_too=True) if module.split(".")[0] == "experiments"]


@pytest.mark.parametrize("path", SOURCES + EXPERIMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_feed_and_layers_know_tensorflow(path: Path) -> None:
    if not str(path.relative_to(ROOT)).startswith(MAY_KNOW_TENSORFLOW):
        assert not [module for module in imports(path) if module.split(".")[0] in ("tensorflow", "jax", "torch")]


def test_every_file_of_the_lab_has_its_row() -> None:
    names = {path.relative_to(ROOT / "lab").parts[0].removesuffix(".py") for path in SOURCES} - {"__init__"}
    assert names <= RANK.keys(), f"without a row: {sorted(names - RANK.keys())}"


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import lab"],
        ["-m", "lab.cli", "--help"],
        ["-m", "lab.cli", "list"],
        ["-m", "lab.cli", "run", "--help"],
        ["-m", "lab.cli", "run", "autoencoder", "--help"],
    ],
    ids=lambda command: " ".join(command),
)
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys, runpy, atexit\n"
        "def told():\n"
        "    from lab._utils.lazy import is_loaded\n"
        "    heavy = [m for m in ('tensorflow', 'jax', 'torch', 'matplotlib', 'sklearn') if m in sys.modules]\n"
        "    print('HEAVY', heavy + (['keras'] if is_loaded('keras') else []))\n"
        "atexit.register(told)\n"
    )
    if command[0] == "-c":
        code += command[1]
    else:
        code += f"sys.argv = {['lab', *command[2:]]!r}\nrunpy.run_module('lab.cli', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stdout


def readme_commands() -> list[str]:
    """The shell lines of the README's code blocks."""
    blocks = re.findall(r"```(?:sh|bash|shell|console)\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    lines = [
        line.strip().removeprefix("$ ").partition(" #")[0].strip() for block in blocks for line in block.split("\n")
    ]
    return [line for line in lines if line.startswith(("make", "lab", ".venv/bin/lab"))]


def test_the_readme_shows_commands() -> None:
    assert "make autoencoder" in readme_commands()
    assert "make test" in readme_commands()


@pytest.mark.parametrize("line", readme_commands())
def test_every_command_of_the_readme_exists(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "make":
        done = subprocess.run(["make", "--dry-run", *words[1:]], capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, done.stderr
        return
    from lab.cli.main import lab as group
    from lab.trainer.discovery import names

    command = group.get_command(None, words[1])  # type: ignore[arg-type]
    assert command is not None, line
    if words[1] in ("run", "sweep"):
        assert words[2] in names(), line


def committed() -> list[Path]:
    """The repository's files, relative to its root; without git, what is there but for what tools leave."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT, check=True)
        return [Path(line) for line in done.stdout.split("\0") if line]
    except (OSError, subprocess.CalledProcessError):
        left = ("runs", "build", "keras_lab.egg-info", "__pycache__")
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
        return [path for path in found if not path.parts[0].startswith(".venv") and not set(path.parts) & set(left)]


def test_only_the_folders_that_the_design_names_stand_at_the_top() -> None:
    folders = {path.parts[0] for path in committed() if len(path.parts) > 1}
    assert {folder for folder in folders if not folder.startswith(".")} == {"experiments", "lab", "tests"}


def test_no_file_of_the_repository_is_over_a_megabyte() -> None:
    paths = [ROOT / path for path in committed()]
    assert len(paths) > 50
    assert not [path for path in paths if path.is_file() and path.stat().st_size > 1_000_000]


def test_every_package_is_installed_with_the_project() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    there = [
        str(init.parent.relative_to(ROOT)).replace("/", ".")
        for top in ("lab", "experiments")
        for init in (ROOT / top).rglob("__init__.py")
    ]
    assert sorted(told) == sorted(there)
