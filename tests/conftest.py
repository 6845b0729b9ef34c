"""What the tests share: generated data, and a cache and a folder of runs for each test."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import numpy as np
import pytest

from lab.engine.backend import set_xla_flags

set_xla_flags()  # for all tests alike, whichever compiles first

# `make test` draws the same examples each time, so that no random find stops an unrelated change; `make fuzz` draws
# new ones with the profile "fuzz".
hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True)
hypothesis.settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "2000")),
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("fixed")

# Files of few long tests start first, so that no worker waits for the other at the end.
LONG = ("test_on_jax.py", "test_contract.py", "test_signals.py", "test_new.py", "test_denoising_autoencoder.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of the files that take longest first."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps a test's cache, runs and working folder apart from the user's."""
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))


def digits(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns images that a network can learn, `count` blurred strokes, uint8 (count, 28, 28), and their classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8) % 10
    rows, columns = np.mgrid[:28, :28]
    angle = labels * np.pi / 10 + rng.normal(0, 0.05, count)
    shift = rng.normal(0, 1.5, count)
    across = (rows - 13.5) * np.cos(angle)[:, None, None] + (columns - 13.5) * np.sin(angle)[:, None, None]
    along = -(rows - 13.5) * np.sin(angle)[:, None, None] + (columns - 13.5) * np.cos(angle)[:, None, None]
    ink = np.exp(-(((across - shift[:, None, None]) / 1.5) ** 2)) * (np.abs(along) < 10)
    return (ink * 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns an `.npz` in MNIST's format with 480 training and 120 test images."""
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    (x_train, y_train), (x_test, y_test) = digits(480), digits(120, seed=1)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


def verse(lines: int, seed: int = 0) -> str:
    """Returns text that a network can learn: lines of a few words, which follow one another in pairs."""
    rng = np.random.default_rng(seed)
    pairs = [("the", "rose"), ("thy", "love"), ("sweet", "time"), ("my", "heart"), ("fair", "day"), ("no", "more")]
    return "".join(
        " ".join(" ".join(pairs[place]) for place in rng.integers(len(pairs), size=3)).capitalize() + ",\n"
        for _ in range(lines)
    )


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a text file of 400 generated lines."""
    path = tmp_path_factory.mktemp("text") / "verse.txt"
    path.write_text(verse(400), "utf-8")
    return path


PRAISE = ("superb", "moving", "delightful", "funny", "brilliant", "gripping")
BLAME = ("dreadful", "boring", "clumsy", "tedious", "awful", "pointless")
PLAIN = ("the", "film", "was", "story", "actors", "and", "music", "scene", "camera", "it", "seemed", "ending")


def reviews(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Returns texts that a network can tell apart: (text, label), every second one positive, with commas and tags."""
    rng = np.random.default_rng(seed)
    rows = []
    for place in range(count):
        words = [*rng.choice(PLAIN, rng.integers(4, 14)), *rng.choice(PRAISE if place % 2 else BLAME, 3)]
        rng.shuffle(words)
        text = f"{' '.join(words[:3])}, {' '.join(words[3:])}!<br />"
        rows.append((text.capitalize(), "good" if place % 2 else "bad"))
    return rows


def write_reviews(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    """Writes a CSV file with the columns `text` and `label`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.fixture(scope="session")
def reviews_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a CSV file of 400 generated reviews, half of them good and half bad."""
    return write_reviews(tmp_path_factory.mktemp("reviews") / "reviews.csv", reviews(400))


DataMaker = Callable[[str], dict[str, str]]
