"""Splits and data: what they refuse, how they are cut, and when their fingerprint changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from lab.data import Data, Split
from lab.data.arrays import leaves, map_arrays
from lab.errors import DataError


def numbers(count: int, width: int = 3, start: int = 0) -> np.ndarray:
    """Different float32 values, shape (count, width)."""
    return np.arange(start, start + count * width, dtype=np.float32).reshape(count, width)


def full_split(name: str = "train", count: int = 6) -> Split:
    """A split with every part, each of another shape."""
    return Split(
        name,
        x=numbers(count),
        y=np.arange(count),
        sample_weight=np.linspace(0, 1, count, dtype=np.float32),
        labels=np.arange(count) % 2,
    )


def data() -> Data:
    return Data(full_split("train", 6), full_split("validation", 4), full_split("test", 3))


def test_leaves_are_every_array_of_a_nested_tree() -> None:
    tree = {"a": np.zeros(1), "b": (np.ones(2), {"c": np.full(3, 2)})}
    assert [array.tolist() for array in leaves(tree)] == [[0], [1, 1], [2, 2, 2]]


def test_map_arrays_keeps_the_tree() -> None:
    mapped = map_arrays(lambda array: array + 1, {"a": np.zeros(1), "b": (np.ones(2),)})
    assert mapped["a"].tolist() == [1]
    assert isinstance(mapped["b"], tuple)
    assert mapped["b"][0].tolist() == [2, 2]


@pytest.mark.parametrize(
    "parts",
    [
        {"x": np.zeros(3), "y": np.zeros(2)},
        {"x": np.zeros(3), "sample_weight": np.zeros(2)},
        {"x": np.zeros(3), "labels": np.zeros(2)},
        {"x": (np.zeros(3), np.zeros(2))},
        {"x": {"a": np.zeros(3), "b": (np.zeros(3), np.zeros(2))}},
    ],
    ids=["y", "sample_weight", "labels", "tuple", "nested"],
)
def test_arrays_of_different_lengths_are_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"^validation split: expected arrays of one length, got \[2, 3\]$"):
        Split("validation", **parts)


@pytest.mark.parametrize("part", ["x", "y", "sample_weight", "labels"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_and_counted(part: str, bad: float) -> None:
    arrays: dict[str, Any] = {"x": np.zeros(5), part: np.array([0, bad, 1, bad, 2])}
    with pytest.raises(DataError, match=r"^train split: expected finite numbers, 2 are NaN or infinite$"):
        Split("train", **arrays)


def test_a_nan_deep_in_a_tree_is_found() -> None:
    with pytest.raises(DataError, match="1 are NaN"):
        Split("train", {"a": np.zeros(2), "b": (np.zeros(2), np.array([0.0, np.nan], np.float16))})


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "U3"])
def test_arrays_that_have_no_nan_are_taken(dtype: str) -> None:
    assert len(Split("train", np.zeros(4, dtype))) == 4


def test_the_length_is_the_number_of_examples() -> None:
    assert len(Split("train", {"a": np.zeros((7, 2)), "b": np.zeros(7)})) == 7


def test_parts_are_what_keras_takes() -> None:
    x, y, weight = np.zeros(2), np.ones(2), np.full(2, 2.0)
    assert Split("train", x).parts() == (x,)
    assert [id(part) for part in Split("train", x, y, labels=y).parts()] == [id(x), id(y)]
    assert [id(part) for part in Split("train", x, y, weight).parts()] == [id(x), id(y), id(weight)]


@pytest.mark.parametrize(
    ("which", "expected"), [([4, 0, 0], [4, 0, 0]), (slice(2, 4), [2, 3]), (np.arange(6) > 4, [5])]
)
def test_take_chooses_the_same_examples_from_every_part(which: Any, expected: list[int]) -> None:
    whole = full_split()
    taken = whole.take(which)
    assert taken.name == "train"
    for part in ("x", "y", "sample_weight", "labels"):
        assert np.array_equal(getattr(taken, part), getattr(whole, part)[expected])


def test_take_keeps_a_nested_tree() -> None:
    taken = Split("train", {"a": numbers(4), "b": (np.arange(4), {"c": np.arange(4) * 10})}).take([3, 1])
    assert np.array_equal(taken.x["a"], numbers(4)[[3, 1]])
    assert taken.x["b"][0].tolist() == [3, 1]
    assert taken.x["b"][1]["c"].tolist() == [30, 10]


def test_take_leaves_missing_parts_missing() -> None:
    taken = Split("train", numbers(4)).take([0])
    assert taken.y is None
    assert taken.sample_weight is None
    assert taken.labels is None


def test_head_is_the_first_examples_or_all() -> None:
    assert full_split().head(2).y.tolist() == [0, 1]
    assert len(full_split().head(100)) == 6


def test_data_finds_a_split_by_name() -> None:
    assert data().split("validation").name == "validation"


def test_data_names_the_splits_there_are() -> None:
    with pytest.raises(DataError, match=r"split 'valid': expected one of train, validation, test"):
        data().split("valid")


def test_data_head_and_sizes_concern_every_split() -> None:
    assert data().sizes() == {"train": 6, "validation": 4, "test": 3}
    assert data().head(4).sizes() == {"train": 4, "validation": 4, "test": 3}


def test_data_map_gives_each_split_to_the_function_and_keeps_the_provenance() -> None:
    before = data()
    after = before.map(lambda split: dataclasses.replace(split, x=split.x * 2))
    assert after.provenance is before.provenance
    for name in ("train", "validation", "test"):
        assert np.array_equal(after.split(name).x, before.split(name).x * 2)
        assert after.split(name).name == name


def test_inputs_become_targets_and_targets_become_labels() -> None:
    before = data()
    after = before.as_inputs_and_targets()
    for name in ("train", "validation", "test"):
        split = after.split(name)
        assert split.y is split.x
        assert np.array_equal(split.x, before.split(name).x)
        assert split.labels is before.split(name).y


def test_the_fingerprint_is_64_hex_digits_and_the_same_for_equal_data() -> None:
    assert data().fingerprint() == data().fingerprint()
    assert len(bytes.fromhex(data().fingerprint())) == 32


@pytest.mark.parametrize("name", ["train", "validation"])
@pytest.mark.parametrize("part", ["x", "y", "sample_weight", "labels"])
@pytest.mark.parametrize("position", [0, -1])
def test_one_other_value_is_another_fingerprint(name: str, part: str, position: int) -> None:
    changed = data()
    array = getattr(changed.split(name), part)
    array.flat[position] += 1
    assert changed.fingerprint() != data().fingerprint()


def test_the_last_bit_of_a_float_is_another_fingerprint() -> None:
    changed = data()
    changed.train.x[2, 1] = np.nextafter(changed.train.x[2, 1], np.float32(np.inf))
    assert changed.fingerprint() != data().fingerprint()


def test_another_dtype_or_shape_is_another_fingerprint() -> None:
    x = np.zeros((4, 2), np.int32)
    prints = {
        Data(Split("train", made), full_split("validation"), full_split("test")).fingerprint()
        for made in (x, x.astype(np.uint32), x.reshape(4, 2, 1), x.reshape(4, 1, 2))
    }
    assert len(prints) == 4


def test_the_test_split_has_no_part_in_the_fingerprint() -> None:
    changed = dataclasses.replace(data(), test=full_split("test", 5))
    assert changed.fingerprint() == data().fingerprint()


def test_the_layout_in_memory_has_no_part_in_the_fingerprint() -> None:
    whole = data()
    turned = np.asfortranarray(whole.train.x)
    assert not turned.flags.c_contiguous
    changed = dataclasses.replace(whole, train=dataclasses.replace(whole.train, x=turned))
    assert changed.fingerprint() == whole.fingerprint()


def test_a_nested_value_is_part_of_the_fingerprint() -> None:
    def nested(value: int) -> Data:
        split = Split("train", {"a": np.zeros(2), "b": (np.zeros(2), np.array([0, value]))})
        return Data(split, full_split("validation"), full_split("test"))

    assert nested(1).fingerprint() != nested(2).fingerprint()


def test_text_and_objects_have_a_fingerprint() -> None:
    def of(labels: np.ndarray) -> str:
        return Data(Split("train", np.zeros(2), labels=labels), full_split(), full_split()).fingerprint()

    assert of(np.array(["a", "b"])) != of(np.array(["a", "c"]))
    assert of(np.array(["a", None], object)) != of(np.array(["a", 1], object))
    assert of(np.array(["a", None], object)) == of(np.array(["a", None], object))
