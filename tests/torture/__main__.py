"""Kills runs of every experiment on real data at random instants and goes on with them: `make torture`.

Each case starts a run, kills it (SIGKILL) at an instant drawn from a seed, which may be in any stage,
and goes on with it, half of the time killing that once more. Others are started on a disk that fails
at one of the files that they write, or that is really full for a while (where a small one can be
mounted): they must say so in one line, and are then gone on with. In the end weights, history and
metrics are compared with those of the run that was never touched: all must be the same to the last bit.
Last comes the table of hostile inputs, `tests/hostile`.
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
from lab.runs.run import Run
from lab.trainer.discovery import names

TIMES = ("seconds", "training_seconds")  # what no two runs have in common


def settings(folder: Path) -> dict[str, dict[str, Any]]:
    """Settings that make each experiment quick, with real data in files of its own."""
    import numpy as np

    from lab.data.datasets import imdb, mnist

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
        "denoising_autoencoder": common | small | {"reference_runs": "none"},
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


def untouched(name: str, words: list[str], folder: Path) -> tuple[dict[str, Any], float, int]:
    """Runs an experiment that nothing disturbs; returns its outcome, its seconds and how many files it wrote."""
    began, path = time.monotonic(), folder / "untouched"
    command = [sys.executable, "-m", "tests.faults", "full", "0", "once", "run", name, *words, f"run_dir={path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: the untouched run failed: {done.stderr[-2000:]}")
    return outcome(path), time.monotonic() - began, int(done.stdout.split()[-1])


def judge(name: str, what: str, path: Path, wanted: Mapping[str, Any], wrong: str, tally: Tally) -> None:
    """Counts a case whose run has been gone on with; one that was lost is said."""
    lost = differences(outcome(path), wanted) if Run(path).is_complete else ["everything"]
    tally.cases += 1
    tally.survived += not (lost or wrong)
    if lost or wrong:
        print(f"{name}: {what}: {', '.join(lost)} differ; {path}\n{wrong}", flush=True)  # noqa: T201


def killed(
    name: str, words: list[str], kills: int, chance: random.Random, folder: Path, wanted: Mapping[str, Any], took: float
) -> Tally:
    """Kills runs of one experiment so often, and goes on with them."""
    tally = Tally()
    while tally.kills < kills:
        path = folder / f"killed-{tally.cases}"
        process, instants = start(["run", name, *words, f"run_dir={path}"]), []
        for _ in range(1 + (chance.random() < 0.5)):
            instants.append(round(took * chance.random(), 3))
            if not kill(process, path, instants[-1]):
                break
            tally.kills += 1
            if Run(path).is_complete:  # it had written all that it writes, and was on its way out
                break
            stage = Run(path).status_record().get("stage") or "start"
            tally.stages[stage] = tally.stages.get(stage, 0) + 1
            process = start(["resume", str(path)])
        wrong = finish(process) if process.returncode is None else ""
        judge(name, f"killed after {instants} s", path, wanted, wrong, tally)
    return tally


def arguments(words: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Returns the numbers and the experiments that the words ask for; exits with 2 where they are no such words."""
    known = sorted(names())
    told = {"kills": "25", "seed": "0", "faults": "8", "hostile": "1", "only": ",".join(known)}
    for word in words:
        name, _, value = word.partition("=")
        told[name] = value
    only = told.pop("only").split(",")
    if len(told) > 4 or not all(map(str.isdecimal, told.values())) or set(only) - set(known):
        said = f"expected kills=25 seed=0 faults=8 hostile=1 only={','.join(known)}, got {' '.join(words)}"
        print(f"torture: {said}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    return {name: int(value) for name, value in told.items()}, only


def main() -> None:
    """Runs every case and prints the table; the exit code is 1 where anything was lost."""
    from tests.torture.disk import failing, full

    told, only = arguments(sys.argv[1:])
    folder = Path(tempfile.mkdtemp(prefix="lab-torture-"))
    os.environ["LAB_RUNS"] = str(folder / "runs")
    known, tallies = settings(folder), list[Tally]()
    for name in only:
        place = folder / name
        place.mkdir()
        words = [f"{setting}={value}" for setting, value in known[name].items()]
        wanted, took, files = untouched(name, words, place)
        chance = random.Random(f"{told['seed']} {name}")
        parts = {
            "killed": killed(name, words, told["kills"], chance, place, wanted, took),
            "a disk that fails": failing(name, words, told["faults"], chance, place, wanted, files),
            "a full disk": full(name, words, bool(told["faults"]), chance, place, wanted, took),
        }
        for part, tally in parts.items():
            tallies.append(tally)
            stages = ", ".join(f"{stage} {count}" for stage, count in sorted(tally.stages.items()))
            said = f"cases {tally.cases:>3}, survived {tally.survived:>3}, lost {tally.cases - tally.survived}"
            kills = f", kills {tally.kills}" * bool(tally.kills)
            print(f"{name:<22} {part:<18} {said}{kills} {f'({stages})' * bool(stages)}", flush=True)  # noqa: T201
    cases, survived = sum(tally.cases for tally in tallies), sum(tally.survived for tally in tallies)
    print(f"{'all':<22} {'':<18} cases {cases:>3}, survived {survived:>3}, lost {cases - survived}", flush=True)  # noqa: T201
    if cases == survived:
        shutil.rmtree(folder)
    hostile = subprocess.run([sys.executable, "-m", "tests.hostile"], check=False).returncode if told["hostile"] else 0
    raise SystemExit(1 if cases > survived or hostile else 0)


if __name__ == "__main__":
    assert lab.__version__
    main()
