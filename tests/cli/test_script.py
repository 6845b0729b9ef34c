"""An experiment file that Python runs, ending with `lab.main()`."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import lab
from lab.runs.run import find_runs
from lab.trainer import registry

ROOT = Path(__file__).parents[2]
IDEA = '''"""Does it work?"""

import lab
import keras
import numpy as np


class Settings(lab.Settings):
    width: int = lab.field(4, "Units in the hidden layer.", ge=1)


@keras.saving.register_keras_serializable()
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


class AnyName(lab.Experiment[Settings]):
    trainer = {"epochs": 1, "batch_size": 8, "jit": False}

    def prepare(self):
        x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
        return lab.Data(*(lab.Split(name, x, x[:, :1]) for name in ("train", "validation", "test")))

    def build(self, data):
        layers = [keras.Input((3,)), keras.layers.Dense(self.settings.width), Doubled(), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile("sgd", "mse")
        return model

    def report(self, run, report):
        report.metric("test_loss", run.evaluate("test"), "The loss.")

'''
PLAIN = """import lab


class Settings(lab.Settings):
    width: int = lab.field(4, "Units in the hidden layer.", ge=1)


class Near(lab.Experiment[Settings]):
    prepare = build = report = lambda *_: None
"""
MAIN = '\nif __name__ == "__main__":\n    lab.main({})\n'
SECOND = "\nclass Second(AnyName):\n    trainer = {}\n"

RunFile = Callable[..., None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with an experiment, in the working directory of a process that has imported no experiment."""
    kept = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "experiments"}
    for name in kept:
        monkeypatch.delitem(sys.modules, name)
    root = tmp_path / "project"
    (root / "experiments").mkdir(parents=True)
    (root / "experiments" / "__init__.py").write_text("")
    (root / "experiments" / "idea.py").write_text(IDEA + MAIN.format(""))
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", [str(root), *sys.path])
    yield root
    _forget()
    sys.modules.update(kept)


def _forget() -> None:
    """Leaves no module of the project loaded, as in another process."""
    for name in [name for name in sys.modules if name.split(".")[0] == "experiments"]:
        del sys.modules[name]


@pytest.fixture
def run_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunFile:
    """Runs a file as `__main__` in this process, as IPython's %run does."""

    def run(path: str, *words: str) -> None:
        monkeypatch.setattr(sys, "argv", [path, *words])
        runpy.run_path(path, run_name="__main__")

    return run


def test_a_run_of_a_script_is_the_same_as_one_of_lab_run(
    project: Path, run_file: RunFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_file("experiments/idea.py", "width=3", "--epochs", "2")
    _forget()
    run = lab.Run.load("idea")
    assert (run.experiment, run.record["class"]) == ("idea", "experiments.idea:AnyName")
    assert (run.settings["width"], len(run.history), run.is_complete) == (3, 2, True)
    (project / "deep").mkdir()
    monkeypatch.chdir(project / "deep")  # another process may start there, without the project on its path
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(project)])
    assert run.model.predict(np.ones((1, 3)), verbose=0).shape == (1, 1)
    _forget()
    again = registry.experiment_of(run)
    assert (again.name(), again.settings.json_values()) == ("idea", {"width": 3})
    assert len(lab.resume("idea", epochs=3).history) == 3


def test_in_a_notebook_a_changed_file_is_run_as_it_is_now(
    project: Path, run_file: RunFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)  # IPython sets it too
    for width in (4, 50):
        file = Path("experiments/idea.py")
        file.write_text(file.read_text().replace("field(4", f"field({width}"))
        run_file("experiments/idea.py", "fast_dev_run=true")
    assert sorted(run.settings["width"] for run in find_runs("idea")) == [4, 50]


def test_a_trainer_in_the_script_records_the_importable_class_too(project: Path, run_file: RunFile) -> None:
    file = project / "experiments" / "idea.py"
    file.write_text(IDEA + 'if __name__ == "__main__":\n    lab.Trainer(fast_dev_run=True).run(AnyName())\n')
    run_file(str(file))
    (run,) = find_runs("idea")
    assert run.record["class"] == "experiments.idea:AnyName"


def test_a_script_elsewhere_resumes_its_own_runs(project: Path, run_file: RunFile) -> None:
    (project / "scratch.py").write_text(IDEA + MAIN.format(""))
    run_file("scratch.py")
    run = lab.Run.load("scratch")
    assert run.record["class"] == "__main__:AnyName"
    with pytest.raises(lab.RunError, match=r"call lab\.resume in the script or notebook that defines it"):
        registry.experiment_of(run)
    run_file("scratch.py", "resume=latest", "epochs=2")
    assert len(lab.Run.load("scratch").history) == 2


def test_a_file_with_several_experiments_names_the_one_to_run(
    project: Path, run_file: RunFile, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / "experiments" / "two.py"
    file.write_text(IDEA + SECOND + MAIN.format("Second"))
    run_file("experiments/two.py", "fast_dev_run=true")
    (run,) = find_runs("two:Second")
    assert (run.experiment, run.record["class"]) == ("two:Second", "experiments.two:Second")
    file.write_text(IDEA + SECOND + MAIN.format(""))
    with pytest.raises(SystemExit, match="2"):
        run_file("experiments/two.py")
    assert "such as lab.main(AnyName): two.py defines AnyName, Second" in capsys.readouterr().err


def test_a_call_where_nothing_is_defined_is_refused(
    project: Path, run_file: RunFile, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "nothing.py").write_text("import lab\n\nlab.main()\n")
    with pytest.raises(SystemExit, match="2"):
        run_file("nothing.py")
    assert capsys.readouterr().err.startswith("lab: lab.main: expected an experiment in ")


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        (["experiments/idea.py"], "."),
        (["-m", "experiments.idea"], "."),
        (["idea.py"], "experiments"),
        (["{root}/experiments/idea.py"], ".."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_python_runs_the_file_from_any_folder(command: list[str], folder: str, project: Path) -> None:
    """The message about a wrong setting shows that the file ran; its import of a neighbour works as well."""
    (project / "experiments" / "near.py").write_text(PLAIN)
    (project / "experiments" / "idea.py").write_text(
        "import lab\nfrom experiments.near import Near\n\n\nclass AnyName(Near): ...\n" + MAIN.format("")
    )
    words = [word.format(root=project) for word in command]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *words, "width=0"],
        capture_output=True,
        text=True,
        cwd=project / folder,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 2
    printed = done.stderr.splitlines()
    assert printed[-1] == "lab: width=0: expected whole number >= 1; the default is 4"
    assert printed[:-1] == ([] if folder == "." else [f"project: {project}"])
