"""What a run leaves when the machine fails: a disk that is full or cannot be written, memory that runs out."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import lab
from lab.errors import OutOfMemoryError, WriteError
from lab.runs.run import Run
from lab.runs.status import Status
from lab.trainer.failure import explained
from tests.faults import FAULTS, Disk
from tests.resumed import differences, facts, go_on, quiet, tick, train
from tests.toy import Toy

FILES = 18  # that the run below writes
CASES = [
    pytest.param(fault, at, at % 2 == place % 2, id=f"{fault}, file {at}{' and later' * (at % 2 == place % 2)}")
    for place, fault in enumerate(FAULTS)
    for at in range(1 + place, FILES + 1, len(FAULTS))
]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run that nothing fails leaves."""
    with pytest.MonkeyPatch.context() as patch, Disk("full", 0, always=False).installed() as disk:
        tick(patch)
        found = facts(train(tmp_path_factory.mktemp("untouched") / "run"))
    assert disk.files == FILES
    return found


@pytest.mark.parametrize(("fault", "at", "always"), CASES)
def test_a_disk_that_fails_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untouched: dict[str, Any], fault: str, at: int, always: bool
) -> None:
    tick(monkeypatch)
    with pytest.raises(lab.LabError, match="cannot be written") as caught, Disk(fault, at, always=always).installed():
        train(tmp_path / "run")
    assert os.strerror(FAULTS[fault]) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob(".*.part*"))
    run = Run(tmp_path / "run")
    if not (run.path / "settings.json").is_file():
        assert at == 1  # nothing had begun
        return
    assert f"lab resume {run.path} continues" in str(caught.value)
    if not always:
        assert run.status is Status.FAILED
        assert run.status_record()["reason"] == str(caught.value)
    assert run.status is not Status.RUNNING
    assert not differences(facts(go_on(run.path)), untouched)


def test_a_disk_that_fails_in_the_report_keeps_the_model(tmp_path: Path) -> None:
    with Disk("full", 0, always=False).installed() as disk:
        lab.Trainer(run_dir=tmp_path / "whole").run(Toy(), console=quiet())
    before = disk.files - 5  # status, figure, page, Markdown, JSON, status
    disk = Disk("full", before, always=True)
    with pytest.raises(WriteError, match=r"lab report .* writes the report again"), disk.installed():
        lab.Trainer(run_dir=tmp_path / "run").run(Toy(), console=quiet())
    run = Run(tmp_path / "run")
    assert run.weights_hash() == Run(tmp_path / "whole").weights_hash()
    assert not run.is_complete
    assert go_on(run.path, report=True).metrics["test_loss"] == Run(tmp_path / "whole").metrics["test_loss"]


class Starved(keras.layers.Dense):  # type: ignore[misc]  # Keras has no types
    """Finds no memory where there are numbers."""

    def call(self, x: Any, training: bool | None = None) -> Any:
        if type(x).__name__ != "KerasTensor":
            np.empty(10**16)
        return super().call(x)


class Hungry(Toy):
    """Takes more memory than there is: in `prepare`, or in the model's first batch."""

    def prepare(self) -> lab.Data:
        if self.settings.fail_in == "prepare memory":
            np.empty(10**16)
        return super().prepare()

    def build(self, data: lab.Data) -> keras.Model:
        model = super().build(data)
        if self.settings.fail_in == "build memory":
            model = keras.Sequential([keras.Input((3,)), Starved(1)])
            model.compile("sgd", "mse")
        return model


@pytest.mark.parametrize("stage", ["prepare", "build"])
def test_too_little_memory_is_one_line(tmp_path: Path, stage: str) -> None:
    with pytest.raises(OutOfMemoryError, match=f"^{stage}: out of memory .* batch_size below 8") as caught:
        lab.Trainer(run_dir=tmp_path / "run").run(Hungry(fail_in=f"{stage} memory"), console=quiet())
    assert "\n" not in str(caught.value)
    assert Run(tmp_path / "run").status is Status.FAILED


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor\nHint: ..."),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 400 bytes."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_every_backends_lack_of_memory_is_known(error: Exception) -> None:
    said = explained(error, Path("run"), "fit", 128)
    assert isinstance(said, OutOfMemoryError)
    assert str(said).startswith("fit: out of memory (")
    assert "lab resume run continues" in str(said)


def test_a_lack_of_memory_that_was_seen_to_is_none() -> None:
    error = ValueError("a bug")
    error.__context__ = MemoryError()  # what was handled when it was raised
    assert explained(error, Path("run"), "fit", 128) is error
    stop = KeyboardInterrupt()
    stop.__cause__ = MemoryError()
    assert explained(stop, Path("run"), "fit", 128) is stop


def test_what_a_run_inside_has_said_is_not_said_twice() -> None:
    for inner in (MemoryError(), OSError(errno.ENOSPC, "No space left on device")):
        said = explained(inner, Path("inner"), "fit", 8)
        assert explained(said, Path("outer"), "report", 8) is said


def test_other_errors_are_left_as_they_are() -> None:
    for error in (ValueError("no"), FileNotFoundError(errno.ENOENT, "No such file"), KeyboardInterrupt()):
        assert explained(error, Path("run"), "fit", 128) is error


def test_a_report_that_raises_says_how_to_make_it_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken report") as caught:
        lab.Trainer(run_dir=tmp_path / "run").run(Toy(fail_in="report"), console=quiet())
    assert caught.value.__notes__ == [
        f"lab: the trained model is kept: lab report {tmp_path / 'run'} writes the report again"
    ]
