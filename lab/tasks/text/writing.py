"""Text continued by a model that knows its characters."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lab.data.io.text import UNKNOWN, Vocabulary
from lab.errors import ModelError
from lab.tasks.text.generation import Generator, Sampling

if TYPE_CHECKING:
    import keras

log = logging.getLogger("lab")

PARAGRAPH = "\n\n"


def vocabulary_of(model: keras.Model) -> Vocabulary:
    """Returns the vocabulary of a model's `CharacterEmbedding`.

    Raises:
        ModelError: the model has no such layer.
    """
    from lab.layers.characters import CharacterEmbedding

    for layer in model.layers:
        if isinstance(layer, CharacterEmbedding):
            vocabulary: Vocabulary = layer.vocabulary
            return vocabulary
    raise ModelError("expected a model with a CharacterEmbedding, which knows the characters")


def opening(vocabulary: Vocabulary) -> str:
    """Returns what a new text is written after: an empty line if the vocabulary has line ends, else one character."""
    return PARAGRAPH if not vocabulary.unknown(PARAGRAPH) else vocabulary.characters[0]


class Writer:
    """Continues prompts with a model that has a `CharacterEmbedding`.

    Args:
        model: one that `Generator` accepts.

    Raises:
        ModelError: the model has no `CharacterEmbedding`, or cannot be run one step at a time.
    """

    def __init__(self, model: keras.Model) -> None:
        self.vocabulary = vocabulary_of(model)
        self._generator = Generator(model, never=[0])

    def write(self, prompt: str, length: int, sampling: Sampling) -> Iterator[str]:
        """Yields the prompt, and then `length` characters that continue it, some at a time.

        Characters of the prompt that the vocabulary lacks are logged as a warning. An empty prompt starts a new text.
        """
        unknown = self.vocabulary.unknown(prompt)
        if unknown:
            log.warning("the prompt has characters that the training text lacks, read as %r: %r", UNKNOWN, unknown)
        self._generator.reset()
        self._generator.read(self.vocabulary.encode(prompt or opening(self.vocabulary)))
        yield prompt
        for steps in self._generator.write(length, sampling):
            yield self.vocabulary.decode(steps.symbols[0])
