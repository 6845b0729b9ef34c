"""Rows without a rival: what the lab costs by itself, each measured in processes of their own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tests.benchmarks.pairs import ROOT, Bench, BenchError, Comparison, Engine, call, compare, environment, own_folder

Row = dict[str, Any]
EXPERIMENTS = {"autoencoder": 1.0, "denoising_autoencoder": 0.4, "text_generation": 0.5, "sentiment_analysis": 0.05}
MEMORY_STEPS = 32
SHARES, SIZES = (0.1, 0.3, 1.0), (64, 256, 1024)


def value(name: str, number: float, unit: str, goal: float | None = None) -> Row:
    """Returns one number of a row."""
    return {"name": name, "value": number, "unit": unit, "goal": goal, "met": None if goal is None else number <= goal}


def measures(row: str, title: str, values: Sequence[Row], *notes: str) -> Row:
    """Returns a row of numbers."""
    return {"row": row, "title": title, "values": list(values), "notes": list(notes)}


def overhead(bench: Bench) -> Iterator[Row]:
    """Bare `fit` against the whole trainer, on an epoch as short as there is and on the default's."""
    for task, goal, title in (("deep", 1.03, "784-512-256-32"), ("small", None, "784-32-784")):
        yield compare(
            Comparison(
                f"overhead_{task}",
                f"Trainer with progress, history and checkpoints against bare fit, {title}, an epoch with validation",
                [
                    Engine("lab", "lab", "tests.benchmarks.own:with_trainer"),
                    Engine("bare", "bare", "tests.benchmarks.own:bare"),
                ],
                {"bare": goal},
                tolerance=0.001,
                prepare="tests.benchmarks.tasks:prepare",
                options={"task": task, "examples": 55_000},
                pairs=7 if task == "small" else 9,
                warm=1,
            ),
            bench,
        )


def checkpoints(bench: Bench) -> Iterator[Row]:
    """What saving takes, by default once an epoch, of each experiment's training."""
    values = []
    for name, share in EXPERIMENTS.items():
        with own_folder() as folder:
            found = call("tests.benchmarks.own:checkpoints", folder, {"experiment": name, "share": share})
        part = 100 * found["saving"] / (found["epoch"] + found["saving"])
        values.append(value(f"{name} ({found['saving'] * 1e3:.0f} ms, {found['epoch']:.1f} s an epoch)", part, "%", 2))
        bench.say(f"checkpoints: {name} {part:.2f} %")
    note = "epochs of " + ", ".join(f"{name} {share:.0%}" for name, share in EXPERIMENTS.items() if share < 1)
    yield measures("checkpoints", "Checkpoints, share of training", values, f"{note} were trained, and scaled up")


