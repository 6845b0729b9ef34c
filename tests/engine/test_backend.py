"""The switches that are set before the backend is loaded."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.engine import backend

WIDE = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vbmi2\nbogomips\t: 1\n"
FIRST_AVX512 = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512bw\n"
WIDE_VECTORS = "--xla_cpu_prefer_vector_width=512"
ANALYSIS = "--xla_cpu_copy_insertion_use_region_analysis=true"
BOTH = f"{ANALYSIS} {WIDE_VECTORS}"


@pytest.mark.parametrize(
    ("cpuinfo", "given", "expected"),
    [
        (WIDE, None, BOTH),
        (WIDE, "--xla_cpu_max_isa=AVX2", f"--xla_cpu_max_isa=AVX2 {BOTH}"),
        (WIDE, "--xla_cpu_prefer_vector_width=128", f"--xla_cpu_prefer_vector_width=128 {ANALYSIS}"),
        (WIDE, f"{WIDE_VECTORS} {ANALYSIS[:-4]}false", f"{WIDE_VECTORS} {ANALYSIS[:-4]}false"),
        (WIDE, "flags.txt", "flags.txt"),
        (FIRST_AVX512, None, ANALYSIS),
        ("Features\t: fp asimd\n", None, ANALYSIS),
        (None, "--xla_cpu_max_isa=AVX2", f"--xla_cpu_max_isa=AVX2 {ANALYSIS}"),
    ],
)
def test_xla_is_asked_for_quicker_programs_as_far_as_the_cpu_and_the_user_allow(
    cpuinfo: str | None, given: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        place.write_text(cpuinfo)
    monkeypatch.setattr(backend, "CPUINFO", place)
    monkeypatch.setenv("XLA_FLAGS", given or "")
    if given is None:
        monkeypatch.delenv("XLA_FLAGS")
    for _ in range(2):  # a second time changes nothing
        backend.select(None)
        assert os.environ.get("XLA_FLAGS") == expected


@pytest.mark.parametrize(
    ("tensorflow", "jaxlib", "expected"),
    [
        ("2.21.0", None, True),
        ("2.21.0", "0.6.0", True),
        (None, "0.10.2", True),
        ("2.22.0rc1", None, False),
        ("2.20.0", None, False),
        ("2.21.0", "0.11.0", False),
        ("2.21.0", "0.5.3", False),
        ("2.21.0", "nightly", False),
    ],
)
def test_a_version_that_might_not_know_the_flags_gets_none(
    tensorflow: str | None, jaxlib: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(package: str) -> str:
        found = {"tensorflow": tensorflow, "jaxlib": jaxlib}[package]
        if found is None:
            raise importlib.metadata.PackageNotFoundError(package)
        return found

    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setattr(importlib.metadata, "version", version)
    backend.set_xla_flags()
    assert ("XLA_FLAGS" in os.environ) == expected


@pytest.mark.parametrize("name", ["tensorflow", "jax"])
@pytest.mark.parametrize("known", [True, False])
def test_xla_reads_the_flags_that_are_set_as_the_backend_is_loaded(name: str, known: bool) -> None:
    pytest.importorskip(name)
    code = (
        "import lab\n"
        + ("" if known else "import lab.engine.backend; lab.engine.backend._CLOSER_ANALYSIS = '--xla_nonsense'\n")
        + f"lab.backend.select({name!r})\n"
        "import keras; from lab.engine.compiled import compiled\n"
        "print(float(compiled(lambda x: keras.ops.sum(x + 1))(keras.ops.ones((3,)))))\n"
    )
    env = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"} | {"KERAS_BACKEND": name}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=env
    )
    if known:
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] == "6.0"
    else:
        assert done.returncode != 0
        assert "--xla_nonsense" in done.stderr
