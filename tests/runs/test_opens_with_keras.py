"""A saved model opens with Keras in a new process: the autoencoders by Keras alone, the others after `import lab`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import lab

ROOT = Path(__file__).parents[2]
DIGITS: dict[str, Any] = {"latent_dim": 2, "hidden_units": (4,)}
AUTOENCODERS: dict[str, dict[str, Any]] = {
    "autoencoder": DIGITS,
    "denoising_autoencoder": DIGITS,
    "denoising_autoencoder-unet": {"network": "unet", "channels": 2, "latent_dim": 2},
}
TEXT_MODELS: dict[str, dict[str, Any]] = {
    "text_generation": {"units": (4,), "embedding_dim": 4},
    "sentiment_analysis": {"units": 4, "embedding_dim": 4, "max_words": 16, "segment": 8, "pretrained": False},
}
LOAD = """
import sys
from pathlib import Path
import numpy as np

def load(names):
    for name in names:
        folder = Path(sys.argv[1], name)
        model = keras.models.load_model(folder / "model.keras")
        np.save(folder / f"{sys.argv[2]}.npy", model.predict(np.load(folder / "inputs.npy"), verbose=0))
"""
SCRIPTS = {
    "keras_first": f"""
import keras
{LOAD}
load({list(AUTOENCODERS)})
assert "lab" not in sys.modules
import lab
load({list(TEXT_MODELS)})
""",
    "lab_first": f"""
import lab
import keras
{LOAD}
load({list(TEXT_MODELS)})
""",
}


@pytest.fixture(scope="module")
def saved(
    tmp_path_factory: pytest.TempPathFactory, digits_file: Path, text_file: Path, reviews_file: Path
) -> dict[str, Path]:
    """A folder for each experiment with a saved model, some inputs, and what the model computes for them."""
    from lab.trainer.registry import configure, load

    root = tmp_path_factory.mktemp("saved")
    data = {"text_generation": text_file, "sentiment_analysis": reviews_file}
    folders = {}
    for name, settings in (AUTOENCODERS | TEXT_MODELS).items():
        experiment_name = name.partition("-")[0]
        values = {
            **settings,
            "data": data.get(experiment_name, digits_file),
            "fast_dev_run": True,
            "steps_per_execution": 1,
            "jit": False,
        }
        experiment, trainer = configure(load(experiment_name), {**values, "run_dir": root / name})
        run = trainer.run(experiment, report=False, console=Console(file=io.StringIO()))
        inputs = np.asarray(run.data.test.x[np.arange(8)])
        np.save(run.path / "inputs.npy", inputs)
        np.save(run.path / "expected.npy", run.model.predict(inputs, verbose=0))
        folders[name] = run.path
    return folders


def test_saved_models_open_in_new_processes(saved: dict[str, Path]) -> None:
    root = saved["autoencoder"].parent
    processes = {
        script: subprocess.Popen(
            [sys.executable, "-c", SCRIPTS[script], str(root), script],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for script in SCRIPTS
    }
    errors = {script: process.communicate()[1] for script, process in processes.items()}
    for script, process in processes.items():
        assert process.returncode == 0, errors[script][-2000:]
        for name in saved if script == "keras_first" else TEXT_MODELS:
            loaded, expected = (np.load(saved[name] / f"{part}.npy") for part in (script, "expected"))
            assert loaded.tobytes() == expected.tobytes(), (script, name)


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_the_model_of_a_run_has_keras_s_layers_only(name: str, saved: dict[str, Path]) -> None:
    run = lab.Run.load(saved[name])
    kinds = {type(layer).__module__.partition(".")[0] for layer in run.model.layers}
    assert kinds == {"keras"}
