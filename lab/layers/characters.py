"""An embedding that knows its characters, so that a saved model needs no other file."""

from __future__ import annotations

from typing import Any

import keras

from lab.data.io.text import Vocabulary


@keras.saving.register_keras_serializable("lab")
class CharacterEmbedding(keras.layers.Embedding):  # type: ignore[misc]  # Keras has no types
    """`keras.layers.Embedding` of characters: a whole number becomes a vector.

    Args:
        characters: the vocabulary's characters in the order of their numbers, from 1 on; 0 is what is unknown.
        output_dim: numbers in a vector.
    """

    def __init__(self, characters: str, output_dim: int, **rest: Any) -> None:
        self.vocabulary = Vocabulary(characters)
        super().__init__(len(self.vocabulary), output_dim, **{k: v for k, v in rest.items() if k != "input_dim"})

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for `model.keras`."""
        config = dict(super().get_config())
        del config["input_dim"]
        return {**config, "characters": self.vocabulary.characters}
