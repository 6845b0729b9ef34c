"""The text generator: what it learns, its measures and report, and what it writes for a user."""

from __future__ import annotations

import dataclasses
import io
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import lab
from experiments.reports import text_generation_measures as measures
from experiments.reports.text_generation import write
from experiments.reports.text_generation_measures import Measures, Texts, measure
from experiments.text_generation import Options, TextGeneration
from lab.data.datasets import corpus
from lab.errors import DataError, SettingsError
from lab.report.items import Answer
from lab.tasks.text.likelihood import WARM_UP, carried_log_probabilities, windowed_log_probabilities
from lab.tasks.text.ngrams import WittenBell
from tests.conftest import verse

SMALL: dict[str, Any] = {"units": (24,), "embedding_dim": 12, "window": 16, "dropout": 0.0, "character_dropout": 0.0}
REPORT: dict[str, Any] = {"temperatures": (0.2, 0.8, 1.5), "samples": 4, "sample_length": 200}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> lab.Run:
    """A small run that has learned artificial verse."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "verse.txt").write_text(verse(400), "utf-8")
    experiment = TextGeneration(corpus=str(folder / "verse.txt"), **SMALL, **REPORT)
    trainer = lab.Trainer(epochs=12, batch_size=16, learning_rate=0.01, run_dir=folder / "run")
    return trainer.run(experiment, console=Console(file=io.StringIO(), width=120))


def read_alone(run: lab.Run, symbols: np.ndarray) -> np.ndarray:
    """The log-probability of every symbol but the first, by the Keras model from a state of zeros."""
    for layer in run.model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_state()
    logits = np.asarray(run.model.predict(symbols[None, :-1], verbose=0), np.float64)[0]
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return np.asarray(logits[np.arange(len(symbols) - 1), symbols[1:]])


def items(run: lab.Run, kind: str) -> list[dict[str, Any]]:
    return [item for item in run.report["items"] if item["kind"] == kind]


def predict(run: lab.Run, *prompts: str, **options: Any) -> str:
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


def test_the_carried_score_equals_that_of_one_stream(trained: lab.Run) -> None:
    _, held_out = corpus.texts_of(trained.data)
    expected = read_alone(trained, held_out)
    found = carried_log_probabilities(trained.model, held_out)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found[:WARM_UP], expected[:WARM_UP], atol=1e-3)
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert found.mean() == pytest.approx(expected.mean(), abs=1e-4)


def test_the_windowed_score_reads_each_window_separately(trained: lab.Run) -> None:
    _, held_out = corpus.texts_of(trained.data)
    few = held_out[:40]
    found = windowed_log_probabilities(trained.model, few, 16)
    expected = np.concatenate([read_alone(trained, few[start : start + 17]) for start in range(0, 39, 16)])
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_loss_while_training_is_near_the_score(trained: lab.Run) -> None:
    last = min(row["val_loss"] for row in trained.history)
    assert last == pytest.approx(trained.metrics["validation_nats_per_char"], abs=0.1)


def test_the_report_shows_each_part(trained: lab.Run) -> None:
    titles = [item["title"] for item in items(trained, "section")]
    parts = ["Learning, compared with counting", "Samples", "The effect of temperature", "Does it copy?"]
    parts += ["Inside the network"]
    assert titles[: len(parts)] == parts
    pictures = {Path(item["file"]).stem for item in items(trained, "picture")}
    assert {"learning", "temperature", "next_character", "cells"} <= pictures
    samples = [item["title"] for item in items(trained, "sample")]
    assert samples == ["Temperature 0.2", "Temperature 0.8", "The longest copy"]


def test_the_table_has_a_row_for_each_temperature(trained: lab.Run) -> None:
    table = next(item for item in items(trained, "table") if item["columns"][0] == "temperature")
    assert [row[0] for row in table["rows"]] == ["0.2", "0.8", "1.5", "held-out text"]
    best = trained.metrics["best_temperature"]
    balances = {float(row[0]): float(row[-1]) for row in table["rows"][:3]}
    assert balances[best] == max(balances.values())
    assert f"The best balance is at {best:g}" in items(trained, "answer")[0]["text"]


# --- measures -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(trained: lab.Run) -> Measures:
    return measure(trained, window=16, temperatures=(1.5, 0.2), samples=3, length=150)


def test_measures_can_be_taken_without_a_report(trained: lab.Run, measured: Measures) -> None:
    assert measured.carried == pytest.approx(trained.metrics["validation_nats_per_char"], abs=1e-5)
    assert measured.windowed == pytest.approx(trained.metrics["windowed_nats_per_char"], abs=1e-5)
    assert measured.ngrams.min() == pytest.approx(trained.metrics["ngram_nats_per_char"])
    assert list(measured.written) == [0.2, 1.5]
    assert [texts.count for texts in measured.written.values()] == [3, 3]
    assert len(measured.written[0.2].example) == measured.length == 150
    cold, hot = measured.written.values()
    assert cold.mean(measures.ENTROPY) < 0.5 * hot.mean(measures.ENTROPY)
    assert cold.mean(measures.KNOWN) > hot.mean(measures.KNOWN)
    assert measured.held_out.mean(measures.KNOWN) == 1  # held-out verse has the same words
    assert measured.inside.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert len(measured.inside.cells) == len(measured.inside.text)


def texts_with(**values: tuple[float, float]) -> Texts:
    """Texts with some measures: a mean and half an interval by the name of its constant."""
    return Texts(4, {getattr(measures, name): value for name, value in values.items()})


def test_balance_is_1_for_real_text_and_lower_for_unknown_words_or_repetition() -> None:
    def texts(known: float, pairs: float) -> Texts:
        return texts_with(KNOWN=(known, 0.0), DISTINCT=(pairs, 0.0))

    real = texts(0.9, 0.8)
    assert measures.balance(real, real) == 1
    assert measures.balance(texts(1.0, 1.0), real) == 1
    assert measures.balance(texts(0.45, 0.8), real) == pytest.approx(2 / 3)
    assert measures.balance(texts(0.9, 0.0), real) == 0


def test_a_difference_within_the_intervals_is_no_difference() -> None:
    more, less = texts_with(KNOWN=(0.9, 0.03)), texts_with(KNOWN=(0.84, 0.04))
    assert more.exceeds(less, measures.KNOWN)
    assert not less.exceeds(more, measures.KNOWN)
    assert not more.exceeds(texts_with(KNOWN=(0.86, 0.04)), measures.KNOWN)
    single = dataclasses.replace(less, count=1)  # has no interval
    assert not more.exceeds(single, measures.KNOWN)


def test_the_report_claims_only_what_was_measured(measured: Measures, tmp_path: Path) -> None:
    def answer(written: dict[float, Texts], name: str) -> str:
        report = lab.Report(tmp_path / name, name)
        write(dataclasses.replace(measured, written=written), [{"epoch": 1, "loss": 2.0, "val_loss": 2.0}], report)
        return next(item.text for item in report.items if isinstance(item, Answer))

    cold, hot = measured.written.values()
    different, alike = answer({0.2: cold, 1.5: hot}, "different"), answer({0.2: hot, 1.5: hot}, "alike")
    assert "hot text has more unknown words" in different
    assert "Cold text does not clearly repeat itself more" in alike
    assert "hot text does not clearly have more unknown words" in alike
    assert "Cold text" not in answer({0.2: cold}, "single")


def test_the_cell_that_correlates_most_with_a_feature_is_found() -> None:
    rng = np.random.default_rng(0)
    feature = rng.random(500)
    cells = rng.normal(size=(500, 6))
    cells[:, 4] = 3 - 2 * feature
    best = measures.best_cells(cells, {"it": feature, "constant": np.ones(500)})
    assert list(best) == ["it"]
    cell, correlation = best["it"]
    assert cell == 4
    assert correlation == pytest.approx(-1, abs=1e-6)


def test_features_are_those_of_each_character() -> None:
    found = measures.features("To be,\nor")
    assert found["characters since the line began"].tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]
    assert found["a capital letter"].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert found["the line ends within five characters"].tolist() == [0, 1, 1, 1, 1, 1, 0, 0, 0]
    assert found["a letter"].tolist() == [1, 1, 0, 1, 1, 0, 0, 1, 1]


# --- predict --------------------------------------------------------------------------------------


def test_a_prompt_is_continued_in_learned_words(trained: lab.Run) -> None:
    text = predict(trained, "The rose", temperature=0.3, length=300)
    assert text.startswith("The rose")
    assert len(text) == len("The rose") + 300 + 1
    known = {"the", "rose", "thy", "love", "sweet", "time", "my", "heart", "fair", "day", "no", "more"}
    found = text.lower().replace(",", " ").split()[:-1]
    assert np.mean([word in known for word in found]) > 0.8


def test_the_same_seed_writes_the_same_text(trained: lab.Run) -> None:
    first = predict(trained, "Thy", seed=4, length=80)
    assert first == predict(trained, prompt="Thy", seed=4, length=80)
    assert first != predict(trained, "Thy", seed=5, length=80)
    assert predict(trained, "Thy", temperature=0, seed=1, length=50) == predict(
        trained, "Thy", temperature=0, length=50
    )


def test_each_prompt_is_continued_independently(trained: lab.Run) -> None:
    both = predict(trained, "Thy", "The", length=40)
    assert both == predict(trained, "Thy", length=40) + predict(trained, "The", length=40)


def test_unknown_characters_of_a_prompt_are_reported(trained: lab.Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="lab"):
        assert predict(trained, "Thé ☃", length=5).startswith("Thé ☃")
    message = "the prompt has characters that the training text lacks, read as '\ufffd': 'é☃'"
    assert message in caplog.messages


def test_prompt_and_length_may_be_empty(trained: lab.Run) -> None:
    assert len(predict(trained, length=30)) == 31
    assert predict(trained, "Thy", length=0) == "Thy\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature=-0.1: expected number >= 0 and <= 100; the default is 0.8"),
        ({"temperature": "hot"}, "temperature=hot: expected number >= 0 and <= 100; the default is 0.8"),
        ({"length": -1}, "length=-1: expected whole number >= 0 and <= 100000000; the default is 500"),
        ({"top_p": 1.1}, "top_p=1.1: expected number > 0 and <= 1 or none; the default is none"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Options(**options)
    assert str(caught.value) == message


# --- data -----------------------------------------------------------------------------------------


def test_a_text_that_cannot_be_learned_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("To be")
    with pytest.raises(DataError, match="expected at least 100 characters to learn from, got 5"):
        TextGeneration(corpus=str(tmp_path / "short.txt")).prepare()
    with pytest.raises(SettingsError, match=r"corpus=sonets: expected one of sonnets.*did you mean 'sonnets'"):
        TextGeneration(corpus="sonets").prepare()


def test_a_temperature_below_0_is_refused_before_training() -> None:
    with pytest.raises(SettingsError, match=r"temperatures=-1 \(item 2\): expected"):
        TextGeneration(temperatures="0.5,-1")


def test_a_very_short_text_can_be_learned_and_is_compared_with_texts_of_its_length(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text(verse(8))
    experiment = TextGeneration(corpus=str(tmp_path / "short.txt"), units=(4,), samples=2, temperatures=(0.5,))
    run = lab.Trainer(epochs=1).run(experiment, console=Console(file=io.StringIO(), width=120))
    assert math.isfinite(run.metrics["validation_nats_per_char"])
    length = len(corpus.texts_of(run.data)[1])
    assert length < experiment.settings.sample_length
    captions = [item["caption"] for item in items(run, "picture")]
    assert any(f"2 texts of {length} characters at each temperature" in caption for caption in captions)
    rows = next(item["rows"] for item in items(run, "table") if item["columns"][0] == "temperature")
    assert ["±" in row[1] for row in rows] == [True, False]  # a single piece of held-out text has no interval


@pytest.mark.enable_socket
@pytest.mark.real_data
def test_the_sonnets_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a few seconds, better than pairs of characters; the README has the result of a complete training."""
    monkeypatch.delenv("LAB_CACHE")
    experiment = TextGeneration(preset="quick", units=(64,), samples=2, temperatures=(0.5,), sample_length=100)
    run = lab.Trainer(epochs=3).run(experiment, console=Console(file=io.StringIO(), width=120))
    assert run.data.sizes() == {"train": 84_080, "validation": 9_637, "test": 9_637}
    assert len(experiment.vocabulary) == 61
    assert run.metrics["validation_nats_per_char"] < 2.36
    assert run.metrics["ngram_nats_per_char"] == pytest.approx(1.757, abs=0.01)
