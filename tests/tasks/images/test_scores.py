"""Scores against plain loops and Keras's losses; principal components against NumPy's SVD."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
from scipy import ndimage, stats

from lab.tasks.images.baselines import LinearMap, Pca, nearest_neighbours
from lab.tasks.images.scores import (
    EPSILON,
    SCORES,
    binary_crossentropy,
    mean_and_interval,
    psnr,
    psnr_of_mean,
    score_row,
    squared_error,
    ssim,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(5, 4, 3)).astype(np.float32)
DRAWN = RNG.uniform(size=(5, 4, 3)).astype(np.float32)


def loop(score: Any, images: np.ndarray, drawn: np.ndarray) -> list[float]:
    """Each image's mean of a function of (true, drawn), pixel by pixel."""
    return [
        sum(score(float(t), float(d)) for t, d in zip(image.ravel(), other.ravel(), strict=True)) / image.size
        for image, other in zip(images, drawn, strict=True)
    ]


def entropy(true: float, drawn: float) -> float:
    drawn = min(max(drawn, EPSILON), 1 - EPSILON)
    return -(true * math.log(drawn) + (1 - true) * math.log(1 - drawn))


def test_squared_error_is_that_of_a_plain_loop() -> None:
    assert squared_error(IMAGES, DRAWN) == pytest.approx(loop(lambda t, d: (t - d) ** 2, IMAGES, DRAWN), rel=1e-6)


def test_squared_error_is_that_of_keras() -> None:
    expected = keras.losses.MeanSquaredError(reduction=None)(IMAGES.reshape(5, -1), DRAWN.reshape(5, -1))
    assert squared_error(IMAGES, DRAWN) == pytest.approx(keras.ops.convert_to_numpy(expected), rel=1e-5)


def test_crossentropy_is_that_of_a_plain_loop() -> None:
    assert binary_crossentropy(IMAGES, DRAWN) == pytest.approx(loop(entropy, IMAGES, DRAWN), rel=1e-6)


def test_crossentropy_is_that_of_keras() -> None:
    expected = keras.losses.BinaryCrossentropy(reduction=None)(IMAGES.reshape(5, -1), DRAWN.reshape(5, -1))
    assert binary_crossentropy(IMAGES, DRAWN) == pytest.approx(keras.ops.convert_to_numpy(expected), rel=1e-4)


def test_crossentropy_of_certain_pixels_is_finite() -> None:
    ink, paper = np.ones((1, 2, 2), np.float32), np.zeros((1, 2, 2), np.float32)
    assert binary_crossentropy(ink, ink)[0] == pytest.approx(EPSILON, rel=1e-3)
    assert binary_crossentropy(paper, paper)[0] == pytest.approx(EPSILON, rel=1e-3)
    assert binary_crossentropy(ink, paper)[0] == pytest.approx(-math.log(EPSILON), rel=1e-6)
    assert binary_crossentropy(paper, ink)[0] == pytest.approx(-math.log(EPSILON), rel=1e-6)


def test_crossentropy_is_least_where_the_images_are_drawn_as_they_are() -> None:
    least = binary_crossentropy(IMAGES, IMAGES)
    assert (least < binary_crossentropy(IMAGES, DRAWN)).all()
    assert (least < binary_crossentropy(IMAGES, np.clip(IMAGES + 0.01, 0, 1))).all()


@pytest.mark.parametrize("score", [squared_error, binary_crossentropy])
@pytest.mark.parametrize("shape", [(3, 7), (3, 2, 2), (3, 2, 2, 1), (1, 5), (3,)])
def test_scores_are_one_float64_an_image_whatever_its_shape(score: Any, shape: tuple[int, ...]) -> None:
    images = RNG.uniform(size=shape).astype(np.float32)
    found = score(images, images)
    assert found.shape == shape[:1]
    assert found.dtype == np.float64


def test_squared_error_of_equal_images_is_zero() -> None:
    assert squared_error(IMAGES, IMAGES).tolist() == [0.0] * 5


def test_scores_do_not_change_what_they_are_given() -> None:
    images, drawn = IMAGES.copy(), DRAWN.copy()
    squared_error(images, drawn)
    binary_crossentropy(images, drawn)
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(drawn, DRAWN)


