"""Runs on disks that fail: the part of `make torture` that needs a file system."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.runs.run import Run
from tests.faults import FAULTS
from tests.torture.__main__ import Tally, finish, judge, start

ROOM = 80  # MB of the small disk: a run asks for 50 before it begins


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """What is wrong with how a command failed; empty where it was one line that says what and how to go on."""
    said = done.stderr.strip()
    if done.returncode != 1 or len(said.splitlines()) != 1:
        return f"exit code {done.returncode}, said:\n{said[-2000:]}"
    if not re.match(r"lab: .*(cannot be written|No space left on device|free for checkpoints)", said):
        return f"said: {said}"
    return ""


def failing(
    name: str, words: list[str], count: int, chance: random.Random, folder: Path, wanted: Mapping[str, Any], files: int
) -> Tally:
    """Runs on disks that fail at a random file in a random way, once or from then on."""
    tally = Tally()
    for place in range(count):
        path, fault = folder / f"failing-{place}", list(FAULTS)[place % len(FAULTS)]
        at, often = chance.randint(2, files), chance.choice(["once", "always"])
        command = [sys.executable, "-m", "tests.faults", fault, str(at), often, "run", name, *words, f"run_dir={path}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wrong = complaint(done)
        left = [str(part) for part in path.rglob(".*.part*")]
        if left:
            wrong += f"half-written: {', '.join(left)}"
        wrong += finish(start(["resume", str(path)]))
        tally.stages[fault] = tally.stages.get(fault, 0) + 1
        judge(name, f"{fault} at file {at} of {files}, {often}", path, wanted, wrong, tally)
    return tally


def full(
    name: str,
    words: list[str],
    wished: bool,
    chance: random.Random,
    folder: Path,
    wanted: Mapping[str, Any],
    took: float,
) -> Tally:
    """Fills a small disk to its last byte while a run writes to it, then makes room; not where none can be mounted."""
    tally = Tally()
    with tempfile.TemporaryDirectory(dir=folder) as mounted:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "tmpfs", mounted]
        if not wished or subprocess.run(mount, capture_output=True, check=False).returncode:
            return tally
        try:
            path, filler = Path(mounted) / "run", Path(mounted) / "filler"
            process = start(["run", name, *words, f"run_dir={path}"])
            while Run(path).status_record().get("stage") != "fit" and process.poll() is None:
                time.sleep(0.01)
            time.sleep(took * 0.2 * chance.random())
            fill(filler)
            _, said = process.communicate()
            done = subprocess.CompletedProcess([], process.returncode, "", said.decode())
            wrong = complaint(done) if process.returncode else ""  # it may have ended before
            filler.unlink()
            if process.returncode:
                wrong += finish(start(["resume", str(path)]))
            judge(name, "a full disk", path, wanted, wrong, tally)
        finally:
            subprocess.run(["umount", mounted], check=False)
    return tally


def fill(path: Path) -> None:
    """Writes until there is no room for a byte more."""
    handle = os.open(path, os.O_CREAT | os.O_WRONLY)
    size = 1 << 20
    try:
        while size:
            try:
                os.write(handle, b"\0" * size)
            except OSError:
                size //= 2
    finally:
        os.close(handle)
