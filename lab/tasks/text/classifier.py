"""A trained classifier on raw texts: probabilities, the words that move them, and tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from lab.data import Array
from lab.data.io.tables import csv_rows
from lab.data.io.text import read_text
from lab.data.io.words import UNKNOWN, Reader, tokenise
from lab.data.ragged import Ragged
from lab.engine.inference import predict
from lab.errors import DataError, LabError, ModelError
from lab.tasks.classification.calibration import Scaling

if TYPE_CHECKING:
    import keras

AT_ONCE = 4096  # texts that are batched together, by length
ROWS = 256  # texts in one call of the model


class TextClassifier:
    """Classifies texts with a model that begins with a `WordEmbedding` and ends with a `Logit`.

    Args:
        model: the trained model.
        scaling: calibrates the logits; None leaves them.

    Raises:
        ModelError: the model has no such layers.
    """

    def __init__(self, model: keras.Model, scaling: Scaling | None = None) -> None:
        from lab.layers import Logit, WordEmbedding

        readers = [layer.reader for layer in model.layers if isinstance(layer, WordEmbedding)]
        classes = [layer.classes for layer in model.layers if isinstance(layer, Logit)]
        if not readers or not classes:
            raise ModelError("expected a model with a WordEmbedding and a Logit, which know words and classes")
        self.model = model
        self.scaling = scaling or Scaling()
        self.reader: Reader = readers[0]
        self.classes: tuple[str, str] = classes[0]

    def logits(self, texts: Ragged) -> Array:
        """Returns the logits before calibration; float64, shape (texts,)."""
        logits = predict(self.model, texts, ROWS) if len(texts) else np.zeros(0)
        return np.asarray(logits, np.float64).reshape(-1)

    def probabilities(self, texts: Sequence[str]) -> Array:
        """Returns the calibrated probability of the second class for each text; float64, shape (texts,)."""
        return np.asarray(expit(self.scaling(self.logits(self.reader.read(texts)))))

    def moved(self, text: str) -> list[tuple[str, float]]:
        """Returns how much each known word moves the calibrated logit towards the second class.

        The effect is the decrease of the logit when the word is hidden everywhere in the text (occlusion;
        Zeiler and Fergus, 2014). The largest effects come first.
        """
        read = self.reader.read([text])
        numbers = read.tokens
        words = self.reader.vocabulary.words
        present = [int(number) for number in dict.fromkeys(numbers.tolist()) if number > UNKNOWN]
        hidden = [np.where(numbers == number, UNKNOWN, numbers) for number in present]
        logits = self.scaling(self.logits(Ragged.of([numbers, *hidden], read.widths)))
        effects = [
            (words[number - UNKNOWN - 1], float(logits[0] - logit))
            for number, logit in zip(present, logits[1:], strict=True)
        ]
        return sorted(effects, key=lambda pair: -abs(pair[1]))

    def describe(self, text: str) -> str:
        """Returns lines of text: label, probability, the words that moved it, and what was not read.

        Raises:
            DataError: the text has no words.
        """
        tokens = tokenise(text)
        if not tokens:
            raise DataError("expected a text with words, got none")
        probability = float(self.probabilities([text])[0])
        label = self.classes[probability >= 0.5]
        lines = [f"{label}, probability {max(probability, 1 - probability):.3f}"]
        moved = [(word, by) for word, by in self.moved(text) if abs(by) >= 0.05]
        for side, name in ((1, self.classes[1]), (-1, self.classes[0])):
            words = ", ".join([f"{word} {abs(by):.2f}" for word, by in moved if by * side > 0][:8])
            if words:
                lines.append(f"  towards {name}: {words}")
        if moved:
            lines.append("  (each word with the change of the log-odds when it is hidden)")
        unknown = list(dict.fromkeys(token for token in tokens if token not in self.reader.vocabulary))
        share = sum(token not in self.reader.vocabulary for token in tokens) / len(tokens)
        if share > 0.5:
            lines.append(
                f"  {share:.0%} of its words are not in the vocabulary: the prediction means little. Another language?"
            )
        elif unknown:
            more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
            lines.append(f"  not in the vocabulary: {', '.join(unknown[:8])}{more}")
        if len(tokens) > self.reader.max_words:
            read = f"{self.reader.max_words:,} of its {len(tokens):,} words"
            lines.append(f"  {read} were read; the {self.reader.cut} was left out")
        return "\n".join(lines) + "\n"

    def lines(self, lines: Iterable[str]) -> Iterator[str]:
        """Yields label, probability of the second class and text for each line, separated by tabs."""
        for some in _blocks(line.rstrip("\r\n") for line in lines):
            for line, label, probability in zip(some, *self._labels(some), strict=True):
                yield f"{label}\t{probability}\t{line}\n"

    def table(self, text: str, name: str, column: str) -> Iterator[str]:
        """Yields a CSV table with the columns `predicted_label` and `predicted_probability` added.

        Args:
            text: content of the file.
            name: of the file, for messages.
            column: the column of texts.

        Raises:
            DataError: it is not a table, or has no such column; rows of earlier blocks have been yielded.
        """
        rows = csv_rows(text, name, (column,))
        header = next(rows)
        place = header.index(column)
        yield _row([*header, "predicted_label", "predicted_probability"])
        for block in _blocks(rows):
            for row, *added in zip(block, *self._labels([row[place] for row in block]), strict=True):
                yield _row([*row, *added])

    def answer(self, text: str) -> Iterator[str | LabError]:
        """Yields the description of a text, or the error that it has none."""
        try:
            yield self.describe(text)
        except LabError as error:
            yield error

    def answers(self, inputs: Iterable[str], column: str, lines: Iterable[str]) -> Iterator[str | LabError]:
        """Yields the predictions for a user's files; an error for one file does not stop the others.

        Args:
            inputs: paths: the rows of a CSV file are classified, any other file as one text; `-` for `lines`.
            column: the column of texts in a CSV file.
            lines: the lines of standard input.
        """
        for name in inputs:
            try:
                if name == "-":
                    yield from self.lines(_decoded(lines))
                    continue
                text, _ = read_text(Path(name))
                yield from self.table(text, name, column) if name.lower().endswith(".csv") else [self.describe(text)]
            except LabError as error:
                yield error

    def _labels(self, texts: Sequence[str]) -> tuple[list[str], list[str]]:
        """Returns labels and probabilities as text; empty for a text without words."""
        read = self.reader.read(texts)
        labels, shown = [], []
        for length, probability in zip(read.lengths, expit(self.scaling(self.logits(read))), strict=True):
            labels.append(self.classes[int(probability >= 0.5)] if length else "")
            shown.append(f"{probability:.4f}" if length else "")
        return labels, shown


def _decoded(lines: Iterable[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise DataError(f"standard input: expected UTF-8 text, {error.reason}") from None


def _row(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _blocks(items: Iterable[str] | Iterable[list[str]]) -> Iterator[list]:  # type: ignore[type-arg]
    block = []
    for item in items:
        block.append(item)
        if len(block) == AT_ONCE:
            yield block
            block = []
    if block:
        yield block
