"""What one would try before a network on labelled texts: linear models on words and pairs of words."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from lab.data import Array
from lab.data.io.labelled import Labelled
from lab.data.io.words import tokenise


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A linear model's answers.

    Args:
        name: what it is.
        scores: above 0 for what it calls positive, shape (texts,), of the texts that were asked about.
        validation_scores: likewise of the validation texts.
        strength: the inverse of the penalty that was best on validation texts.
        validation_accuracy: with it.
    """

    name: str
    scores: Array
    validation_scores: Array
    strength: float
    validation_accuracy: float


def linear_models(train: Labelled, validation: Labelled, texts: Sequence[str]) -> list[Baseline]:
    """Fits both models on the words and word pairs of training texts, and asks them about others.

    TF-IDF with logistic regression; and NB-SVM, a linear support vector machine on words and pairs
    that are there or not, each weighed by its log-count ratio (Wang and Manning, 2012).

    Args:
        train: what they learn from.
        validation: what the strength of their penalty is chosen on.
        texts: what they are asked about.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    counter = CountVectorizer(
        tokenizer=tokenise, token_pattern=None, lowercase=False, ngram_range=(1, 2), min_df=2, dtype=np.float32
    )
    counts = [counter.fit_transform(train.texts), counter.transform(validation.texts), counter.transform(texts)]
    weigh = TfidfTransformer(sublinear_tf=True).fit(counts[0])
    weighed = [weigh.transform(part) for part in counts]
    there = [part.sign() for part in counts]
    ratio = log_count_ratio(there[0], train.labels)
    scaled = [part.multiply(ratio).tocsr() for part in there]
    regression = functools.partial(LogisticRegression, solver="liblinear")
    return [
        _best("TF-IDF, logistic regression", regression, (1.0, 3.0, 10.0, 30.0, 100.0), weighed, train, validation),
        _best("NB-SVM on words and pairs", LinearSVC, (0.001, 0.003, 0.01, 0.03, 0.1), scaled, train, validation),
    ]


def log_count_ratio(there: Any, labels: Array) -> Array:
    """Returns how much more often each feature stands in positive texts than in negative, as a logarithm.

    Args:
        there: which features each text has, sparse, shape (texts, features).
        labels: 0 or 1, shape (texts,).
    """
    positive, negative = (1 + np.asarray(there[labels == label].sum(axis=0)).ravel() for label in (1, 0))
    return np.asarray(np.log(positive / positive.sum()) - np.log(negative / negative.sum()))


def _best(
    name: str, kind: Any, strengths: Sequence[float], parts: Sequence[Any], train: Labelled, validation: Labelled
) -> Baseline:
    best: Baseline | None = None
    for strength in strengths:
        model = kind(C=strength, random_state=0).fit(parts[0], train.labels)
        said, asked = (np.asarray(model.decision_function(part)) for part in parts[1:])
        accuracy = float(((said > 0) == validation.labels).mean())
        if best is None or accuracy > best.validation_accuracy:
            best = Baseline(name, asked, said, strength, accuracy)
    assert best is not None
    return best


def together(labels: Array, first: tuple[Array, Array], second: tuple[Array, Array]) -> Array:
    """Returns the logits of two models' scores together, weighed by logistic regression on validation texts.

    Args:
        labels: of the validation texts.
        first, second: each model's scores of the validation texts and of those that are asked about.
    """
    from sklearn.linear_model import LogisticRegression

    known, asked = (np.stack([one, other], axis=1) for one, other in zip(first, second, strict=True))
    scale = known.std(axis=0) + 1e-9
    return np.asarray(LogisticRegression().fit(known / scale, labels).decision_function(asked / scale))
