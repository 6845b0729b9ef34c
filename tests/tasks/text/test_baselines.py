"""Linear models on words: the log-count ratio by hand, and separable texts that both must learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import sparse

from lab.data.io.labelled import LabelledTexts
from lab.tasks.text.baselines import combined, linear_models, log_count_ratio
from tests.conftest import reviews


def made(count: int, seed: int) -> LabelledTexts:
    rows = reviews(count, seed)
    return LabelledTexts(tuple(text for text, _ in rows), np.array([label == "good" for _, label in rows], np.uint8))


def test_the_log_count_ratio_by_hand() -> None:
    there = sparse.csr_matrix(np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 1]]))
    found = log_count_ratio(there, np.array([1, 1, 0, 0]))
    positive, negative = np.array([2, 3, 1]) / 6, np.array([2, 1, 3]) / 6
    assert found == pytest.approx(np.log(positive / negative))
    assert found == pytest.approx([0, math.log(3), -math.log(3)])
    uneven = log_count_ratio(there, np.array([1, 0, 0, 0]))
    assert uneven == pytest.approx(np.log(np.array([2 / 5, 2 / 5, 1 / 5]) / np.array([2 / 7, 2 / 7, 3 / 7])))


def test_both_models_learn_separable_texts() -> None:
    train, validation, test = made(200, 0), made(40, 1), made(60, 2)
    found = linear_models(train, validation, test.texts)
    assert [one.name for one in found] == ["TF-IDF, logistic regression", "NB-SVM on words and pairs"]
    for one in found:
        assert one.scores.shape == (60,)
        assert ((one.scores > 0) == test.labels).all()
        assert one.validation_accuracy == 1
    assert found[0].strength == 1.0, "of equally good strengths, the first"
    assert found[1].strength == 0.001


def test_the_strength_is_the_best_on_validation_texts_and_independent_of_test_texts() -> None:
    train = made(120, 0)
    noisy = np.where(np.random.default_rng(0).random(120) < 0.3, 1 - train.labels, train.labels)
    train, validation, test = LabelledTexts(train.texts, noisy), made(50, 1), made(30, 2)
    found = linear_models(train, validation, test.texts)
    again = linear_models(train, validation, (*test.texts, "superb superb", ""))
    for one, other in zip(found, again, strict=True):
        assert np.allclose(one.scores, other.scores[:30])
        assert (one.strength, one.validation_accuracy) == (other.strength, other.validation_accuracy)
    itself = linear_models(train, validation, validation.texts)
    for one in itself:
        assert one.validation_accuracy == ((one.scores > 0) == validation.labels).mean()


def test_combined_scores_weigh_the_better_model_more() -> None:
    rng = np.random.default_rng(0)
    labels, test_labels = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    good, bad = (
        tuple(truth - 0.5 + rng.normal(0, noise, 400) for truth in (labels, test_labels)) for noise in (0.4, 2.0)
    )
    both = combined(labels, (good[0], good[1]), (100 * bad[0], 100 * bad[1]))
    accuracies = [((scores > 0) == test_labels).mean() for scores in (both, good[1], bad[1])]
    assert accuracies[0] >= accuracies[1] - 0.02
    assert accuracies[0] > accuracies[2] + 0.1


def test_pairs_of_words_count() -> None:
    texts = ("not good", "not bad", "good film", "bad film") * 12
    labels = np.array([0, 1, 1, 0] * 12, np.uint8)
    part = LabelledTexts(texts, labels)
    for one in linear_models(part, part, texts[:4]):
        assert ((one.scores > 0) == labels[:4]).all(), one.name
