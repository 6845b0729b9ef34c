"""The measures of the sentiment report on predictions whose answer is known."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import lab
from experiments.reports import sentiment_measures as measures
from lab.data import Provenance
from lab.data.io.labelled import LabelledSplits, LabelledTexts
from lab.tasks.classification.metrics import Predictions
from lab.tasks.text.classifier import TextClassifier
from tests.conftest import reviews

WEIGHTS = {"film": 0.0, "good": 2.0, "bad": -2.0, "superb": 4.0}


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    """Its logit is the mean of the weights of a text's words."""
    words = keras.Input((None,), dtype="int32")
    embedding = lab.layers.WordEmbedding(list(WEIGHTS), 1, max_words=400, cut="end", multiple=4)
    logit = lab.layers.Logit(("poor", "fine"))
    model = keras.Model(words, logit(lab.layers.MaxAndMean()([embedding(words), words])))
    embedding.set_weights([np.array([[0.0], [0.0], *([weight] for weight in WEIGHTS.values())])])
    logit.set_weights([np.array([[0.0], [1.0]]), np.zeros(1)])
    return TextClassifier(model)


def texts(count: int, seed: int) -> LabelledTexts:
    rows = reviews(count, seed)
    return LabelledTexts(tuple(text for text, _ in rows), np.array([label == "good" for _, label in rows], np.uint8))


def test_rivals_are_compared_on_the_same_texts() -> None:
    splits = LabelledSplits(
        texts(200, 0), texts(60, 1), texts(60, 2), ("bad", "good"), Provenance("made", "here", "a test"), ""
    )
    validation, test = (
        Predictions(part.labels, np.where(np.arange(len(part)) % 4 < 2, 1.0, -1.0))
        for part in (splits.validation, splits.test)
    )
    sizes = {"train": 150, "validation": 40, "test": 60}
    validation = Predictions(validation.labels[:40], validation.logits[:40])
    (tfidf, svm), hybrid = measures.rivals(sizes, splits, validation, test)
    own = test.correct()
    for rival in (tfidf, svm):
        assert rival.correct.all(), "separable texts"
        assert rival.lead == pytest.approx(own.mean() - 1)
        assert rival.half == pytest.approx(1.96 * own.std() / np.sqrt(60))
        assert rival.verdict == "behind"
    assert hybrid.all()


@pytest.mark.parametrize(("lead", "verdict"), [(0.2, "ahead of"), (0.05, "level with"), (-0.2, "behind")])
def test_the_verdict_needs_a_lead_beyond_its_interval(lead: float, verdict: str) -> None:
    assert measures.Rival("a", np.zeros(1), np.ones(1, bool), lead, 0.1).verdict == verdict


def test_texts_are_grouped_by_their_length() -> None:
    lengths = np.array([0, 99, 100, 250, 400, 400])
    correct = np.array([True, False, True, True, False, True])
    groups = measures.by_length(lengths, correct, 400)
    assert {name: group.tolist() for name, group in groups.items()} == {
        "0 to 99": [True, False],
        "100 to 199": [True],
        "200 to 299": [True],
        "300 or more": [False, True],
    }


def test_each_cut_is_measured_on_shortened_texts(classifier: TextClassifier) -> None:
    read = classifier.reader.read(["good " * 60 + "bad " * 61, "bad " * 60 + "good " * 61])
    split = lab.Split("validation", read, np.zeros((2, 1), np.float32), labels=np.array([1, 0], np.uint8))
    accuracy = measures.shortened(classifier, split, 4)
    assert list(accuracy) == [50, 100, 200]
    assert accuracy[50] == {"start": 0.0, "middle": 0.5, "end": 1.0}
    assert accuracy[200] == {"start": 0.0, "middle": 0.0, "end": 0.0}, "complete"


def test_mistakes_are_the_most_confident_wrong_predictions(classifier: TextClassifier) -> None:
    wanted = ["superb film", "good<br />\n superb", "good film", "film good film film", "bad film", "good", "bad"]
    labels = np.array([0, 0, 0, 0, 1, 1, 0], np.uint8)
    test = Predictions(labels, classifier.logits(classifier.reader.read(wanted)))
    found = measures.mistakes(classifier, tuple(wanted), test)
    assert [(mistake.label, mistake.predicted) for mistake in found] == [(0, 1), (0, 1), (0, 1), (1, 0)]
    assert [mistake.text for mistake in found] == ["good superb", "superb film", "good film", "bad film"]
    assert [mistake.confidence for mistake in found] == pytest.approx(
        [1 / (1 + np.exp(-logit)) for logit in (3, 2, 1, 1)], abs=1e-6
    )
    assert found[0].words == ("superb", "good")
    assert found[3].words[0] == "bad"


def test_thresholds_are_chosen_on_validation_and_measured_on_test_texts() -> None:
    def predict(seed: int) -> Predictions:
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 2, 500)
        return Predictions(labels, 3 * (labels - 0.5) + rng.normal(0, 1, 500))

    validation, test = predict(1), predict(2)
    found = measures.trade_off(validation, test)
    assert found.watch is not None
    assert found.quote is not None
    assert found.monitor is not None
    assert found.picker is not None
    negative, positive = 1 - validation.probabilities, validation.probabilities
    assert (negative >= found.watch)[validation.labels == 0].mean() >= measures.STRICT
    assert validation.labels[positive >= found.quote].mean() >= measures.STRICT
    reported = 1 - test.probabilities >= found.watch
    assert int(found.monitor.false_negative) == int((~reported & (test.labels == 0)).sum())
    assert int(found.monitor.false_positive) == int((reported & (test.labels == 1)).sum())
    assert int(found.picker.false_positive) == int(((test.probabilities >= found.quote) & (test.labels == 0)).sum())
    assert int(found.monitor.false_negative) < int(found.even_monitor.false_negative)
    assert int(found.picker.false_positive) < int(found.even.false_positive)


def test_a_use_without_a_threshold_has_none() -> None:
    labels = np.array([0, 1] * 50)
    worst = Predictions(labels, np.where(labels == 1, -4.0, 4.0) + np.linspace(0, 1, 100))
    found = measures.trade_off(worst, worst)
    assert found.quote is None
    assert found.picker is None
    positive = measures.trade_off(Predictions(np.ones(3, int), np.arange(3.0)), worst)
    assert positive.watch is None
    assert positive.monitor is None
