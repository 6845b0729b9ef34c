"""The README's own experiment, typed as it stands there."""

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
    (text,) = [block for block in blocks if "class MyIdea" in block]
    (tmp_path / "my_idea.py").write_text(text)
    spec = importlib.util.spec_from_file_location("my_idea", tmp_path / "my_idea.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    load = mnist.load
    monkeypatch.setattr(mnist, "load", lambda: load(digits_file))
    run = lab.Trainer(epochs=3, batch_size=32).run(module.MyIdea(hidden=8), console=Console(file=io.StringIO()))
    assert run.metrics["test_accuracy"] > 0.6
    assert run.settings == {"hidden": 8}
