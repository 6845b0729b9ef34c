"""The words that make gives to the `lab` command: a copy of the Makefile, with a `lab` that prints them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ECHO = """#!{python}
import json, sys
print(json.dumps(sys.argv[1:]) if sys.argv[1:] != ["list"] else "idea  A file.\\nideas:Second  A class.")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "Makefile", root)
    for name in ("experiments/_helper.py", "experiments/idea.py", "experiments/ideas.py", "pyproject.toml"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text('"""Does it work?"""\n')
    (root / "constraints.txt").write_text("")
    command = root / ".venv" / "bin" / "lab"
    command.parent.mkdir(parents=True)
    command.write_text(ECHO.format(python=sys.executable))
    command.chmod(0o755)
    (root / ".venv" / ".installed").write_text("")
    return root


def make(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    left_out = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "name", "run", "experiment")  # tests may run below `make test`
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.run(["make", *words], capture_output=True, text=True, cwd=project, env=environment, check=False)


def given(project: Path, *words: str) -> list[list[str]]:
    """The words of each call of `lab`."""
    done = make(project, *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "value",
    [
        "it cost me $5",
        "$",
        "$$",
        "a$$b",
        "${HOME}",
        "$(HOME)",
        "$(shell echo expanded)",
        "$(error expanded)",
        "$(",
        "a,b)",
        "it's",
        'say "hi"',
        "`id`",
        "back\\slash",
        "end\\",
        "\\\\",
        "\\$",
        "\\#",
        "a # b",
        "#",
        "*",
        "%",
        "a=b",
        ": := ?=",
        "two  spaces and one behind ",
        "a\ttab",
        "new\nline",
        "continued\\\nline",
        "define x\nendef\n",
        "gr\u00fc\u00dfe",
        "",
    ],
    ids=repr,
)
def test_a_value_arrives_as_typed(project: Path, value: str) -> None:
    assert given(project, "idea", f"text={value}") == [["run", "idea", f"text={value}"]]


def test_a_setting_may_have_the_name_of_anything_that_make_uses_itself(project: Path) -> None:
    (words,) = given(project, "idea", "name=$4", "run=1", "experiment=2", "given=3", "v=5")
    assert sorted(words[2:]) == ["experiment=2", "given=3", "name=$4", "run=1", "v=5"]


def test_a_name_with_a_dash_is_refused_with_the_right_one(project: Path) -> None:
    done = make(project, "idea", "latent-dim=3")
    assert done.returncode == 2
    assert "latent-dim: write latent_dim" in done.stderr


def test_a_class_of_a_file_with_several_experiments_is_a_target(project: Path) -> None:
    assert given(project, "ideas:First", "ideas:Second", "width=$3") == [
        ["run", "ideas:First", "width=$3"],
        ["run", "ideas:Second", "width=$3"],
    ]
    assert make(project, "nothing:First").returncode == 2
    assert make(project, "_helper").returncode == 2


def test_all_runs_every_name_that_the_command_lists(project: Path) -> None:
    assert given(project, "all", "epochs=1") == [["run", "idea", "epochs=1"], ["run", "ideas:Second", "epochs=1"]]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["new", "name=my_idea"], ["new", "my_idea"]),
        (["new", "name=a$5b"], ["new", "a$5b"]),
        (["sweep", "width=1,2"], ["sweep", "autoencoder", "width=1,2"]),
        (["sweep", "experiment=ideas:First", "width=1;2"], ["sweep", "ideas:First", "width=1;2"]),
        (["generate", "prompt=$5 "], ["predict", "text_generation", "prompt=$5 "]),
        (["classify", "text=$5", 'run=a "b" $c'], ["predict", 'a "b" $c', "text=$5"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_targets_with_a_variable_of_their_own(project: Path, words: list[str], command: list[str]) -> None:
    assert given(project, *words) == [command]


def test_new_without_a_name_is_refused(project: Path) -> None:
    done = make(project, "new")
    assert done.returncode == 2
    assert "expected name=my_idea, got none" in done.stderr


def test_help_lists_experiments_and_targets(project: Path) -> None:
    listed = make(project).stdout
    assert "idea                   Does it work?" in listed
    assert "train once for each value of a setting" in listed
    assert "_helper" not in listed
