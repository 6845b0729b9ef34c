"""Experiments by name, and one flat set of knobs for an experiment and its trainer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lab
from lab.errors import RunError, SettingsError, UsageError
from lab.trainer import discovery, registry
from tests.toy import Toy

IDEA = '''"""Does it work?

    make my_idea
"""
import lab


class MyIdea(lab.Experiment[lab.Settings]):
    def prepare(self): ...
    def build(self, data): ...
    def report(self, run, report): ...
'''


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with its own experiments."""
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
    assert registry.load("my_idea").__name__ == "MyIdea"


def test_a_file_that_cannot_be_read_is_listed_as_such(own_folder: Path) -> None:
    (own_folder / "broken.py").write_text("def :")
    assert "cannot be read" in discovery.names()["broken"]


def test_a_file_without_an_experiment_is_said(own_folder: Path) -> None:
    (own_folder / "empty.py").write_text("")
    with pytest.raises(UsageError, match=r"expected one subclass of lab\.Experiment, found 0"):
        registry.load("empty")


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'autoencoder'"):
        registry.load("autoencodr")


def test_knobs_find_their_owner() -> None:
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