# --- principal components -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def examples() -> np.ndarray:
    """Returns 60 smooth images between 0.2 and 0.8, so that none of their reconstructions needs clipping."""
    codes = np.random.default_rng(1).normal(size=(60, 12)) * 0.7 ** np.arange(12)
    flat = codes @ np.random.default_rng(2).normal(size=(12, 20))
    flat += 0.01 * np.random.default_rng(3).normal(size=flat.shape)
    return np.asarray(0.5 + 0.3 * flat / np.abs(flat).max()).reshape(60, 4, 5)


def svd_error(x: np.ndarray, size: int) -> float:
    flat = x.reshape(len(x), -1)
    mean = flat.mean(axis=0)
    _, _, components = np.linalg.svd(flat - mean, full_matrices=False)
    drawn = (flat - mean) @ components[:size].T @ components[:size] + mean
    return float(np.square(flat - drawn).mean())


@pytest.mark.parametrize("size", [1, 2, 5, 12, 20])
def test_the_error_is_that_of_a_singular_value_decomposition(examples: np.ndarray, size: int) -> None:
    assert Pca(examples, 20).error(examples, size) == pytest.approx(svd_error(examples, size), rel=1e-6, abs=1e-15)


def test_single_precision_gives_the_same_error(examples: np.ndarray) -> None:
    single = examples.astype(np.float32)
    assert Pca(single, 5).error(single, 5) == pytest.approx(svd_error(examples, 5), rel=1e-2)


def test_the_error_falls_with_every_component(examples: np.ndarray) -> None:
    pca = Pca(examples, 20)
    errors = [pca.error(examples, size) for size in range(1, 21)]
    assert errors == sorted(errors, reverse=True)
    assert len(set(errors)) == 20
    assert errors[-1] < 1e-20 < errors[-2]


def test_the_rank_is_limited_by_what_was_asked_the_examples_and_the_values(examples: np.ndarray) -> None:
    assert Pca(examples, 5).rank == 5
    assert Pca(examples, 500).rank == 20
    assert Pca(examples[:7], 500).rank == 7


def test_more_components_than_there_are_means_all(examples: np.ndarray) -> None:
    pca = Pca(examples, 5)
    assert pca.error(examples, 500) == pca.error(examples, 5)


def test_fewer_examples_than_components_are_drawn_exactly(examples: np.ndarray) -> None:
    few = examples[:7]
    assert Pca(few, 500).error(few, 500) < 1e-20


def test_components_are_projected_and_drawn_in_the_examples_shape(examples: np.ndarray) -> None:
    pca = Pca(examples, 6)
    assert pca.project(examples[:9]).shape == (9, 6)
    assert pca.reconstruct(examples[:9], 3).shape == (9, 4, 5)


def test_what_is_drawn_lies_between_paper_and_ink() -> None:
    x = np.random.default_rng(0).integers(0, 2, (30, 16)).astype(np.float32)
    drawn = Pca(x, 3).reconstruct(x, 3)
    assert drawn.min() == 0.0 <= drawn.max() <= 1.0


def test_unseen_examples_can_be_scored(examples: np.ndarray) -> None:
    pca = Pca(examples[:40], 12)
    assert pca.error(examples[:40], 12) < pca.error(examples[40:], 12) < pca.error(examples[40:], 2)


# --- PSNR, SSIM, intervals ------------------------------------------------------------------------

PICTURES = np.random.default_rng(1).uniform(size=(6, 20, 24)).astype(np.float32)
BLURRED = np.stack([ndimage.gaussian_filter(picture, 1.0) for picture in PICTURES])


def test_psnr_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    expected = [metrics.peak_signal_noise_ratio(t, d, data_range=1) for t, d in zip(PICTURES, BLURRED, strict=True)]
    assert psnr(PICTURES, BLURRED) == pytest.approx(expected, rel=1e-6)


def test_psnr_of_a_tenth_off_is_twenty_decibels() -> None:
    assert psnr(np.zeros((2, 3, 3)), np.full((2, 3, 3), 0.1)) == pytest.approx([20, 20])


def test_psnr_of_a_perfect_copy_is_a_hundred() -> None:
    assert list(psnr(PICTURES, PICTURES)) == [100] * 6
    assert psnr_of_mean(PICTURES, PICTURES) == 100


