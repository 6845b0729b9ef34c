"""Labelled texts: how they are held out, mixed and cut into splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import Provenance
from lab.data.io.labelled import LabelledSplits, LabelledTexts
from lab.data.io.labelled_files import load
from lab.errors import DataError
from tests.conftest import reviews, write_reviews

HERE = Provenance("made", "made here", "a test")


def of(pairs: list[tuple[str, int]]) -> LabelledTexts:
    return LabelledTexts(tuple(text for text, _ in pairs), np.array([label for _, label in pairs], np.uint8))


def pairs(part: LabelledTexts) -> list[tuple[str, int]]:
    return list(zip(part.texts, part.labels.tolist(), strict=True))


def many(count: int, share: float = 0.5) -> list[tuple[str, int]]:
    return [(f"text number {place}", int(place < count * share)) for place in range(count)]


@given(st.integers(20, 300), st.floats(0.1, 0.9), st.integers(1, 60))
@settings(deadline=None, max_examples=40)
def test_held_out_texts_are_stratified(count: int, share: float, wanted: int) -> None:
    texts = of(many(count, share))
    wanted = min(wanted, count)
    rest, out = texts.hold_out(wanted)
    assert len(out) == wanted
    assert int(out.labels.sum()) == round(wanted * float(texts.labels.mean()))
    assert sorted(pairs(rest) + pairs(out)) == sorted(pairs(texts))


def test_held_out_texts_do_not_depend_on_the_order() -> None:
    texts = many(200)
    shuffled = [texts[place] for place in np.random.default_rng(0).permutation(200)]
    one, other = of(texts).hold_out(50), of(shuffled).hold_out(50)
    assert [sorted(pairs(part)) for part in one] == [sorted(pairs(part)) for part in other]
    assert pairs(one[1]) != pairs(of([(f"{text}!", label) for text, label in texts]).hold_out(50)[1])
    kept = [int(text.split()[-1]) for text, _ in pairs(one[1])]
    assert 60 < np.mean(kept) < 140, "not from one end"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1)), min_size=60, max_size=150))
@settings(deadline=None, max_examples=40)
def test_no_two_parts_share_a_text(drawn: list[tuple[int, int]]) -> None:
    variants = ("a text {}", "A  Text {}", " a text\n{} ")
    texts = [(variants[place % 3].format(one), one % 2) for place, (one, _) in enumerate(drawn)]
    texts += [(f"more of {label} {place}", label) for label in (0, 1) for place in range(20)]
    found = LabelledSplits.of({"train": of(texts)}, ("no", "yes"), HERE)
    parts = (found.train, found.validation, found.test)
    sets = [{" ".join(text.lower().split()) for text in part.texts} for part in parts]
    assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]
    assert sorted(pair for part in parts for pair in pairs(part)) == sorted(texts)


def test_the_parts_do_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    rows = reviews(300)
    one, other = (load(write_reviews(tmp_path / name, some)) for name, some in (("a.csv", rows), ("b.csv", rows[::-1])))
    for name in ("train", "validation", "test"):
        assert pairs(getattr(one, name)) == pairs(getattr(other, name))


@given(st.lists(st.tuples(st.text(max_size=6), st.integers(0, 1)), max_size=30))
def test_mixing_keeps_every_text_with_its_label(texts: list[tuple[str, int]]) -> None:
    assert sorted(pairs(of(texts).mixed())) == sorted(texts)


def test_the_order_of_mixed_texts_is_independent_of_their_labels() -> None:
    mixed = of(many(400)).mixed()
    assert pairs(mixed) == pairs(of(many(400)[::-1]).mixed())
    assert 70 < int(mixed.labels[:200].sum()) < 130
    assert 10 < int(mixed.head(40).labels.sum()) < 30
    assert pairs(mixed.head(3)) == pairs(mixed)[:3]


def test_a_surrogate_in_a_text_is_no_obstacle() -> None:
    texts = of([("\ud800", 0), *many(50)])
    assert sum(map(len, texts.hold_out(10))) == len(texts.mixed()) == 51


def test_a_label_with_few_texts_is_refused() -> None:
    with pytest.raises(DataError, match="a test: expected at least 20 texts labelled 'yes', got 19"):
        LabelledSplits.of({"train": of(many(100, 0.19))}, ("no", "yes"), HERE)
    found = LabelledSplits.of({"train": of(many(100, 0.2))}, ("neg", "pos"), HERE)
    assert found.classes == ("negative", "positive")
    assert found.description == "80 training texts, 10 validation texts, 10 test texts (held out)"
    assert [int(part.labels.sum()) for part in (found.train, found.validation, found.test)] == [16, 2, 2]
