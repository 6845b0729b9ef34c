"""A saved model opens with Keras in a new process: the autoencoders by Keras alone, the others after `import lab`."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import lab

ROOT = Path(__file__).parents[2]
LOAD = """
import sys
import numpy as np
for name in sys.argv[2:]:
    model = keras.models.load_model(f"{sys.argv[1]}/{name}/model.keras")
    np.save(f"{sys.argv[1]}/{name}/loaded.npy", model.predict(np.load(f"{sys.argv[1]}/{name}/inputs.npy"), verbose=0))
"""
SMALL: dict[str, dict[str, Any]] = {
    "autoencoder": {"latent_dim": 2, "hidden_units": (4,)},
    "denoising_autoencoder": {"latent_dim": 2, "hidden_units": (4,)},
    "text_generation": {"units": (4,), "embedding_dim": 4},
    "sentiment_analysis": {"units": 4, "embedding_dim": 4, "max_words": 16, "segment": 8, "pretrained": False},
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
    for name, settings in SMALL.items():
        values = {**settings, "data": data.get(name, digits_file), "fast_dev_run": True, "jit": False}
        experiment, trainer = configure(load(name), {**values, "run_dir": root / name})
        run = trainer.run(experiment, report=False, console=Console(file=io.StringIO()))
        inputs = np.asarray(run.data.test.x[np.arange(8)])
        np.save(run.path / "inputs.npy", inputs)
        np.save(run.path / "expected.npy", run.model.predict(inputs, verbose=0))
        folders[name] = run.path
    return folders


@pytest.mark.parametrize(
    ("imports", "names"),
    [
        ("import keras", ("autoencoder", "denoising_autoencoder")),
        ("import lab; import keras", ("text_generation", "sentiment_analysis")),
        ("import keras; import lab", ("text_generation", "sentiment_analysis")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_saved_model_opens_in_a_new_process(imports: str, names: tuple[str, ...], saved: dict[str, Path]) -> None:
    end = "assert 'lab' not in sys.modules\n" if "lab" not in imports else ""
    root = saved[names[0]].parent
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{LOAD}{end}", str(root), *names],
        cwd=root if "lab" not in imports else ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for name in names:
        loaded, expected = (np.load(saved[name] / f"{part}.npy") for part in ("loaded", "expected"))
        assert loaded.tobytes() == expected.tobytes(), name


def test_a_model_without_its_noise_is_what_the_run_evaluates(saved: dict[str, Path]) -> None:
    run = lab.Run.load(saved["denoising_autoencoder"])
    kinds = {type(layer).__module__.partition(".")[0] for layer in run.model.layers}
    assert kinds == {"keras"}
