"""A saved model opens with Keras in a new process: the autoencoders by Keras alone, the others after `import lab`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterable
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
        np.save(folder / "loaded.npy", model.predict(np.load(folder / "inputs.npy"), verbose=0))
"""


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
        values = {**settings, "data": data.get(experiment_name, digits_file), "fast_dev_run": True, "jit": False}
        experiment, trainer = configure(load(experiment_name), {**values, "run_dir": root / name})
        run = trainer.run(experiment, report=False, console=Console(file=io.StringIO()))
        inputs = np.asarray(run.data.test.x[np.arange(8)])
        np.save(run.path / "inputs.npy", inputs)
        np.save(run.path / "expected.npy", run.model.predict(inputs, verbose=0))
        folders[name] = run.path
    return folders


def assert_loads(script: str, names: Iterable[str], saved: dict[str, Path]) -> None:
    """Runs a script in a new process, and compares what the models compute there with what they computed here."""
    root = saved["autoencoder"].parent
    done = subprocess.run(
        [sys.executable, "-c", script, str(root)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for name in names:
        loaded, expected = (np.load(saved[name] / f"{part}.npy") for part in ("loaded", "expected"))
        assert loaded.tobytes() == expected.tobytes(), name


def test_autoencoders_open_without_the_lab_and_text_models_after_importing_it(saved: dict[str, Path]) -> None:
    script = f"""
import keras
{LOAD}
load({list(AUTOENCODERS)})
assert "lab" not in sys.modules
import lab
load({list(TEXT_MODELS)})
"""
    assert_loads(script, saved, saved)


def test_text_models_open_if_the_lab_is_imported_first(saved: dict[str, Path]) -> None:
    assert_loads(f"import lab\nimport keras\n{LOAD}\nload({list(TEXT_MODELS)})", TEXT_MODELS, saved)


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_the_model_of_a_run_has_keras_s_layers_only(name: str, saved: dict[str, Path]) -> None:
    run = lab.Run.load(saved[name])
    kinds = {type(layer).__module__.partition(".")[0] for layer in run.model.layers}
    assert kinds == {"keras"}
