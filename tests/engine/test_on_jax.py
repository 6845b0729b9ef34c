"""The fused loop and exact resume on JAX: the same tests, in a process whose Keras runs on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUSED = "tests/data/test_feed.py"
KILLED = "tests/test_resuming.py::test_whatever_the_data_and_the_knobs"
CALLED = "tests/test_resumed_callbacks.py::test_what_callbacks_draw_and_remember_is_the_same"
DENSE = "tests/layers/test_dense.py"
HELD = "tests/data/test_held.py"
NAMES = "tests/test_checkpoint.py::test_an_optimizer_built_by_itself_has_the_names_that_fit_gives_it"
CLOCK = "tests/test_trainer.py::test_a_cosine_by_the_clock_falls_from_epoch_to_epoch"


@pytest.mark.parametrize(
    "tests",
    [
        [FUSED, HELD, DENSE, "-k", "not tensorflow and not shuffle and not limit"],
        [f"{KILLED}[fused]", f"{CALLED}[13]", CLOCK, NAMES],
    ],
    ids=["trains as Keras does", "goes on exactly"],
)
def test_it_is_the_same_on_jax(tests: list[str], tmp_path: Path) -> None:
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'tests'}", *tests],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
