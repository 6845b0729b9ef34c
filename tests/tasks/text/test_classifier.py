"""A classifier with known weights on raw texts, lines and tables."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator

import keras
import numpy as np
import pytest
from scipy.special import expit

from lab import layers
from lab.errors import DataError, ModelError
from lab.tasks.classification.calibration import Scaling
from lab.tasks.text.classifier import AT_ONCE, TextClassifier

WEIGHTS = {"film": 0.0, "good": 2.0, "superb": 3.0, "bad": -2.0, "awful": -4.0, "the": 0.1, "!": 0.5}
MAX_WORDS = 8


def build(cut: str = "middle") -> keras.Model:
    """A model whose logit is twice the mean of its words' weights; unknown ones weigh nothing."""
    words = keras.Input((None,), dtype="int32")
    embedding = layers.WordEmbedding(list(WEIGHTS), 1, max_words=MAX_WORDS, cut=cut, multiple=4)
    logit = layers.Logit(("poor", "fine"))
    model = keras.Model(words, logit(layers.MaxAndMean()([embedding(words), words])))
    embedding.set_weights([np.array([[0.0], [0.0], *([weight] for weight in WEIGHTS.values())])])
    logit.set_weights([np.array([[0.0], [2.0]]), np.zeros(1)])
    return model


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    return TextClassifier(build(), Scaling(0.5))


def planted(words: str) -> float:
    """The calibrated logit of words, by hand."""
    weights = [WEIGHTS.get(word, 0.0) for word in words.split()]
    return 2 * sum(weights) / len(weights) / 0.5


def test_a_model_without_words_or_classes_is_refused() -> None:
    x = keras.Input((3,))
    with pytest.raises(ModelError, match="expected a model with a WordEmbedding and a Logit"):
        TextClassifier(keras.Model(x, layers.Logit(("a", "b"))(x)))
    whole = build()
    with pytest.raises(ModelError, match="expected a model with a WordEmbedding and a Logit"):
        TextClassifier(keras.Model(whole.input, whole.layers[1].output))


def test_probabilities_come_in_the_order_of_the_texts(classifier: TextClassifier) -> None:
    texts = ["good film", "bad " * 7 + "!", "film", "the superb film good good", "awful", "bad film", "zzz good"]
    expected = [float(expit(np.array(planted(text)))) for text in texts]
    found = classifier.probabilities(texts)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(classifier.probabilities(texts[::-1]), expected[::-1], atol=1e-6)
    logits = classifier.logits(classifier.reader.read(texts))
    np.testing.assert_allclose(logits, [planted(text) * 0.5 for text in texts], atol=1e-5)
    assert classifier.classes == ("poor", "fine")


def test_the_effect_of_a_word_is_the_change_when_it_is_hidden(classifier: TextClassifier) -> None:
    text = "awful film good good zzz good"
    moved = classifier.moved(text)
    assert [word for word, _ in moved] == ["good", "awful", "film"]
    by = dict(moved)
    assert by["good"] == pytest.approx(planted(text) - planted("awful film zzz zzz zzz zzz"), abs=1e-5)
    assert by["awful"] == pytest.approx(planted(text) - planted("zzz film good good zzz good"), abs=1e-5)
    assert by["good"] > 0 > by["awful"]
    assert by["film"] == pytest.approx(0, abs=1e-6)
    assert classifier.moved("zzz yyy") == []


# --- one text ---------------------------------------------------------------------------------------


def test_a_description_has_label_probability_and_words(classifier: TextClassifier) -> None:
    probability = float(expit(np.array(planted("the superb film bad zzz"))))
    lines = classifier.describe("The superb film, bad zzz").splitlines()
    assert lines[0] == f"fine, probability {probability:.3f}"
    assert lines[1].startswith("  towards fine: superb 2.40, the 0.08")
    assert lines[2] == "  towards poor: bad 1.60"
    assert lines[3] == "  (each word with the change of the log-odds when it is hidden)"
    assert lines[4] == "  not in the vocabulary: zzz"
    assert len(lines) == 5


def test_the_probability_is_that_of_the_predicted_label(classifier: TextClassifier) -> None:
    (first, *rest) = classifier.describe("awful").splitlines()
    assert first == "poor, probability 1.000"
    assert rest[0] == "  towards poor: awful 16.00"
    assert not any("fine" in line or "vocabulary" in line for line in rest)


def test_many_unknown_words_are_counted(classifier: TextClassifier) -> None:
    names = [f"z{letter}" for letter in "abcdefghij"]
    text = " ".join(["film"] * 10 + names)
    assert "not in the vocabulary: za, zb, zc, zd, ze, zf, zg, zh and 2 more" in classifier.describe(text)


