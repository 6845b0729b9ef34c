"""The rules of the house: which module imports which, what stays light, what stays small, and what documents claim."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "lab").rglob("*.py"))
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.py"))
KERAS_PRIVATE = ROOT / "lab/engine/keras_private.py"
KNOW_BACKENDS = ("lab/data/device.py", "lab/engine/", "lab/layers/", "lab/tasks/text/adversarial.py")
FOREIGN_PRIVATE = {"_replace": "NamedTuple's", "_core": "NumPy's", "_reconstruct": "NumPy's", "_frombuffer": "NumPy's"}
KERAS_CLASSES = (
    keras.Model,
    keras.callbacks.Callback,
    keras.callbacks.CallbackList,
    keras.layers.Layer,
    keras.layers.RNN,
    keras.losses.Loss,
    keras.metrics.Metric,
    keras.optimizers.Optimizer,
)

# What still breaks a rule; an entry goes with its cause.
PENDING = {"experiments/sentiment_analysis.py"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def passes(ok: bool, name: str, message: object) -> None:
    """Asserts, but expects failure where it is pending."""
    if not ok and name in PENDING:
        pytest.xfail(f"{name}: {message}")
    assert ok, message


def imports(path: Path) -> set[str]:
    """The modules that a file imports anywhere, without those for the type checker alone."""
    tree = parsed(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


# --- which module imports which -----------------------------------------------------------------------


def contract(root: Path) -> subprocess.CompletedProcess[str]:
    """Runs the import contract of pyproject.toml on a tree."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    return subprocess.run([*command, "--no-logo", "--no-cache"], capture_output=True, text=True, cwd=root, check=False)


def test_the_import_contract_holds() -> None:
    done = contract(ROOT)
    passes(done.returncode == 0, "contract", done.stdout + done.stderr)


UNDER_TYPE_CHECKING = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import {}\n"
IN_A_FUNCTION = "def later():\n    import {}\n"


