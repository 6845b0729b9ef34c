"""The `lab` command as a user types it: what it prints, and the exit code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def lab(*words: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab.cli", *words],
        capture_output=True,
        text=True,
        cwd=cwd or ROOT,
        env={**os.environ, **environment},
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, digits_file: Path) -> Path:
    """A finished run of the autoencoder on made digits."""
    root = tmp_path_factory.mktemp("finished")
    words = ["run", "autoencoder", f"data={digits_file}", "epochs=2", "batch_size=32", "--hidden-units", "32"]
    done = lab(*words, "latent_dim=4", LAB_RUNS=str(root), COLUMNS="200")
    assert done.returncode == 0, done.stderr
    return root


def test_list_shows_every_experiment() -> None:
    done = lab("list")
    assert done.returncode == 0
    assert "autoencoder How few numbers can hold a handwritten digit?" in " ".join(done.stdout.split())


def test_help_of_an_experiment_shows_both_kinds_of_settings_with_defaults() -> None:
    done = lab("run", "autoencoder", "--help", COLUMNS="100")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "--latent-dim Numbers in one digit's code. [whole number >= 1 and <= 784; default: 32]" in text
    assert "--epochs Passes over the training data. [whole number >= 1 and <= 1000000; default: 32]" in text
    assert "--preset" in text


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "autoencodr"], 2, "did you mean 'autoencoder'"),
        (["run", "autoencoder", "latent_dim=-3"], 2, "latent_dim=-3: expected whole number >= 1 and <= 784"),
        (["run", "autoencoder", "--latentdim", "3"], 2, "--latent-dim"),
        (["run", "autoencoder", "latentdim=3"], 2, "did you mean 'latent_dim'"),
        (["run", "autoencoder", "preset=ful"], 2, "did you mean 'full'"),
        (["run", "autoencoder", "stray"], 2, "stray: expected --name value or name=value"),
        (["run", "autoencoder", "data=/nowhere", "fast_dev_run=true"], 1, "data=/nowhere: expected an .npz file"),
        (["run", "autoencoder", "--epochs", "1", "epochs=2"], 2, "epochs: given twice"),
        (["run", "autoencoder", "epochs=x"], 2, "the default is 32"),
        (["sweep", "autoencoder", "latent_dim=2"], 2, "expected a setting with several values"),
        (["sweep", "autoencoder", "latent_dim=2,x"], 2, "latent_dim=x"),
        (["show", "nowhere"], 1, "expected a run directory"),
        (["predict", "nowhere", "x.png"], 1, "expected a run directory"),
        (["report", "nowhere"], 1, "expected a run directory"),
        (["data", "fetch", "minst"], 2, "did you mean 'mnist'"),
        (["data", "remove"], 2, "expected the names"),
        (["data", "verify", "mnist"], 1, "not in the cache"),
        (["run", "autoencoder:Other"], 2, "has no experiment Other; it has Autoencoder"),
        (["fly"], 2, "No such command 'fly'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_clear_line_and_an_exit_code(
    words: list[str], code: int, message: str, tmp_path: Path
) -> None:
    done = lab(*words, LAB_RUNS=str(tmp_path / "runs"))
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_all_mistakes_are_reported_at_once() -> None:
    done = lab("run", "autoencoder", "latent_dim=0", "epochs=0", "colour=red")
    assert done.returncode == 2
    assert "3 settings are wrong" in done.stderr
    for part in ("latent_dim=0", "epochs=0", "colour"):
        assert part in done.stderr


def test_traceback_shows_where_the_error_was_raised() -> None:
    done = lab("--traceback", "show", "nowhere")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "RunError" in done.stderr


def test_runs_lists_a_finished_run_with_its_key_metric(finished: Path) -> None:
    done = lab("runs", LAB_RUNS=str(finished), COLUMNS="200")
    assert done.returncode == 0
    assert "completed" in done.stdout
    assert "test_bce 0." in done.stdout
    assert "latent_dim=4" in done.stdout


def test_runs_without_runs_prints_a_hint(tmp_path: Path) -> None:
    assert "no runs yet" in lab("runs", LAB_RUNS=str(tmp_path)).stdout


def test_show_prints_the_report_again(finished: Path) -> None:
    done = lab("show", "autoencoder", LAB_RUNS=str(finished), COLUMNS="160")
    assert done.returncode == 0
    for part in ("test_bce", "Originals and reconstructions", "How do I change the latent size"):
        assert part in done.stdout


def test_report_is_written_again(finished: Path) -> None:
    run = finished / "autoencoder" / "latest"
    before = (run / "report.json").read_text()
    (run / "report.json").unlink()
    assert "no report" in lab("show", str(run), LAB_RUNS=str(finished)).stdout
    done = lab("report", str(run), LAB_RUNS=str(finished))
    assert done.returncode == 0, done.stderr
    assert (run / "report.json").read_text() == before


def test_predict_reports_inputs_that_fail_and_draws_the_others(finished: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "dark.png")
    Image.fromarray(np.full((50, 40), 255, np.uint8)).save(tmp_path / "light.png")
    (tmp_path / "note.txt").write_text("not a picture")
    names = [str(tmp_path / name) for name in ("dark.png", "note.txt", "light.png", "missing.png")]
    done = lab("predict", "autoencoder", *names, LAB_RUNS=str(finished))
    assert done.returncode == 1
    assert "resized from 40 x 50 pixels" in done.stdout
    assert "add --invert" in done.stdout
    assert len(done.stderr.strip().splitlines()) == 2
    assert "note.txt: expected a picture" in done.stderr
    assert "missing.png: no such file" in done.stderr
    for name in ("dark", "light"):
        with Image.open(tmp_path / f"{name}.reconstruction.png") as picture:
            assert picture.size == ((28 + 1 + 28) * 8, 28 * 8)


def test_predict_without_inputs_is_refused(finished: Path) -> None:
    done = lab("predict", "autoencoder", LAB_RUNS=str(finished))
    assert done.returncode == 2
    assert "expected pictures" in done.stderr


def test_data_list_shows_size_state_and_licence(tmp_path: Path) -> None:
    done = lab("data", "list", LAB_CACHE=str(tmp_path))
    assert done.returncode == 0
    assert "mnist  MNIST, 55.0 MB, not cached; CC BY-SA 3.0" in done.stdout
    assert f"cache: {tmp_path}" in done.stdout


def test_the_hash_of_the_weights_is_one_line_for_scripts(finished: Path) -> None:
    done = lab("show", "autoencoder", "--weights-hash", LAB_RUNS=str(finished))
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[0-9a-f]{64}\n", done.stdout)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["run", "autoencoder", "resume=latest", "latent_dim=5"],
            2,
            "got latent_dim=5 (it has 4); only epochs may be raised",
        ),
        (["resume", "autoencoder", "--epochs", "1"], 2, "epochs=1: expected 2 or more, the run's epochs"),
        (["resume", "autoencoder"], 1, "the run is completed; --epochs 4 trains it further"),
    ],
    ids=["another setting", "fewer epochs", "completed"],
)
def test_a_run_that_cannot_be_resumed_is_one_clear_line(
    words: list[str], code: int, message: str, finished: Path
) -> None:
    done = lab(*words, LAB_RUNS=str(finished))
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
