"""What the numbers were measured on: machine, versions, threads."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from lab.runs.environment import _cpu, versions
from tests.benchmarks.pairs import OTHER, THREADS, environment

_ASK = """
import importlib.metadata as m, json, torch
names = ("torch", "lightning", "numpy")
print(json.dumps({"versions": {name: m.version(name) for name in names}, "threads": torch.get_num_threads(),
                  "capability": torch.backends.cpu.get_cpu_capability()}))
"""


def describe() -> dict[str, Any]:
    """Returns processor, cores, threads, instruction sets and the exact versions of both environments."""
    found: dict[str, Any] = {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": {"within an operation": THREADS, "between operations": THREADS},
        "flags": _flags(),
        "load": list(os.getloadavg()),
        "versions": versions(),
        "rivals": {},
    }
    if OTHER.exists():
        done = subprocess.run([str(OTHER), "-c", _ASK], capture_output=True, text=True, env=environment(), check=False)
        if done.returncode == 0:
            found["rivals"] = json.loads(done.stdout)
    return found


def _flags() -> list[str]:
    """The processor's vector instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return [flag for flag in flags if flag.startswith(("avx", "fma", "amx", "sse4"))]
