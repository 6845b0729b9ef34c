"""The README's experiment runs as printed."""

from __future__ import annotations

import importlib.util
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

import lab
from lab.data.datasets import mnist

README = Path(__file__).parent.parent / "README.md"


def test_the_experiment_of_the_readme_runs(tmp_path: Path, digits_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (text,) = [block for block in blocks if "class SmallAutoencoder" in block]
    (tmp_path / "small_autoencoder.py").write_text(text)
    spec = importlib.util.spec_from_file_location("small_autoencoder", tmp_path / "small_autoencoder.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    load = mnist.load
    monkeypatch.setattr(mnist, "load", lambda: load(digits_file))
    experiment = module.SmallAutoencoder(latent_dim=8)
    run = lab.Trainer(epochs=3, batch_size=32).run(experiment, console=Console(file=io.StringIO()))
    assert run.metrics["test_loss"] < 0.4
    assert run.settings == {"latent_dim": 8}
    assert (run.path / "figures" / "reconstructions.png").stat().st_size > 0
