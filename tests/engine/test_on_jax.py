"""The engine and exact resume on JAX: the same tests, in a process whose Keras runs on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = "tests/engine/test_steps.py"
ALIKE = f"{STEPS}::test_however_steps_run_they_train_the_same"
CARRIED = "tests/engine/test_carried_state.py::test_the_state_after_an_epoch_is_that_of_a_plain_loop_over_its_batches"
ENGINE = [
    f"{ALIKE}[fused]",
    f"{ALIKE}[fused, one batch]",
    f"{STEPS}::test_an_epoch_continues_from_any_step_to_the_bit[4]",
    f"{STEPS}::test_after_training_the_model_trains_with_keras",
    f"{STEPS}::test_a_model_that_cannot_be_fused_runs_step_by_step",
    "tests/engine/test_order.py",
    "tests/engine/test_own_steps.py",
    "tests/engine/test_ragged_steps.py",
    f"{CARRIED}[fused]",
    "tests/engine/test_keras_private.py",
    "tests/data/test_device.py",
]
RESUME = [
    "tests/trainer/test_resuming.py::test_whatever_the_data_and_the_settings[fused]",
    "tests/callbacks/test_resumed_callbacks.py::test_what_callbacks_draw_and_remember_is_the_same[13]",
    "tests/callbacks/test_weights.py",
    "tests/checkpoints/test_checkpoint.py::test_an_optimizer_built_by_itself_has_the_names_that_fit_gives_it",
    "tests/checkpoints/test_variables.py",
    "tests/trainer/test_trainer.py::test_a_cosine_by_the_clock_falls_from_epoch_to_epoch",
]


@pytest.mark.parametrize("tests", [ENGINE, RESUME], ids=["trains the same", "resumes exactly"])
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
