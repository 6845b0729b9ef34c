"""Experiments by name, and one flat set of settings for an experiment and its trainer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lab
from lab.errors import RunError, SettingsError, UsageError
from lab.runs.run import find_runs
from lab.trainer import discovery, registry
from tests.toy import Toy

IDEA = '''"""Does it work?

    make my_idea
"""
import lab


class AnyName(lab.Experiment[lab.Settings]):
    def prepare(self): ...
    def build(self, data): ...
    def report(self, run, report): ...
'''
SECOND = '''

class Second(AnyName):
    """Is the second better?

    Perhaps.
    """
'''


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of experiments of a project in the working directory."""
    folder = tmp_path / "project" / "experiments"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    kept = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "experiments"}
    for name in kept:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr(sys, "path", [str(folder.parent), *sys.path])
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "experiments"]:
        del sys.modules[name]
    sys.modules.update(kept)


def test_a_new_file_is_an_experiment_by_itself(own_folder: Path) -> None:
    (own_folder / "my_idea.py").write_text(IDEA)
    assert discovery.names() == {"my_idea": "Does it work?"}
    kind = registry.load("my_idea")
    assert (kind.name(), kind.import_path()) == ("my_idea", "experiments.my_idea:AnyName")
    assert registry.load("my_idea:AnyName") is kind


def test_several_experiments_of_a_file_have_their_classes_names(own_folder: Path) -> None:
    (own_folder / "my_idea.py").write_text(IDEA + SECOND)
    assert discovery.names() == {"my_idea:AnyName": "Does it work?", "my_idea:Second": "Is the second better?"}
    assert {registry.load(name).name() for name in discovery.names()} == set(discovery.names())
    with pytest.raises(UsageError, match="my_idea: expected one of its experiments, my_idea:AnyName, my_idea:Second"):
        registry.load("my_idea")
    with pytest.raises(UsageError, match=r"my_idea.py has no experiment Secnd; did you mean 'Second'\?"):
        registry.load("my_idea:Secnd")
    run = lab.Run.create("my_idea:Second")
    run.write_settings({"experiment": "my_idea:Second"})
    run.unlock()
    assert run.path.parent.name == "my_idea-Second"
    assert lab.Run.load("my_idea:Second").path == run.path.resolve()
    assert [found.path for found in find_runs("my_idea:Second")] == [run.path]


def test_of_several_experiments_the_one_named_like_its_file_has_the_files_name(own_folder: Path) -> None:
    (own_folder / "any_name.py").write_text(IDEA + SECOND)
    assert discovery.names() == {"any_name": "Does it work?", "any_name:Second": "Is the second better?"}
    assert {registry.load(name).name() for name in discovery.names()} == set(discovery.names())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from experiments.my_idea import AnyName\n\n\nclass Other(AnyName): ...\n", ["more"]),
        (
            "from .my_idea import AnyName as Base\n\n\nclass One(Base): ...\n\n\nclass Two(Base): ...\n",
            ["more:One", "more:Two"],
        ),
        (
            "from lab import Experiment as E\nimport lab\n\n\nclass Base(E[lab.Settings], abstract=True): ...\n\n\n"
            "class Settings(lab.Settings): ...\n\n\nclass Plain: ...\n\n\n"
            "class One(Base):\n    prepare = build = report = lambda *_: None\n",
            ["more"],
        ),
        ("from experiments.more import Base\n\n\nclass One(Base): ...\n", ["more"]),
    ],
    ids=["imported", "imported by another name", "a base class", "an import of itself"],
)
def test_experiments_are_found_in_a_files_text(own_folder: Path, text: str, names: list[str]) -> None:
    (own_folder / "my_idea.py").write_text(IDEA)
    (own_folder / "more.py").write_text(text)
    assert [name for name in discovery.names() if name != "my_idea"] == names


def test_a_file_that_cannot_be_read_is_listed_as_such(own_folder: Path) -> None:
    (own_folder / "broken.py").write_text("def :")
    assert "cannot be read" in discovery.names()["broken"]


