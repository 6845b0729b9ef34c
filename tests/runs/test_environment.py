"""What a run's records and checkpoints say of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.runs import environment


def test_the_machine_is_its_processor_its_cores_and_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_some=1")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 8}, raising=False)
    found = environment.machine()
    assert found["xla_flags"] == "--xla_some=1"
    assert found["cores"] == 3
    models = Path("/proc/cpuinfo")
    if models.exists() and "model name" in models.read_text():
        assert found["cpu"] in models.read_text()
    monkeypatch.delenv("XLA_FLAGS")
    assert environment.machine()["xla_flags"] == ""
    assert environment.describe().items() >= environment.machine().items()
