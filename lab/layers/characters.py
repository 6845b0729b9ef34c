"""An embedding that knows its characters, so that a saved model needs no vocabulary file."""

from __future__ import annotations

from typing import Any

import keras

from lab.data.io.text import Vocabulary


@keras.saving.register_keras_serializable("lab")
class CharacterEmbedding(keras.layers.Embedding):  # type: ignore[misc]  # Keras has no types
    """`keras.layers.Embedding` with the vocabulary of characters that its inputs are numbers of.

    Args:
        characters: the characters in the order of their numbers, from 1; 0 is the number of unknown ones.
        output_dim: size of a character's vector.
        **rest: other arguments of `keras.layers.Embedding`; `input_dim` follows from the characters.

    Raises:
        DataError: `characters` is empty or contains a character twice.
    """

    def __init__(self, characters: str, output_dim: int, **rest: Any) -> None:
        self.vocabulary = Vocabulary(characters)
        super().__init__(len(self.vocabulary), output_dim, **{k: v for k, v in rest.items() if k != "input_dim"})

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, from which Keras recreates the layer."""
        config = dict(super().get_config())
        del config["input_dim"]
        return {**config, "characters": self.vocabulary.characters}