def test_a_file_without_an_experiment_is_refused(own_folder: Path) -> None:
    (own_folder / "empty.py").write_text("")
    with pytest.raises(UsageError, match=r"experiments/empty\.py: expected a subclass of lab\.Experiment"):
        registry.load("empty")


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'autoencoder'"):
        registry.load("autoencodr")


def test_settings_find_their_owner() -> None:
    toy, trainer = registry.configure(Toy, {"width": "8", "epochs": "3", "preset": "wide"})
    assert (toy.settings.width, trainer.epochs, toy.preset) == (8, 3, "wide")


def test_all_faults_of_experiment_and_trainer_come_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        registry.configure(Toy, {"width": "0", "epochs": "none", "widht": "3", "preset": None})
    said = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 3
    for part in ("width=0", "epochs=none", "did you mean 'width'"):
        assert part in said


def test_a_fault_of_the_trainer_names_the_experiments_own_default() -> None:
    with pytest.raises(SettingsError, match=r"the default is 2$"):
        registry.configure(Toy, {"epochs": "x"})


def test_values_of_a_preset_that_no_trainer_has_are_said() -> None:
    class Odd(Toy):
        presets = {"odd": {"eppochs": 3}}

    with pytest.raises(SettingsError, match="did you mean 'epochs'"):
        registry.configure(Odd, {"preset": "odd"})


def test_a_setting_named_like_the_trainers_is_refused() -> None:
    class Clash(lab.Settings):
        epochs: int = lab.field(1, "A clash.")

    class Clashes(lab.Experiment[Clash]):
        def prepare(self) -> Any: ...
        def build(self, data: lab.Data) -> Any: ...
        def report(self, run: lab.Run, report: lab.Report) -> None: ...

    with pytest.raises(UsageError, match="epochs: the trainer has settings of that name"):
        registry.configure(Clashes, {})


def test_the_experiment_of_a_run_comes_back_with_its_settings(tmp_path: Path) -> None:
    run = lab.Run.create("toy")
    record = {"experiment": "toy", "class": "tests.toy:Toy", "preset": "wide", "settings": {"width": 9}, "trainer": {}}
    run.write_settings(record)
    made = registry.experiment_of(run)
    assert isinstance(made, Toy)
    assert (made.settings.width, made.preset) == (9, "wide")
    run.write_settings({**record, "class": "tests.toy:Gone"})
    with pytest.raises(RunError, match=r"expected its experiment at tests\.toy:Gone"):
        registry.experiment_of(run)
    run.write_settings({**record, "settings": {"width": -1}})
    with pytest.raises(RunError, match="its settings no longer fit Toy"):
        registry.experiment_of(run)
    run.unlock()


@pytest.mark.parametrize("module", ["planted", "experiments.planted", "experiments.run.planted", "runs.planted"])
def test_a_run_cannot_name_a_module_to_import(own_folder: Path, tmp_path: Path, module: str) -> None:
    run = lab.Run.create("toy", own_folder.parent / "runs" / "toy" / "run")
    run.unlock()
    for folder in (own_folder.parent, run.path, own_folder.parent / "runs"):  # but not the folder of experiments
        (folder / "planted.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n" + IDEA)
    run.write_settings({"experiment": "toy", "class": f"{module}:AnyName", "settings": {}, "trainer": {}})
    with pytest.raises(RunError, match=f"expected its experiment at {module}:AnyName; only modules of the folder"):
        registry.experiment_of(run)
    assert not (tmp_path / "imported").exists()
    assert module not in sys.modules


def test_a_run_of_a_file_of_the_experiments_folder_is_found_in_another_process(own_folder: Path) -> None:
    (own_folder / "my_idea.py").write_text(IDEA)
    run = lab.Run.create("my_idea")
    run.unlock()
    record = {"experiment": "my_idea", "class": "experiments.my_idea:AnyName", "settings": {}, "trainer": {}}
    run.write_settings(record)
    assert registry.experiment_of(run).name() == "my_idea"
    run.write_settings({**record, "class": "experiments.my_idea:Gone"})
    with pytest.raises(RunError, match=r"my_idea:Gone; that file no longer defines it"):
        registry.experiment_of(run)
