"""The environment of a run: versions, machine, code, command."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "scikit-learn", "matplotlib", "pydantic")


def describe() -> dict[str, Any]:
    """Returns versions, machine, git commit and command line, for JSON; imports Keras."""
    import keras

    return {
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        "packages": versions(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        **machine(),
        "memory_bytes": _memory(),
        "git_commit": _git_commit(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def machine() -> dict[str, Any]:
    """Returns what affects the rounding of numbers most: the processor, the number of cores, and XLA's flags."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": _cpu(), "cores": cores, "xla_flags": os.environ.get("XLA_FLAGS", "")}


def versions() -> dict[str, str]:
    """Returns the installed version of each package that affects a result."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not POSIX
        return None


def _git_commit() -> str | None:
    """The commit of the code in this folder, with `+changes` if files differ from it."""
    here = Path(__file__).parent

    def git(*args: str) -> str:
        done = subprocess.run(["git", *args], cwd=here, capture_output=True, text=True, timeout=5, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None
