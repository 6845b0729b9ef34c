"""What two runs have in common: every difference is found, and stated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import pytest

from experiments.reports.likeness import describe, likeness, listed


def run(units: int = 3, epochs: int = 2, packages: Any = None, **settings: Any) -> Any:
    """What `likeness` reads of a run."""
    return SimpleNamespace(
        settings={"latent_dim": 8, **settings},
        trainer={"epochs": epochs, "run_dir": f"runs/{units}", "seed": 0},
        environment={"packages": packages or {"keras": "3.15.1"}, "backend": "tensorflow", "cpu": "one"},
        model=keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)]),
        history=[{}] * epochs,
    )


def test_equal_runs_differ_in_nothing_but_the_folder() -> None:
    found = likeness(run(), run())
    assert not found.differing
    assert not found.only_here
    assert found.same == 6  # latent_dim, epochs, seed, keras, backend, cpu
    assert found.differs_only_here


def test_a_setting_that_one_experiment_alone_has_is_no_other_difference() -> None:
    found = likeness(run(noise="0.5"), run())
    assert found.only_here == {"noise": "0.5"}
    assert found.differs_only_here
    text = describe(found, "denoising autoencoder", "basic autoencoder")
    assert "Only the denoising autoencoder has `noise=0.5`." in text
    assert "No other difference was found." in text


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (run(latent_dim=9), "These differ: `latent_dim` (8 and 9)."),
        (run(packages={"keras": "3.16.0"}), "These differ: `keras` (3.15.1 and 3.16.0)."),
        (run(epochs=5), "They were trained for 2 and 5 epochs."),
        (run(units=4), "The first has 9 parameters, the second 12."),
    ],
    ids=["setting", "version", "epochs", "model"],
)
def test_any_other_difference_is_stated(other: Any, sentence: str) -> None:
    found = likeness(run(), other)
    assert not found.differs_only_here
    text = describe(found, "first", "second")
    assert sentence in text
    assert "No other difference" not in text


def test_a_list_reads_as_prose() -> None:
    assert [listed(list("abc")[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
