"""Keras layers that Keras lacks, or that the lab computes faster. Importing the package registers them with Keras."""

from lab.layers.bidirectional import Bidirectional
from lab.layers.characters import CharacterEmbedding
from lab.layers.dropout import Dropout
from lab.layers.lstm import LSTM
from lab.layers.noise import Noise, corrupt
from lab.layers.words import Logit, MaxAndMean, Segments, WordEmbedding

__all__ = [
    "LSTM",
    "Bidirectional",
    "CharacterEmbedding",
    "Dropout",
    "Logit",
    "MaxAndMean",
    "Noise",
    "Segments",
    "WordEmbedding",
    "corrupt",
]
