"""From what training resumes: not from another training, another format, or a run that is in use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import lab
from lab.checkpoints.fingerprint import differences as fingerprint_differences
from lab.checkpoints.manager import CheckpointManager
from lab.cli.runs import resume_with_settings
from lab.errors import RunError, SettingsError, UsageError
from lab.runs.environment import machine
from lab.runs.run import Run
from tests.checkpoints.test_manager import damage
from tests.resumed import Dies, Noisy, differences, facts, go_on, killed, quiet, tick, train
from tests.toy import Toy


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in its second epoch, with checkpoints after step 13 and 18."""
    path = tmp_path_factory.mktemp("cut") / "run"
    with pytest.MonkeyPatch.context() as patch:
        tick(patch)
        killed(path, None, Dies("on_test_begin", 2), steps_per_execution=1)
    return path


@pytest.fixture
def path(cut: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(cut, tmp_path / "run"))


def test_damaged_checkpoints_change_nothing_in_the_end(path: Path, tmp_path: Path) -> None:
    never = facts(train(tmp_path / "never", Noisy()))
    shutil.copytree(path, tmp_path / "all")
    entries = CheckpointManager(path / "checkpoints").index
    damage(path / "checkpoints" / entries[-1]["file"], "flipped")
    assert differences(facts(go_on(path)), never) == []
    for entry in entries:
        damage(tmp_path / "all" / "checkpoints" / entry["file"], "flipped")
    assert differences(facts(go_on(tmp_path / "all")), never) == []


def test_another_origin_is_refused_with_every_difference(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record = json.loads((path / "settings.json").read_text())
    record["settings"]["rate"] = 0.2
    record["trainer"]["batch_size"] = 64  # the step that it was killed in is not there any more
    (path / "settings.json").write_text(json.dumps(record))
    monkeypatch.setattr("lab.checkpoints.fingerprint.versions", lambda: {"keras": "2.0", "tensorflow": "1.0"})
    monkeypatch.setattr(lab.Data, "fingerprint", lambda self: "other")
    stood = Run.load(path).status_record()["reason"]
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "status.json"}
    with pytest.raises(RunError, match="belongs to another training") as caught:
        lab.resume(path, epochs=7, console=quiet())
    after = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "status.json"}
    assert before == after, "what is refused is left as it was"
    said = str(caught.value)
    for part in ("rate: 0.1 then, 0.2 now", "batch_size: 8 then, 64 now", "keras: 3.", "data: ", "numpy: "):
        assert part in said
    assert "epochs" not in said
    assert said.endswith("--force resumes nevertheless and ignores these differences")
    assert Run.load(path).status_record()["reason"] == stood
    assert go_on(path, force=True).status is lab.Status.COMPLETED
    assert "resuming in spite of differences: rate: 0.1 then, 0.2 now" in caplog.text


def test_another_machine_is_gone_on_with_and_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    then = machine()
    monkeypatch.setattr(
        "lab.checkpoints.fingerprint.machine", lambda: then | {"cpu": "Another", "xla_flags": "--xla_other=1"}
    )
    assert go_on(path).status is lab.Status.COMPLETED
    said = f"cpu: {then['cpu']} then, Another now; xla_flags: {then['xla_flags'] or 'none'} then, --xla_other=1 now"
    assert f"resuming, but the last bits may differ: {said}" in caplog.text


def test_the_same_machine_and_a_checkpoint_that_names_none_say_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert go_on(path).status is lab.Status.COMPLETED
    assert "last bits" not in caplog.text
    now = {"rate": "0.1", **{f"machine.{name}": str(value) for name, value in machine().items()}}
    assert fingerprint_differences({"rate": "0.1"}, now) == ([], [])
    assert fingerprint_differences({"rate": "0.2", "gone": "1"}, now) == (
        ["rate: 0.2 then, 0.1 now", "gone: 1 then, none now"],
        [],
    )


def test_a_checkpoint_of_another_version_is_refused_and_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = path / "checkpoints" / "index.json"
    old = [{name: value for name, value in entry.items() if name != "kind"} for entry in json.loads(index.read_text())]
    index.write_text(json.dumps(old))  # as an earlier version wrote it
    monkeypatch.setattr("lab.checkpoints.checkpoint.FORMAT", 99)
    with pytest.raises(RunError, match="expected checkpoint format 99, got 2"):
        lab.resume(path, console=quiet())
    assert json.loads(index.read_text()) == old
    assert all((index.parent / entry["file"]).is_file() for entry in old)


def test_a_run_that_another_process_works_on_is_left_alone(path: Path) -> None:
    other = Run(path)
    other.lock()
    before = (path / "status.json").read_text()
    with pytest.raises(RunError, match="another process is working on this run"):
        lab.resume(path, console=quiet())
    other.unlock()
    assert (path / "status.json").read_text() == before


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"width": "5"}, r"got width=5 \(it has 4\); only epochs may be raised"),
        ({"preset": "wide"}, r"got preset=wide \(it has none\)"),
        ({"batch_size": "9", "width": "4"}, r"got batch_size=9 \(it has 8\)"),
    ],
)
def test_a_setting_that_differs_is_refused(values: dict[str, str], said: str, path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        resume_with_settings(Noisy, str(path), values, quiet())


def test_the_run_of_another_experiment_and_fewer_epochs_are_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="expected a run of toy, got one of noisy"):
        resume_with_settings(Toy, str(path), {}, quiet())
    with pytest.raises(SettingsError, match="epochs=2: expected 3 or more"):
        resume_with_settings(Noisy, str(path), {"epochs": "2"}, quiet())