def test_psnr_of_the_mean_is_below_the_mean_of_psnr() -> None:
    truth = np.zeros((2, 1, 1))
    drawn = np.array([0.1, 0.01]).reshape(2, 1, 1)  # 20 and 40 dB
    assert psnr(truth, drawn).mean() == pytest.approx(30)
    assert psnr_of_mean(truth, drawn) == pytest.approx(-10 * math.log10((0.01 + 0.0001) / 2))


@pytest.mark.parametrize("drawn", [BLURRED, PICTURES, 1 - PICTURES, np.zeros_like(PICTURES)])
def test_ssim_is_that_of_scikit_image(drawn: np.ndarray) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    wang = {"data_range": 1, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [
        metrics.structural_similarity(t.astype(float), d.astype(float), **wang)
        for t, d in zip(PICTURES, drawn, strict=True)
    ]
    assert ssim(PICTURES, drawn) == pytest.approx(expected, abs=1e-6)


def test_ssim_of_a_copy_is_one_and_of_the_negative_is_below_zero() -> None:
    assert ssim(PICTURES, PICTURES) == pytest.approx(np.ones(6))
    assert (ssim(PICTURES, 1 - PICTURES) < 0).all()


def test_the_interval_is_students() -> None:
    values = RNG.normal(3, 2, 12)
    mean, half = mean_and_interval(values)
    low, high = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    found = [mean_and_interval(rng.normal(0, 1, 8)) for _ in range(2000)]
    assert np.mean([abs(mean) <= half for mean, half in found]) == pytest.approx(0.95, abs=0.02)


def test_one_value_has_no_interval() -> None:
    assert mean_and_interval(np.array([2.5])) == (2.5, 0.0)


def test_a_row_of_scores_has_the_scores_in_their_order() -> None:
    row = score_row(PICTURES, BLURRED)
    assert len(row) == len(SCORES)
    shown = dict(zip(SCORES, (float(cell.partition(" ± ")[0]) for cell in row), strict=True))
    assert shown["MSE"] == pytest.approx(squared_error(PICTURES, BLURRED).mean(), abs=6e-6)
    assert shown["BCE"] == pytest.approx(binary_crossentropy(PICTURES, BLURRED).mean(), abs=6e-5)
    assert shown["PSNR, dB"] == pytest.approx(psnr(PICTURES, BLURRED).mean(), abs=6e-3)
    assert shown["PSNR of mean, dB"] == pytest.approx(psnr_of_mean(PICTURES, BLURRED), abs=6e-3)
    assert shown["SSIM"] == pytest.approx(ssim(PICTURES, BLURRED).mean(), abs=6e-5)
    halves = dict(zip(SCORES, (float(cell.partition(" ± ")[2]) for cell in row), strict=True))
    assert halves["MSE"] == pytest.approx(mean_and_interval(squared_error(PICTURES, BLURRED))[1], abs=6e-6)


# --- what a network has to beat -------------------------------------------------------------------


def test_the_linear_map_finds_the_map_that_made_the_targets() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 2, 3))
    weights = rng.uniform(0.0, 0.05, size=(6, 4))
    y = (x.reshape(500, 6) @ weights + 0.5).reshape(500, 2, 2)
    assert LinearMap(x, y, ridge=1e-9)(x) == pytest.approx(np.clip(y, 0, 1), abs=1e-6)


def test_the_linear_map_is_that_of_scikit_learn() -> None:
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(200, 5)), rng.uniform(0.3, 0.7, size=(200, 3))
    expected = LinearRegression().fit(x, y).predict(x)
    assert LinearMap(x, y, ridge=1e-9)(x) == pytest.approx(expected, abs=1e-6)


def test_the_linear_map_bears_constant_values() -> None:
    x, y = np.zeros((20, 4)), np.full((20, 2), 0.25)
    assert LinearMap(x, y)(x) == pytest.approx(y)


def test_nearest_neighbours_name_what_they_know() -> None:
    rng = np.random.default_rng(4)
    labels = np.arange(90) % 3
    centres = rng.uniform(size=(3, 4, 4)) * 5
    reader = nearest_neighbours(centres[labels] + rng.normal(0, 0.1, (90, 4, 4)), labels)
    assert list(reader(centres)) == [0, 1, 2]
    assert list(nearest_neighbours(centres[:2], labels[:2])(centres[1:2])) in ([0], [1])  # two vote
