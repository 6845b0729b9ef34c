"""The text generator: what it learns, what its report says, and what it writes for a user."""

from __future__ import annotations

import io
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import lab
from experiments.text_generation import Options, TextGeneration
from lab.data.datasets import corpus
from lab.errors import DataError, SettingsError
from lab.tasks.text import writing
from lab.tasks.text.ngrams import WittenBell
from tests.conftest import verse

SMALL: dict[str, Any] = {"units": (24,), "embedding_dim": 12, "window": 16, "dropout": 0.0, "character_dropout": 0.0}
REPORT: dict[str, Any] = {"temperatures": (0.2, 0.8, 1.5), "samples": 4, "sample_length": 200}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> lab.Run:
    """A small one that has learnt made verse."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "verse.txt").write_text(verse(400), "utf-8")
    experiment = TextGeneration(corpus=str(folder / "verse.txt"), **SMALL, **REPORT)
    trainer = lab.Trainer(epochs=12, batch_size=16, learning_rate=0.01, run_dir=folder / "run")
    return trainer.run(experiment, console=Console(file=io.StringIO(), width=120))


def read_alone(run: lab.Run, symbols: np.ndarray) -> np.ndarray:
    """The log-probability of every symbol but the first, as the Keras model gives it from a state of zeros."""
    for layer in run.model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_state()
    logits = np.asarray(run.model.predict(symbols[None, :-1], verbose=0), np.float64)[0]
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return np.asarray(logits[np.arange(len(symbols) - 1), symbols[1:]])


def items(run: lab.Run, kind: str) -> list[dict[str, Any]]:
    return [item for item in run.report["items"] if item["kind"] == kind]


def say(run: lab.Run, *prompts: str, **options: Any) -> str:
    experiment = TextGeneration()
    return "".join(str(part) for part in experiment.predict(run, prompts, Options(**options)))


def test_it_learns_and_beats_counting_single_characters(trained: lab.Run) -> None:
    metrics = trained.metrics
    train, held_out = corpus.texts_of(trained.data)
    counted = WittenBell(train, 1 + int(train.max()), 6).log_probabilities(held_out)
    assert metrics["validation_nats_per_char"] < -counted[1, 1:].mean()
    assert metrics["ngram_nats_per_char"] == pytest.approx(float(-counted[:, 1:].mean(axis=1).max()), rel=1e-2)
    assert metrics["validation_bits_per_char"] == pytest.approx(metrics["validation_nats_per_char"] / math.log(2))
    assert metrics["windowed_nats_per_char"] > metrics["validation_nats_per_char"]


def test_the_carried_score_is_that_of_one_stream_from_the_beginning(trained: lab.Run) -> None:
    _, held_out = corpus.texts_of(trained.data)
    expected = read_alone(trained, held_out)
    found = writing.carried_log_probabilities(trained.model, held_out)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found[: writing.WARM_UP], expected[: writing.WARM_UP], atol=1e-3)
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert found.mean() == pytest.approx(expected.mean(), abs=1e-4)


def test_the_windowed_score_reads_each_window_alone(trained: lab.Run) -> None:
    _, held_out = corpus.texts_of(trained.data)
    few = held_out[:40]
    found = writing.windowed_log_probabilities(trained.model, few, 16)
    expected = np.concatenate([read_alone(trained, few[start : start + 17]) for start in range(0, 39, 16)])
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_loss_while_training_is_near_the_score(trained: lab.Run) -> None:
    last = min(row["val_loss"] for row in trained.history)
    assert last == pytest.approx(trained.metrics["validation_nats_per_char"], abs=0.1)


def test_the_report_shows_each_part(trained: lab.Run) -> None:
    titles = [item["title"] for item in items(trained, "section")]
    parts = ["Learning, against counting", "What it writes", "What temperature does", "Does it copy?", "A look inside"]
    assert titles[: len(parts)] == parts
    pictures = {Path(item["file"]).stem for item in items(trained, "picture")}
    assert {"learning", "temperature", "next_character", "cells"} <= pictures
    samples = [item["title"] for item in items(trained, "sample")]
    assert samples == ["Temperature 0.2", "Temperature 0.8", "The longest copy"]


def test_the_table_has_a_row_for_each_temperature_and_temperature_does_what_it_should(trained: lab.Run) -> None:
    table = next(item for item in items(trained, "table") if item["columns"][0] == "temperature")
    assert [row[0] for row in table["rows"]] == ["0.2", "0.8", "1.5", "held-out text"]
    column = table["columns"].index(writing.ENTROPY)
    entropies = [float(row[column].partition(" ")[0]) for row in table["rows"][:3]]
    assert entropies == sorted(entropies)
    assert entropies[0] < 0.5 * entropies[2]
    known = [float(row[table["columns"].index(writing.KNOWN)].partition(" ")[0]) for row in table["rows"]]
    assert known[0] > known[2]
    assert known[3] == 1.0  # held-out verse is made of the same words
    assert trained.metrics["best_temperature"] in (0.2, 0.8, 1.5)
    answer = items(trained, "answer")[0]
    assert f"The best balance is at {trained.metrics['best_temperature']:g}" in answer["text"]


def test_balance_is_1_for_real_text_and_falls_either_way() -> None:
    def measured(known: float, distinct: float) -> writing.Measured:
        return writing.Measured({writing.KNOWN: (known, 0.0), writing.DISTINCT: (distinct, 0.0)})

    real = measured(0.9, 0.8)
    assert writing.balance(real, real) == 1
    assert writing.balance(measured(1.0, 1.0), real) == 1
    assert writing.balance(measured(0.45, 0.8), real) == pytest.approx(2 / 3)
    assert writing.balance(measured(0.9, 0.0), real) == 0


def test_a_cell_that_follows_a_feature_is_found() -> None:
    rng = np.random.default_rng(0)
    feature = rng.random(500)
    cells = rng.normal(size=(500, 6))
    cells[:, 4] = 3 - 2 * feature
    place, correlation = writing.telling_cells(cells, {"it": feature})["it"]
    assert place == 4
    assert correlation == pytest.approx(-1, abs=1e-6)


def test_features_are_what_is_seen() -> None:
    found = writing.features("To be,\nor")
    assert found["how far into the line"].tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]
    assert found["a capital"].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert found["the line ends within five characters"].tolist() == [0, 1, 1, 1, 1, 1, 0, 0, 0]
    assert found["inside a word"].tolist() == [1, 1, 0, 1, 1, 0, 0, 1, 1]


# --- predict --------------------------------------------------------------------------------------


def test_it_writes_on_from_a_prompt_in_words_that_it_learnt(trained: lab.Run) -> None:
    text = say(trained, "The rose", temperature=0.3, length=300)
    assert text.startswith("The rose")
    assert len(text) == len("The rose") + 300 + 1
    known = {"the", "rose", "thy", "love", "sweet", "time", "my", "heart", "fair", "day", "no", "more"}
    found = text.lower().replace(",", " ").split()[:-1]
    assert np.mean([word in known for word in found]) > 0.8


def test_the_same_seed_writes_the_same_text(trained: lab.Run) -> None:
    first = say(trained, "Thy", seed=4, length=80)
    assert first == say(trained, prompt="Thy", seed=4, length=80)
    assert first != say(trained, "Thy", seed=5, length=80)
    assert say(trained, "Thy", temperature=0, seed=1, length=50) == say(trained, "Thy", temperature=0, length=50)


def test_each_prompt_is_written_on_from_its_own_beginning(trained: lab.Run) -> None:
    both = say(trained, "Thy", "The", length=40)
    assert both == say(trained, "Thy", length=40) + say(trained, "The", length=40)


def test_an_unknown_character_is_said(trained: lab.Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="lab"):
        assert say(trained, "Thé ☃", length=5).startswith("Thé ☃")
    assert "'é☃': not in the text that was learnt; '\ufffd' stands for each" in caplog.messages


def test_no_prompt_and_no_length_are_taken(trained: lab.Run) -> None:
    assert len(say(trained, length=30)) == 31
    assert say(trained, "Thy", length=0) == "Thy\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": -0.1}, "temperature=-0.1: expected number >= 0 and <= 100; the default is 0.8"),
        ({"temperature": "hot"}, "temperature=hot: expected number >= 0 and <= 100; the default is 0.8"),
        ({"length": -1}, "length=-1: expected whole number >= 0 and <= 100000000; the default is 500"),
        ({"top_p": 1.1}, "top_p=1.1: expected number > 0 and <= 1 or none; the default is none"),
    ],
)
def test_a_wrong_option_is_one_line(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Options(**options)
    assert str(caught.value) == said


# --- data -----------------------------------------------------------------------------------------


def test_a_text_that_cannot_be_learnt_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("To be")
    with pytest.raises(DataError, match="expected at least 100 characters to learn from, it has 5"):
        TextGeneration(corpus=str(tmp_path / "short.txt")).prepare()
    with pytest.raises(SettingsError, match=r"corpus=sonets: expected one of sonnets.*did you mean 'sonnets'"):
        TextGeneration(corpus="sonets").prepare()


def test_a_temperature_below_0_is_said_before_any_training() -> None:
    with pytest.raises(SettingsError, match=r"temperatures=-1 \(item 2\): expected"):
        TextGeneration(temperatures="0.5,-1")


def test_a_short_text_is_learnt_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text(verse(8))
    experiment = TextGeneration(corpus=str(tmp_path / "short.txt"), units=(4,), samples=2, sample_length=20)
    run = lab.Trainer(epochs=1).run(experiment, console=Console(file=io.StringIO(), width=120))
    assert math.isfinite(run.metrics["validation_nats_per_char"])


@pytest.mark.enable_socket
@pytest.mark.real_data
def test_the_sonnets_are_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a few seconds, better than pairs of characters; the whole training is measured in the README."""
    monkeypatch.delenv("LAB_CACHE")
    experiment = TextGeneration(preset="quick", units=(64,), samples=2, temperatures=(0.5,), sample_length=100)
    run = lab.Trainer(epochs=3).run(experiment, console=Console(file=io.StringIO(), width=120))
    assert run.data.sizes() == {"train": 84_080, "validation": 9_637, "test": 9_637}
    assert len(experiment.vocabulary) == 61
    assert run.metrics["validation_nats_per_char"] < 2.36
    assert run.metrics["ngram_nats_per_char"] == pytest.approx(1.757, abs=0.01)
