"""The switches that are set before the backend is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import backend

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


@pytest.mark.parametrize("name", ["tensorflow", "jax"])
def test_the_backend_knows_the_flags(name: str) -> None:
    pytest.importorskip(name)
    code = (
        f"import lab; lab.backend.select({name!r})\n"
        "import keras; from lab.data.compiled import compiled\n"
        "print(float(compiled(lambda x: keras.ops.sum(x + 1))(keras.ops.ones((3,)))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "XLA_FLAGS": BOTH, "KERAS_BACKEND": name},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "6.0"
