"""The project's root, found from the working directory or the script, and what it is used for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab._utils import project
from lab.errors import UsageError
from lab.runs.folders import runs_folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an experiment and a subfolder."""
    monkeypatch.delenv("LAB_RUNS")
    root = tmp_path / "project"
    (root / "experiments").mkdir(parents=True)
    (root / "experiments" / "__init__.py").write_text("")
    (root / "deep" / "er").mkdir(parents=True)
    return root


def test_the_root_is_found_from_a_subfolder_and_keeps_the_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert (project.root(), runs_folder()) == (root, Path("runs"))
    monkeypatch.chdir(root / "deep" / "er")
    assert (project.root(), runs_folder()) == (root, Path("../../runs"))
    monkeypatch.chdir(root / "experiments")
    assert (project.root(), runs_folder()) == (root, Path("../runs"))
    monkeypatch.setenv("LAB_RUNS", "elsewhere")
    assert runs_folder() == Path("elsewhere")


def test_the_nearest_folder_with_experiments_is_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = root / "deep" / "experiments"
    inner.mkdir()
    (inner / "notes.txt").write_text("no Python here")
    monkeypatch.chdir(root / "deep")
    assert project.root() == root
    (inner / "idea.py").write_text("")
    assert project.root() == root / "deep"


def test_without_experiments_the_working_directory_is_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert project.root() == tmp_path


def test_the_search_ends_at_a_folder_that_everyone_can_write_to(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root / "deep" / "er")
    (root / "deep").chmod(0o777)
    assert project.root() == root / "deep" / "er"


def test_another_package_of_that_name_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`experiments` was imported from elsewhere: what the project has would be ignored."""
    import experiments  # noqa: F401

    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(UsageError, match=r"expected to import .*project/experiments, but Python imports"):
        project.experiments_folder()


@pytest.mark.parametrize(
    ("module", "provided"),
    [
        ("experiments.autoencoder", True),
        ("experiments", False),
        ("experiments.gone", False),
        ("experiments..autoencoder", False),
        ("experiments./autoencoder", False),
        ("lab.testing", False),
        ("os", False),
        ("", False),
    ],
)
def test_only_files_of_the_experiments_folder_are_provided(module: str, provided: bool) -> None:
    assert project.is_provided(module) is provided


def test_commands_print_a_root_that_is_not_the_working_directory(root: Path) -> None:
    (root / "experiments" / "idea.py").write_text('"""Does it work?"""')
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    for folder, printed in ((root, ""), (root / "deep" / "er", f"project: {root}\n")):
        command = [sys.executable, "-m", "lab.cli", "list"]
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
        assert (done.stdout, done.stderr) == ("idea  Does it work?\n", printed)