def _timed(command: Sequence[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(command)} ended with {done.returncode}")
    return time.perf_counter() - began


def startup(bench: Bench) -> Iterator[Row]:
    """`lab --help`, and from `lab run autoencoder` to the first step."""
    times = bench.pairs or 5
    bench.say(f"startup: {times} times")
    helped = [_timed([sys.executable, "-m", "lab.cli", "--help"]) for _ in range(1 + times)][1:]
    found = []
    for _ in range(1 + (bench.pairs or 3)):
        with own_folder() as folder:
            began = time.time()
            command = [
                sys.executable,
                "-m",
                "tests.benchmarks.startup",
                str(began),
                "autoencoder",
                f"run_dir={folder / 'run'}",
            ]
            done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
            if done.returncode or not done.stdout.strip():
                raise BenchError(f"startup: {done.stderr.strip()[-400:]}")
            found.append(json.loads(done.stdout.strip().splitlines()[-1]))
    found = found[1:]  # the first one reads files from the disk
    parts = {name: statistics.median(one[name] for one in found) for name in found[0]}
    total = statistics.median(sum(one.values()) for one in found)
    yield measures(
        "startup",
        "Start",
        [
            value("lab --help", statistics.median(helped), "s", 0.5),
            value("lab run autoencoder, to the first 16 steps", total, "s"),
            *(value(f"of it: {name}", seconds, "s") for name, seconds in parts.items()),
        ],
    )


def memory(bench: Bench) -> Iterator[Row]:
    """Peak resident memory of each experiment's prepare, build and fit."""
    code = (
        "import io, sys; from pathlib import Path; import lab\n"
        "from rich.console import Console; from lab.trainer.registry import load\n"
        "name, steps, folder = sys.argv[1:]\n"
        "more = {'reference_runs': 'none'} if name == 'denoising_autoencoder' else {}\n"
        "trainer = lab.Trainer(epochs=1, limit_batches=int(steps), run_dir=Path(folder))\n"
        "trainer.run(load(name)(**more), console=Console(file=io.StringIO()), report=False)\n"
    )
    values = []
    for name in EXPERIMENTS:
        with own_folder() as folder:
            command = [sys.executable, "-c", code, name, str(MEMORY_STEPS), str(folder / "run")]
            process = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise BenchError(f"memory: {name} ended with {process.returncode}")
        unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes on Linux
        values.append(value(name, usage.ru_maxrss * unit / 2**20, "MB"))
        bench.say(f"memory: {name} {values[-1]['value']:.0f} MB")
    yield measures("memory", "Peak memory", values, f"data, model and {MEMORY_STEPS} steps, without the report")


def scaling(bench: Bench) -> Iterator[Row]:
    """How an epoch of the autoencoder grows with the data and with the batch."""
    seconds = {}
    with own_folder() as folder:
        call("tests.benchmarks.tasks:prepare", folder, {"task": "deep", "examples": 55_000, "turns": 1})
        for share, size in [*((share, 256) for share in SHARES), *((1.0, size) for size in SIZES if size != 256)]:
            options = {"grown_examples": int(55_000 * share), "batch": size}
            seconds[share, size] = call("tests.benchmarks.own:grown", folder, options)["epoch"]
            bench.say(f"scaling: {share:.0%} of the data, batch {size}: {seconds[share, size]:.2f} s")
    fixed, slope, straight = line(SHARES, [seconds[share, 256] for share in SHARES])
    yield measures(
        "scaling",
        "An epoch of 784-512-256-32",
        [
            *(value(f"{share:.0%} of the data, batch 256", seconds[share, 256], "s") for share in SHARES),
            value("line through them: constant", fixed, "s"),
            value("line through them: slope, for all data", slope, "s"),
            value("line through them: R²", straight, ""),
            *(value(f"all data, batch {size}", seconds[1.0, size], "s") for size in SIZES),
        ],
    )


def line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Returns constant, slope and R² of the straight line with the least squares."""
    slope, fixed = np.polyfit(x, y, 1)
    left = np.asarray(y) - (fixed + slope * np.asarray(x))
    around = np.asarray(y) - np.mean(y)
    return float(fixed), float(slope), float(1 - (left**2).sum() / max((around**2).sum(), 1e-30))


def peak(bench: Bench) -> Iterator[Row]:
    """The share of the cores' matrix peak that each experiment's training step reaches."""
    values = []
    for name in EXPERIMENTS:
        with own_folder() as folder:
            limit = {"sentiment_analysis": 20, "denoising_autoencoder": 64}.get(name, 100)
            found = call("tests.benchmarks.own:peak", folder, {"experiment": name, "limit": limit})
        share = 100 * found["step"] / found["peak"]
        values.append(value(f"{name} (peak {found['peak'] / 1e9:.0f} GFLOP/s)", share, "%"))
        bench.say(f"peak: {name} {share:.0f} %")
    yield measures(
        "peak",
        "Share of the matrix peak",
        values,
        "peak: products of 2048 x 2048 in float32, the best of 8; a step: the best of 5 epochs",
    )
