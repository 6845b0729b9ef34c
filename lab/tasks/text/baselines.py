"""Baselines for labelled texts: linear models on words and pairs of words."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from lab.data import Array
from lab.data.io.labelled import LabelledTexts
from lab.data.io.words import tokenise


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The scores of a linear model, above 0 for texts that it predicts positive.

    Args:
        name: of the model.
        scores: of the texts to classify, shape (texts,).
        validation_scores: of the validation texts, shape (texts,).
        strength: the inverse of the penalty that is best on validation texts.
        validation_accuracy: with this penalty.
    """

    name: str
    scores: Array
    validation_scores: Array
    strength: float
    validation_accuracy: float


def linear_models(train: LabelledTexts, validation: LabelledTexts, texts: Sequence[str]) -> list[Baseline]:
    """Fits two models on the words and word pairs of training texts, and scores other texts.

    The models are TF-IDF with logistic regression, and NB-SVM: a linear support vector machine on the
    presence of words and pairs, each weighted by its log-count ratio (Wang and Manning, 2012).

    Args:
        train: the training texts.
        validation: on which the penalty is chosen.
        texts: the texts to score.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    counter = CountVectorizer(
        tokenizer=tokenise, token_pattern=None, lowercase=False, ngram_range=(1, 2), min_df=2, dtype=np.float32
    )
    counts = [counter.fit_transform(train.texts), counter.transform(validation.texts), counter.transform(texts)]
    weight = TfidfTransformer(sublinear_tf=True).fit(counts[0])
    weighted = [weight.transform(part) for part in counts]
    present = [part.sign() for part in counts]
    ratio = log_count_ratio(present[0], train.labels)
    scaled = [part.multiply(ratio).tocsr() for part in present]
    regression = functools.partial(LogisticRegression, solver="liblinear")
    return [
        _best("TF-IDF, logistic regression", regression, (1.0, 3.0, 10.0, 30.0, 100.0), weighted, train, validation),
        _best("NB-SVM on words and pairs", LinearSVC, (0.001, 0.003, 0.01, 0.03, 0.1), scaled, train, validation),
    ]


def log_count_ratio(present: Any, labels: Array) -> Array:
    """Returns the logarithm of the ratio of each feature's frequencies in positive and in negative texts.

    Args:
        present: which features each text has, sparse, shape (texts, features).
        labels: 0 or 1, shape (texts,).
    """
    positive, negative = (1 + np.asarray(present[labels == label].sum(axis=0)).ravel() for label in (1, 0))
    return np.asarray(np.log(positive / positive.sum()) - np.log(negative / negative.sum()))


def _best(
    name: str,
    kind: Any,
    strengths: Sequence[float],
    parts: Sequence[Any],
    train: LabelledTexts,
    validation: LabelledTexts,
) -> Baseline:
    best: Baseline | None = None
    for strength in strengths:
        model = kind(C=strength, random_state=0).fit(parts[0], train.labels)
        known, scores = (np.asarray(model.decision_function(part)) for part in parts[1:])
        accuracy = float(((known > 0) == validation.labels).mean())
        if best is None or accuracy > best.validation_accuracy:
            best = Baseline(name, scores, known, strength, accuracy)
    assert best is not None
    return best


def combined(labels: Array, first: tuple[Array, Array], second: tuple[Array, Array]) -> Array:
    """Returns the logits of two models combined, weighted by logistic regression on validation texts.

    Args:
        labels: of the validation texts.
        first, second: the scores of each model for the validation texts and for the texts to classify.
    """
    from sklearn.linear_model import LogisticRegression

    known, scores = (np.stack(pair, axis=1) for pair in zip(first, second, strict=True))
    scale = known.std(axis=0) + 1e-9
    return np.asarray(LogisticRegression().fit(known / scale, labels).decision_function(scores / scale))
