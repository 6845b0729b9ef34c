"""Control-C and `kill`, as a shell sends them: the first stops in order, a second at once; both exit with 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.runs.run import Run
from lab.runs.status import Status

SLOW = '''"""Does nothing for a while in each step."""
import pathlib, time
import keras, numpy as np
import lab

class Settings(lab.Settings):
    nap: float = lab.field(0.0, "Seconds that a step takes.")

class Naps(lab.Callback):
    def __init__(self, nap):
        super().__init__()
        self.nap = nap

    def on_train_batch_end(self, batch, logs=None):
        pathlib.Path("napping").touch()
        time.sleep(self.nap)

class Slow(lab.Experiment[Settings]):
    trainer = {"epochs": 3, "batch_size": 8, "jit": False}

    def prepare(self):
        x = np.random.default_rng(0).normal(size=(160, 3)).astype(np.float32)
        return lab.Data(*(lab.Split(name, x, x[:, :1]) for name in ("train", "validation", "test")))

    def build(self, data):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    def callbacks(self):
        return [Naps(self.settings.nap)]

    def report(self, run, report):
        report.metric("test_loss", run.evaluate("test"))
'''


def hear() -> None:
    """Control-C as it is in the foreground: who is started in the background of a script is deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def begin(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Starts the `lab` command with some words, where the slow experiment is."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "slow.py").write_text(SLOW)

    def start(words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "lab.cli", *words.split()]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ}, stdout=pipe, stderr=pipe, text=True, preexec_fn=hear
        )

    return start


def wait_for_a_nap(run: Path, process: subprocess.Popen[str]) -> None:
    """Waits until a step is under way, whatever else the machine does."""
    deadline, napping = time.monotonic() + 120, run.parent / "napping"
    napping.unlink(missing_ok=True)
    while not napping.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert Run(run).status_record()["stage"] == "fit"


def test_a_kill_stops_in_order(tmp_path: Path, begin: Callable[[str], subprocess.Popen[str]]) -> None:
    process = begin("run slow nap=0.1 run_dir=cut")
    wait_for_a_nap(tmp_path / "cut", process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert (tmp_path / "cut" / "model.keras").is_file()


def test_the_first_signal_stops_in_order_and_the_run_goes_on(
    tmp_path: Path, begin: Callable[[str], subprocess.Popen[str]]
) -> None:
    whole = begin("run slow run_dir=whole")
    assert whole.wait(120) == 0
    process = begin("run slow nap=0.1 run_dir=cut")
    wait_for_a_nap(tmp_path / "cut", process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.strip() == "lab: interrupted; lab resume cut resumes, lab report cut shows the best model so far"
    cut = Run(tmp_path / "cut")
    assert cut.status is Status.INTERRUPTED
    assert 0 < cut.history[-1]["step"] < 60
    assert (cut.path / "model.keras").is_file()
    process = begin("resume cut")
    assert process.wait(120) == 0, process.communicate()
    assert cut.is_complete
    assert cut.weights_hash() == Run(tmp_path / "whole").weights_hash()


def test_a_second_signal_stops_at_once(tmp_path: Path, begin: Callable[[str], subprocess.Popen[str]]) -> None:
    process = begin("run slow nap=300 run_dir=cut")
    wait_for_a_nap(tmp_path / "cut", process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "the first waits for the end of the step"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert said.strip() == "lab: interrupted"
    assert Run(tmp_path / "cut").status is Status.INTERRUPTED
