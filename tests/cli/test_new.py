"""`lab new` writes an experiment that is ready to run, and a test that passes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cli.new import create
from lab.errors import UsageError

ROOT = Path(__file__).parents[2]


def test_the_experiment_is_ready_to_run_and_its_test_passes(tmp_path: Path) -> None:
    paths = create("two_words", tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "experiments/two_words.py",
        "tests/experiments/test_two_words.py",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(paths[1])]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout[-3000:]


@pytest.mark.parametrize("name", ["", "MyIdea", "my-idea", "1st", "_idea", "class", "../idea", "a b", "idea_", "é"])
def test_a_name_that_is_not_valid_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="expected a name in snake case, such as my_idea"):
        create(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["idea_2", "a_b", "my_2d_idea"])
def test_a_name_with_digits_or_short_words_is_the_experiments_name(tmp_path: Path, name: str) -> None:
    create(name, tmp_path)
    for words in (["-m", "lab.cli", "list"], [f"experiments/{name}.py", "hidden=0"]):
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) in (
            (f"{name}  Which digit is it?\n", ""),
            ("", "lab: hidden=0: expected whole number >= 1; the default is 64\n"),
        )


def test_the_name_of_a_make_target_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    for name in ("sweep", "test", "bench", "clean"):
        with pytest.raises(UsageError, match=f"new {name}: make has a target of that name"):
            create(name, tmp_path)


@pytest.mark.parametrize("there", ["experiments/idea.py", "tests/experiments/test_idea.py"])
def test_an_existing_file_is_not_overwritten(tmp_path: Path, there: str) -> None:
    path = tmp_path / there
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(UsageError, match=f"{there} exists; choose another name"):
        create("idea", tmp_path)
    assert [file.read_text() for file in tmp_path.rglob("*.py")] == ["mine"]