def test_a_text_of_unknown_words_gets_a_warning(classifier: TextClassifier) -> None:
    description = classifier.describe("ein guter film und good")
    assert (
        "  60% of its words are not in the vocabulary: the prediction means little. Another language?\n" in description
    )
    assert "vocabulary: ein" not in description
    assert "another language" not in classifier.describe("ein guter film good")


@pytest.mark.parametrize("cut", ["start", "middle", "end"])
def test_the_cut_of_a_long_text_is_reported(cut: str) -> None:
    description = TextClassifier(build(cut)).describe("film " * 1200)
    assert description.endswith(f"  8 of its 1,200 words were read; the {cut} was left out\n")


def test_a_text_that_just_fits_is_not_cut(classifier: TextClassifier) -> None:
    assert "were read" not in classifier.describe("film " * MAX_WORDS)
    assert "were read" in classifier.describe("film " * (MAX_WORDS + 1))


@pytest.mark.parametrize("text", ["", "  \n", ".,;", "<br />"], ids=repr)
def test_a_text_without_words_is_refused(classifier: TextClassifier, text: str) -> None:
    with pytest.raises(DataError, match="expected a text with words, got none"):
        classifier.describe(text)


# --- lines and tables -------------------------------------------------------------------------------


def test_each_line_is_returned_with_label_and_probability(classifier: TextClassifier) -> None:
    lines = ["good film\n", "\n", "awful\tfilm\r\n", "film"]
    found = list(classifier.lines(lines))
    high, low = (f"{1 / (1 + math.exp(-planted(text))):.4f}" for text in ("good film", "awful film"))
    assert found == [
        f"fine\t{high}\tgood film\n",
        "\t\t\n",
        f"poor\t{low}\tawful\tfilm\n",
        "fine\t0.5000\tfilm\n",
    ]


def test_lines_are_classified_block_by_block(classifier: TextClassifier) -> None:
    read: list[int] = []

    def lines() -> Iterator[str]:
        for place in range(AT_ONCE + 2):
            read.append(place)
            yield f"film {'good' if place % 2 else 'bad'}\n"

    results = classifier.lines(lines())
    assert next(results).startswith("poor")
    assert len(read) == AT_ONCE
    labels = [line.split("\t")[0] for line in results]
    assert labels == ["fine" if place % 2 else "poor" for place in range(1, AT_ONCE + 2)]


TABLE = 'id,review,note\n1,"good, ""good"" film",a\n2,,b\n3,"awful\nfilm","x, y"\n\n4,... ,c\n'


def test_a_table_gets_two_more_columns(classifier: TextClassifier) -> None:
    written = "".join(classifier.table(TABLE, "a.csv", "review"))
    before, rows = list(csv.reader(io.StringIO(TABLE))), list(csv.reader(io.StringIO(written)))
    assert [row[:3] for row in rows] == [row for row in before if row]
    assert rows[0][3:] == ["predicted_label", "predicted_probability"]
    assert [row[3] for row in rows[1:3]] == ["fine", ""]
    assert rows[1][4] == f"{1 / (1 + math.exp(-planted('good good film'))):.4f}"
    assert rows[2][4] == ""
    assert rows[3][3:] == ["poor", f"{1 / (1 + math.exp(-planted('awful film'))):.4f}"]
    assert rows[4][3:] == ["fine", "0.5000"]  # an ellipsis is a token, though an unknown one


def test_blocks_of_a_table_make_no_difference(classifier: TextClassifier) -> None:
    rows = [f"{place},{'good' if place % 3 else 'bad'}\n" for place in range(AT_ONCE + 5)]
    _, *lines = classifier.table("id,review\n" + "".join(rows), "a.csv", "review")
    assert [line.split(",")[0] for line in lines] == [str(place) for place in range(AT_ONCE + 5)]
    _, *last = classifier.table("id,review\n" + "".join(rows[-5:]), "a.csv", "review")
    assert lines[-5:] == last


def test_a_long_cell_is_read(classifier: TextClassifier) -> None:
    written = "".join(classifier.table(f"review\n{'good ' * 40_000}\n", "a.csv", "review"))
    assert written.rstrip().endswith("fine,0.9997")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("id,reviews\n1,a\n", "a.csv: expected a column 'review', got 'id', 'reviews'; did you mean 'reviews'"),
        ("id,review\n1,a\n2\n", "expected 2 cells, got 1"),
        ('review\n"a\n', "a.csv: expected a CSV table, line 2: unexpected end of data"),
        ("", "a.csv: expected a CSV table, line 0"),
    ],
    ids=["column", "cells", "quote", "empty"],
)
def test_an_error_in_a_table_is_one_line(classifier: TextClassifier, table: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        list(classifier.table(table, "a.csv", "review"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
