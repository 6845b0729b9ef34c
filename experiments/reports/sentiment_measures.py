"""What the report of the sentiment classifier measures, as numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

import lab
from lab.data import Array
from lab.data.io.labelled import LabelledSplits
from lab.data.io.words import CUTS, shorten
from lab.data.ragged import Ragged
from lab.tasks.classification.calibration import Scaling
from lab.tasks.classification.metrics import Confusion, Predictions, threshold_for_precision, threshold_for_recall
from lab.tasks.text.baselines import combined, linear_models
from lab.tasks.text.classifier import TextClassifier

MISTAKES = 3  # of each kind that are measured
STRICT = 0.99  # recall of complaints that a monitor needs; precision of quotes that a blurb picker needs
LENGTHS = (0, 100, 200, 300, 500)  # words, where the groups of the accuracy by length begin
SHORTENED = (50, 100, 200)  # words that are kept, to see which end of a text matters


def calibrated_classifier(run: lab.Run) -> TextClassifier:
    """Returns the classifier of a run, with the calibration that its report has fitted."""
    metrics = run.metrics
    scaling = Scaling(metrics.get("calibration_temperature", 1.0), metrics.get("calibration_bias", 0.0))
    return TextClassifier(run.model, scaling)


def predictions(classifier: TextClassifier, split: lab.Split) -> Predictions:
    """Returns the uncalibrated predictions for a split."""
    return Predictions(np.asarray(split.labels), classifier.logits(split.x))


@dataclasses.dataclass(frozen=True)
class Rival:
    """A linear model, compared with the LSTM on the same test texts.

    Args:
        name: of the model.
        scores: above 0 for positive, shape (texts,).
        correct: which predictions are correct; bool, shape (texts,).
        lead: accuracy of the LSTM less that of the model.
        half: half the width of the lead's 95 % interval, paired over the texts.
    """

    name: str
    scores: Array
    correct: Array
    lead: float
    half: float

    @property
    def verdict(self) -> str:
        """How the LSTM compares: ahead of the model, behind it, or level with it within the interval."""
        return "ahead of" if self.lead > self.half else "behind" if self.lead < -self.half else "level with"


def rivals(
    sizes: Mapping[str, int], reviews: LabelledSplits, validation: Predictions, test: Predictions
) -> tuple[list[Rival], Array]:
    """Fits the linear models, and combines the last of them with the LSTM.

    Args:
        sizes: the number of texts of each split that the LSTM has seen.
        reviews: the texts.
        validation, test: the LSTM's calibrated predictions.

    Returns:
        The models, and which predictions of the combination are correct, bool of shape (texts,).
    """
    train, known = reviews.train.head(sizes["train"]), reviews.validation.head(sizes["validation"])
    models = linear_models(train, known, reviews.test.head(sizes["test"]).texts)
    own, compared = test.correct(), []
    for model in models:
        correct = (model.scores > 0) == test.labels
        difference = own.astype(float) - correct
        half = 1.96 * float(difference.std()) / math.sqrt(len(difference))
        compared.append(Rival(model.name, model.scores, correct, float(difference.mean()), half))
    both = combined(
        validation.labels,
        (validation.logits, test.logits),
        (models[-1].validation_scores, models[-1].scores),
    )
    return compared, np.asarray((both > 0) == test.labels)


def by_length(lengths: Array, correct: Array, max_words: int) -> dict[str, Array]:
    """Returns which predictions are correct for groups of texts, by the number of words that were read.

    Args:
        lengths: words read of each text, shape (texts,).
        correct: bool, shape (texts,).
        max_words: the most words that are read.
    """
    groups = {}
    for low, high in zip(LENGTHS, (*LENGTHS[1:], max_words + 1), strict=True):
        members = (lengths >= low) & (lengths < high)
        if members.any():
            groups[f"{low} to {high - 1}" if high <= max_words else f"{low} or more"] = correct[members]
    return groups


def shortened(classifier: TextClassifier, split: lab.Split, segment: int) -> dict[int, dict[str, float]]:
    """Returns the accuracy when only some words of each text are kept, by their number and the part that is cut."""
    texts: Ragged = split.x
    labels = np.asarray(split.labels)
    tokens = [texts.tokens[begin : begin + length] for begin, length in zip(texts.starts, texts.lengths, strict=True)]
    accuracy: dict[int, dict[str, float]] = {}
    for kept in SHORTENED:
        width = -(-kept // segment) * segment
        for cut in CUTS:
            logits = classifier.scaling(
                classifier.logits(Ragged.of([shorten(text, kept, cut) for text in tokens], (width,)))
            )
            accuracy.setdefault(kept, {})[cut] = float(((logits >= 0) == labels).mean())
    return accuracy


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A wrong prediction.

    Args:
        text: the text, in one line.
        label, predicted: 0 or 1.
        confidence: probability of the predicted class.
        words: those that moved the logit most towards the predicted class.
    """

    text: str
    label: int
    predicted: int
    confidence: float
    words: tuple[str, ...]


def mistakes(classifier: TextClassifier, texts: tuple[str, ...], test: Predictions) -> list[Mistake]:
    """Returns the most confident mistakes of each kind.

    Args:
        classifier: calibrated.
        texts: the test texts.
        test: their calibrated predictions.
    """
    order, found = np.argsort(test.probabilities, kind="stable"), []
    wrong = ~test.correct()
    for label, places in ((0, order[::-1]), (1, order)):
        for place in [place for place in places if wrong[place] and test.labels[place] == label][:MISTAKES]:
            text = " ".join(texts[place].replace("<br />", " ").split())
            confidence = float(test.probabilities[place])
            moved = [word for word, effect in classifier.moved(text) if (effect > 0) == (label == 0)]
            found.append(Mistake(text, label, 1 - label, 1 - confidence if label else confidence, tuple(moved[:5])))
    return found


@dataclasses.dataclass(frozen=True)
class TradeOff:
    """Two uses of one classifier: a monitor that must miss no negative text, and a picker of positive quotes.

    Args:
        even: counts at a threshold of 0.5, with the positive class as positive.
        even_monitor: the same with the negative class as positive.
        watch: probability of the negative class from which the monitor reports a text; None if there is none.
        monitor: counts at this threshold, with the negative class as positive.
        quote: probability of the positive class from which the picker quotes a text; None if there is none.
        picker: counts at this threshold, with the positive class as positive.
    """

    even: Confusion
    even_monitor: Confusion
    watch: float | None
    monitor: Confusion | None
    quote: float | None
    picker: Confusion | None


def trade_off(validation: Predictions, test: Predictions) -> TradeOff:
    """Chooses both thresholds on validation texts, and returns what they do on test texts."""
    swapped = validation.swapped()
    watch = threshold_for_recall(swapped.labels, swapped.probabilities, STRICT)
    quote = threshold_for_precision(validation.labels, validation.probabilities, STRICT)
    return TradeOff(
        test.confusion(),
        test.swapped().confusion(),
        watch,
        None if watch is None else test.swapped().confusion(watch),
        quote,
        None if quote is None else test.confusion(quote),
    )
