"""Layers that Keras lacks; `lab.layers.Noise` and so on load Keras when they are first asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.layers.bidirectional import Bidirectional
    from lab.layers.characters import CharacterEmbedding
    from lab.layers.dense import Dense
    from lab.layers.dropout import Dropout
    from lab.layers.lstm import LSTM
    from lab.layers.noise import Noise, corrupt
    from lab.layers.words import Logit, MaxAndMean, Segments, WordEmbedding

__all__ = [
    "LSTM",
    "Bidirectional",
    "CharacterEmbedding",
    "Dense",
    "Dropout",
    "Logit",
    "MaxAndMean",
    "Noise",
    "Segments",
    "WordEmbedding",
    "corrupt",
]

_HOMES = {
    "Bidirectional": "bidirectional",
    "CharacterEmbedding": "characters",
    "Dense": "dense",
    "Dropout": "dropout",
    "LSTM": "lstm",
    "Logit": "words",
    "MaxAndMean": "words",
    "Noise": "noise",
    "Segments": "words",
    "WordEmbedding": "words",
    "corrupt": "noise",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"lab.layers.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def register() -> None:
    """Makes every layer here known to Keras, so that it can read models that have them."""
    for home in set(_HOMES.values()):
        importlib.import_module(f"lab.layers.{home}")
