"""Kills runs of every experiment on real data at random instants and goes on with them: `make torture`.

Each case starts a run, kills it (SIGKILL) at an instant drawn from a seed, which may be in any stage,
and goes on with it, half of the time killing that once more. In the end its weights, history and
metrics are compared with those of the run that was never touched: all must be the same to the last bit.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lab  # first: it silences what TensorFlow says when it starts
from lab.discovery import names
from lab.run import Run

TIMES = ("seconds", "training_seconds")  # what no two runs have in common


def settings(folder: Path) -> dict[str, dict[str, Any]]:
    """Settings that make each experiment quick, with real data in files of its own."""
    import numpy as np

    from lab.data import imdb, mnist

    digits = mnist.load()
    parts = {"x_train": digits.train.x[:3000], "y_train": digits.train.y[:3000]}
    parts |= {"x_test": digits.test.x[:500], "y_test": digits.test.y[:500]}
    images = {name: (255 * part).round().astype(np.uint8) if name[0] == "x" else part for name, part in parts.items()}
    np.savez(folder / "digits.npz", **images)
    reviews = imdb.load().train.head(1500)
    with (folder / "reviews.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        writer.writerows(zip(reviews.texts, reviews.labels.tolist(), strict=True))
    common = {"epochs": 3, "checkpoint_every": "0.2s", "steps_per_execution": 2}
    small = {"hidden_units": "64", "latent_dim": 8, "data": folder / "digits.npz"}
    return {
        "autoencoder": common | small,
        "denoising_autoencoder": common | small | {"companions": "none"},
        "text_generation": common
        | {"units": "16", "samples": 2, "sample_length": 60, "temperatures": "0.5,1", "limit_batches": 40},
        "sentiment_analysis": common
        | {"data": folder / "reviews.csv", "units": 4, "embedding_dim": 8, "max_words": 100, "baselines": False},
    }


@dataclasses.dataclass
class Tally:
    """What became of an experiment's cases."""

    cases: int = 0
    kills: int = 0
    survived: int = 0
    stages: dict[str, int] = dataclasses.field(default_factory=dict)


def start(words: list[str]) -> subprocess.Popen[bytes]:
    """Starts the command in a process of its own."""
    command = [sys.executable, "-m", "lab.cli", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> str:
    """Waits for the end, and returns what was wrong; empty where nothing was."""
    _, said = process.communicate()
    return "" if process.returncode == 0 else said.decode("utf-8", "replace")[-2000:]


def kill(process: subprocess.Popen[bytes], path: Path, after: float) -> bool:
    """Kills a process so long after its run has begun; False where it had ended before."""
    while not (path / "settings.json").is_file() and process.poll() is None:
        time.sleep(0.01)
    deadline = time.monotonic() + after
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    ended = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return not ended


def outcome(path: Path) -> dict[str, Any]:
    """What must be the same."""
    run = Run(path)
    rows = [{name: value for name, value in row.items() if name not in TIMES} for row in run.history]
    metrics = {name: value for name, value in run.metrics.items() if name not in TIMES}
    return {"status": str(run.status), "weights": run.weights_hash(), "history": rows, "metrics": metrics}


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The names of what is not the same."""
    return [name for name in wanted if found[name] != wanted[name]]


def torture(name: str, knobs: Mapping[str, Any], kills: int, seed: int, folder: Path) -> Tally:
    """Kills runs of one experiment so often; says each case that was lost."""
    words = [f"{knob}={value}" for knob, value in knobs.items()]
    began = time.monotonic()
    wrong = finish(start(["run", name, *words, f"run_dir={folder / 'untouched'}"]))
    if wrong:
        raise SystemExit(f"{name}: the untouched run failed: {wrong}")
    took, wanted, tally = time.monotonic() - began, outcome(folder / "untouched"), Tally()
    chance = random.Random(f"{seed} {name}")
    while tally.kills < kills:
        path = folder / f"case-{tally.cases}"
        process, instants = start(["run", name, *words, f"run_dir={path}"]), []
        for _ in range(1 + (chance.random() < 0.5)):
            instants.append(round(took * chance.random(), 3))
            if not kill(process, path, instants[-1]):
                break
            tally.kills += 1
            stage = Run(path).status_record().get("stage") or "start"
            tally.stages[stage] = tally.stages.get(stage, 0) + 1
            process = start(["resume", str(path)])
        wrong = finish(process) if process.returncode is None else ""
        whole = Run(path).is_whole
        lost = differences(outcome(path), wanted) if whole else ["everything"]
        tally.cases += 1
        tally.survived += not lost
        if lost:
            print(f"{name}: killed after {instants} s: {', '.join(lost)} differ; {path}\n{wrong}", flush=True)  # noqa: T201
    return tally


def arguments(words: Sequence[str]) -> tuple[int, int, list[str]]:
    """Returns how many kills, which seed and which experiments the words ask for; exits with 2 where they do not."""
    known = sorted(names())
    told = dict(word.partition("=")[::2] for word in words)
    only = told.get("only", ",".join(known)).split(",")
    numbers = told.get("kills", "25"), told.get("seed", "0")
    if told.keys() - {"kills", "seed", "only"} or not all(map(str.isdecimal, numbers)) or set(only) - set(known):
        said = f"torture: expected kills=25 seed=0 only={','.join(known)}, got {' '.join(words)}"
        print(said, file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    return int(numbers[0]), int(numbers[1]), only


def main() -> None:
    """Runs every case and prints the table; the exit code is 1 where anything was lost."""
    kills, seed, only = arguments(sys.argv[1:])
    folder = Path(tempfile.mkdtemp(prefix="lab-torture-"))
    os.environ["LAB_RUNS"] = str(folder / "runs")
    lost = 0
    known = settings(folder)
    for name in only:
        (folder / name).mkdir()
        tally = torture(name, known[name], kills, seed, folder / name)
        lost += tally.cases - tally.survived
        stages = ", ".join(f"{stage} {count}" for stage, count in sorted(tally.stages.items()))
        said = f"cases {tally.cases}, kills {tally.kills} ({stages}), survived {tally.survived}"
        print(f"{name:<22} {said}, lost {tally.cases - tally.survived}", flush=True)  # noqa: T201
    if not lost:
        shutil.rmtree(folder)
    raise SystemExit(1 if lost else 0)


if __name__ == "__main__":
    assert lab.__version__
    main()
