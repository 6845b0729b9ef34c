"""Data with provenance: splits, their batches, and the public data sets."""

from __future__ import annotations

from lab.data.arrays import Array, Data, Provenance, Split
from lab.data.batches import Batches
from lab.data.datasets.cache import DataSet, cache_folder

__all__ = ["Array", "Batches", "Data", "DataSet", "Provenance", "Split", "cache_folder", "data_sets"]


def data_sets() -> dict[str, DataSet]:
    """Returns the public data sets that `lab data` knows, by name."""
    from lab.data.datasets.imdb import IMDB, IMDB_TRAIN
    from lab.data.datasets.mnist import MNIST
    from lab.data.datasets.shakespeare import PLAYS, SONNETS, TINY_SHAKESPEARE

    return {data_set.name: data_set for data_set in (MNIST, SONNETS, PLAYS, TINY_SHAKESPEARE, IMDB, IMDB_TRAIN)}