@pytest.mark.parametrize("how", [UNDER_TYPE_CHECKING, IN_A_FUNCTION], ids=["under TYPE_CHECKING", "in a function"])
@pytest.mark.parametrize(
    ("importer", "imported", "contracts"),
    [
        ("lab.errors", "lab.runs.planted", ["Rooms import downwards only", "No circle between modules"]),
        ("lab.layers.planted", "lab.layers.other", ["No circle between modules", "the parts of a package"]),
        ("lab.layers.planted", "lab.layers", ["No circle between modules"]),
        ("lab.data.planted", "lab.tasks", ["Rooms import downwards only", "The core never imports tasks"]),
        ("lab.data.planted", "experiments", ["lab never imports experiments"]),
        ("lab.runs.planted", "lab", ["No circle between modules"]),
    ],
)
def test_the_import_contract_finds_what_is_planted(
    tmp_path: Path, how: str, importer: str, imported: str, contracts: list[str]
) -> None:
    for name in ("lab", "experiments", "tests/contracts.py", "pyproject.toml"):
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(exist_ok=True)
        if source.is_file():
            shutil.copy(source, target)
            continue
        for file in source.rglob("*.py"):  # the folders and no code, which may break the contract itself
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text("")
    (tmp_path / "lab/__init__.py").write_text("import lab.runs.planted\n")
    (tmp_path / "lab/layers/__init__.py").write_text("import lab.layers.planted\n")
    (tmp_path / "lab/layers/other.py").write_text("import lab.layers.planted\n")
    for room in ("data", "layers", "runs"):
        (tmp_path / f"lab/{room}/planted.py").write_text("import lab.errors\n")
    assert contract(tmp_path).returncode == 0
    path = (tmp_path / importer.replace(".", "/")).with_suffix(".py")
    path.write_text(path.read_text() + how.format(imported))
    done = contract(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert all(any(name in line for line in broken) for name in contracts), done.stdout


def test_the_private_names_of_keras_need_nothing_of_the_lab() -> None:
    assert not [module for module in imports(KERAS_PRIVATE) if module.split(".")[0] == "lab"]


@pytest.mark.parametrize("path", SOURCES + EXPERIMENTS, ids=name_of)
def test_few_files_know_a_backend(path: Path) -> None:
    if not name_of(path).startswith(KNOW_BACKENDS):
        assert not [module for module in imports(path) if module.split(".")[0] in ("tensorflow", "jax", "torch")]


# --- Keras as its users know it -----------------------------------------------------------------------


def defined_names(tree: ast.Module) -> set[str]:
    """The names of functions, classes, variables and attributes of `self` that a file defines."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
            own |= {node.attr} if node.value.id in ("self", "cls") else set()
    return own


def private_names(path: Path) -> Iterator[tuple[int, str]]:
    """The lines and names with a leading underscore that a file looks up, but its folder does not define."""
    own = set[str]().union(*(defined_names(parsed(file)) for file in path.parent.glob("*.py")))
    tree = parsed(path)
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names if (node.module or "").split(".")[0] != "lab"]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("attr"):
            names = [str(value.value) for value in node.args[1:2] if isinstance(value, ast.Constant)]
        for name in names:
            if re.match(r"_[a-z]", name) and name not in own and name not in FOREIGN_PRIVATE:
                yield getattr(node, "lineno", 0), name


@pytest.mark.parametrize("path", [path for path in SOURCES + EXPERIMENTS if path != KERAS_PRIVATE], ids=name_of)
def test_private_names_of_keras_stand_in_one_file(path: Path) -> None:
    assert not [module for module in imports(path) if module.startswith("keras.src")]
    found = list(private_names(path))
    passes(not found, name_of(path), f"private names, by line: {found}")


@pytest.mark.parametrize("path", SOURCES + EXPERIMENTS, ids=name_of)
def test_no_method_of_keras_is_replaced(path: Path) -> None:
    methods = {
        name
        for kind in KERAS_CLASSES
        for name in dir(kind)
        if not name.startswith("__") and inspect.isroutine(inspect.getattr_static(kind, name))
    }
    replaced = [
        (node.lineno, ast.unparse(node))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) and node.attr in methods
    ]
    assert not replaced


# --- what stays small and light -----------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES + EXPERIMENTS, ids=name_of)
def test_a_file_has_at_most_300_lines(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    passes(lines <= 300, name_of(path), f"{lines} lines")


def test_the_lab_has_at_most_12_rooms_and_5_files_outside_them() -> None:
    paths = [path for path in (ROOT / "lab").iterdir() if path.name != "__pycache__"]
    assert len([path for path in paths if path.is_dir()]) <= 12
    assert len([path for path in paths if path.suffix == ".py"]) <= 5


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import lab"],
        ["-m", "lab.cli", "--help"],
        ["-m", "lab.cli", "list"],
        ["-m", "lab.cli", "run", "--help"],
        *(["-m", "lab.cli", "run", path.stem, "--help"] for path in EXPERIMENTS if path.parent.name == "experiments"),
    ],
    ids=lambda command: " ".join(command),
)
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    if command[-2] == "__init__":
        pytest.skip("no experiment")
    code = (
        "import sys, runpy, atexit\n"
        "def report():\n"
        "    from lab._utils.lazy import is_loaded\n"
        "    heavy = [m for m in ('tensorflow', 'jax', 'torch', 'matplotlib', 'sklearn') if m in sys.modules]\n"
        "    print('HEAVY', heavy + (['keras'] if is_loaded('keras') else []))\n"
        "atexit.register(report)\n"
    )
    if command[0] == "-c":
        code += command[1]
    else:
        code += f"sys.argv = {['lab', *command[2:]]!r}\nrunpy.run_module('lab.cli', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stdout


def committed() -> list[Path]:
    """The repository's files, relative to its root; without git, all files but those that tools create."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT, check=True)
        return [Path(line) for line in done.stdout.split("\0") if line]
    except (OSError, subprocess.CalledProcessError):
        left = ("runs", "build", "keras_lab.egg-info", "__pycache__")
        paths = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
        return [path for path in paths if not path.parts[0].startswith(".venv") and not set(path.parts) & set(left)]


def test_the_top_has_only_the_folders_that_the_design_names() -> None:
    folders = {path.parts[0] for path in committed() if len(path.parts) > 1}
    assert {folder for folder in folders if not folder.startswith(".")} == {"experiments", "lab", "tests"}


def test_no_file_of_the_repository_is_over_a_megabyte() -> None:
    paths = [ROOT / path for path in committed()]
    assert len(paths) > 50
    assert not [path for path in paths if path.is_file() and path.stat().st_size > 1_000_000]


# --- what is installed --------------------------------------------------------------------------------


def test_every_folder_with_code_is_a_package_that_git_sees() -> None:
    files = set(committed())
    folders = {path.parent for path in SOURCES + EXPERIMENTS}
    assert not [folder for folder in folders if (folder / "__init__.py").relative_to(ROOT) not in files]


def test_every_file_that_is_no_code_is_installed() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    others = [path for path in committed() if path.parts[0] in ("lab", "experiments") and path.suffix != ".py"]
    assert Path("lab/py.typed") in others
    assert not [path for path in others if not any(path.match(pattern) for pattern in patterns)]


# --- the README ---------------------------------------------------------------------------------------


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
