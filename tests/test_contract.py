"""What every experiment must do: each one here goes through all its hooks on data made in the test."""

from __future__ import annotations

import inspect
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import lab
from lab import registry
from lab.discovery import names
from lab.settings import Settings, knobs, show

NAMES = sorted(names())


@pytest.fixture
def made_data(digits_file: Path, text_file: Path, reviews_file: Path) -> dict[str, dict[str, Any]]:
    """The knobs that give each experiment small data of the right shape."""
    return {
        "autoencoder": {"data": digits_file},
        "denoising_autoencoder": {"data": digits_file, "hidden_units": "32", "companions": "none"},
        "text_generation": {"data": text_file, "units": "8", "samples": "2", "sample_length": "60"},
        "sentiment_analysis": {
            "data": reviews_file,
            "units": "4",
            "embedding_dim": "8",
            "max_words": "20",
            "segment": "10",
            "baselines": "false",
        },
    }


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_goes_through_every_hook(name: str, made_data: dict[str, dict[str, Any]]) -> None:
    assert name in made_data, f"made_data needs an entry for {name}"
    experiment, trainer = registry.configure(registry.load(name), {**made_data[name], "fast_dev_run": True})
    run = trainer.run(experiment, console=Console(file=io.StringIO(), width=120))
    assert run.status is lab.Status.COMPLETED
    assert all(np.isfinite(value) for value in run.metrics.values())
    assert type(experiment).key_metric in run.metrics
    pictures = [item for item in run.report["items"] if item["kind"] == "picture"]
    assert pictures
    for item in pictures:
        assert (run.path / item["file"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_valid(name: str) -> None:
    kind = registry.load(name)
    for preset in kind.presets:
        registry.configure(kind, {"preset": preset})


@pytest.mark.parametrize("name", NAMES)
def test_settings_go_through_text_and_json(name: str) -> None:
    kind = registry.load(name)
    settings = kind().settings
    assert type(settings)(**settings.json_values()) == settings
    assert type(settings)(**{knob.name: show(knob.default) for knob in knobs(kind.Settings)}) == settings


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_says_what_it_is(name: str) -> None:
    kind = registry.load(name)
    module = inspect.getmodule(kind)
    assert module is not None
    assert f"make {name}" in (module.__doc__ or ""), "the module's docstring shows the command"
    assert kind.name() == name
    settings: type[Settings] = kind.Settings
    assert all(knob.help.endswith(".") for knob in knobs(settings)), "each setting has a sentence of help"
