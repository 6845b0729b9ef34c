"""What every experiment must do: each one here goes through all its hooks on data made in the test."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from lab.settings import Settings, list_settings, show
from lab.testing import check_experiment
from lab.trainer import registry
from lab.trainer.discovery import names

NAMES = sorted(names())


@pytest.fixture
def made_data(digits_file: Path, text_file: Path, reviews_file: Path) -> dict[str, dict[str, Any]]:
    """The settings that give each experiment small data of the right shape."""
    return {
        "autoencoder": {"data": digits_file, "hidden_units": "32"},
        "denoising_autoencoder": {"data": digits_file, "hidden_units": "32", "reference_runs": "none"},
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
def test_an_experiment_does_all_that_the_lab_promises(name: str, made_data: dict[str, dict[str, Any]]) -> None:
    assert name in made_data, f"made_data needs an entry for {name}"
    check_experiment(registry.load(name), **{"jit": "false", **made_data[name]})  # XLA would compile six times over


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
    assert (
        type(settings)(**{setting.name: show(setting.default) for setting in list_settings(kind.Settings)}) == settings
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_says_what_it_is(name: str) -> None:
    kind = registry.load(name)
    module = inspect.getmodule(kind)
    assert module is not None
    assert f"make {name}" in (module.__doc__ or ""), "the module's docstring shows the command"
    assert kind.name() == name
    settings: type[Settings] = kind.Settings
    assert all(setting.help.endswith(".") for setting in list_settings(settings)), "each setting has a sentence of help"
