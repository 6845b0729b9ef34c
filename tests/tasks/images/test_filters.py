"""Classical filters: that they are those of their libraries, and that they are tuned to their best."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lab.tasks.images.filters import Filter, available, tune
from lab.tasks.images.scores import psnr
from tests.conftest import digits

CLEAN = digits(40)[0].astype(np.float32) / 255
NOISY = np.clip(CLEAN + np.random.default_rng(0).normal(0, 0.5, CLEAN.shape), 0, 1).astype(np.float32)
BY_NAME = {one.name: one for one in available()}


def test_without_scikit_image_there_are_median_and_blur(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert [one.name for one in available()] == ["3x3 median", "Gaussian blur"]


def test_with_scikit_image_there_are_five() -> None:
    pytest.importorskip("skimage")
    assert list(BY_NAME) == ["3x3 median", "Gaussian blur", "total variation", "non-local means", "wavelet"]


def test_median_and_blur_do_not_mix_images() -> None:
    for name, value in (("3x3 median", 0.0), ("Gaussian blur", 1.0)):
        together = BY_NAME[name].apply(NOISY, value)
        for place in (0, 7, 39):
            assert np.array_equal(together[place], BY_NAME[name].apply(NOISY[place : place + 1], value)[0])
    assert np.array_equal(BY_NAME["3x3 median"].apply(NOISY, 0)[3], ndimage.median_filter(NOISY[3], 3))


@pytest.mark.parametrize("count", [1, 40, 130])
@pytest.mark.parametrize("in_one_process", [1000, 100])
def test_the_filters_of_scikit_image_keep_number_and_order(
    count: int, in_one_process: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    restoration = pytest.importorskip("skimage.restoration")
    monkeypatch.setattr("lab.tasks.images.filters._ONE_PROCESS", in_one_process)
    images = np.tile(NOISY, (4, 1, 1))[:count]
    made = BY_NAME["total variation"].apply(images, 0.2)
    assert made.shape == images.shape
    for place in (0, count // 2, count - 1):
        assert np.allclose(made[place], restoration.denoise_tv_chambolle(images[place], weight=0.2))


@pytest.mark.parametrize("name", list(BY_NAME))
@pytest.mark.parametrize("levels", [False, True])
def test_tuning_finds_the_best_of_the_values(name: str, levels: bool) -> None:
    found = tune(BY_NAME[name], NOISY, CLEAN)[levels]
    scores = {
        value: psnr(CLEAN, tune(Filter(name, "", (value,), BY_NAME[name].apply), NOISY, CLEAN)[levels](NOISY))
        for value in BY_NAME[name].values
    }
    best = max(scores, key=lambda value: float(scores[value].mean()))
    assert found.value == best
    assert found.has_levels is levels


def test_levels_take_the_grey_off_that_clipping_leaves() -> None:
    blur = BY_NAME["Gaussian blur"]
    plain, leveled = tune(blur, NOISY, CLEAN)
    assert psnr(CLEAN, leveled(NOISY)).mean() > psnr(CLEAN, plain(NOISY)).mean() + 1
    assert leveled.offset < 0
    assert leveled.gain > 1


def test_levels_of_a_planted_line_are_found() -> None:
    same = Filter("same", "", (0,), lambda images, _: images)
    _, found = tune(same, 0.2 + 0.5 * CLEAN, CLEAN)
    assert (found.gain, found.offset) == pytest.approx((2, -0.4), abs=1e-4)
    assert np.allclose(found(0.2 + 0.5 * CLEAN), CLEAN, atol=1e-5)


def test_levels_of_a_constant_picture_do_no_harm() -> None:
    same = Filter("same", "", (0,), lambda images, _: images)
    _, found = tune(same, np.ones_like(CLEAN), CLEAN)
    assert np.isfinite(found(np.ones_like(CLEAN))).all()


def test_a_tuned_filter_says_what_it_is() -> None:
    assert str(tune(BY_NAME["3x3 median"], NOISY, CLEAN)[0]) == "3x3 median"
    plain, leveled = tune(Filter("blur", "sigma", (1.5,), BY_NAME["Gaussian blur"].apply), NOISY, CLEAN)
    assert (str(plain), str(leveled)) == ("blur, sigma 1.5", "blur, sigma 1.5, with levels")


def test_what_comes_out_is_an_image() -> None:
    for one in BY_NAME.values():
        made = tune(one, NOISY, CLEAN)[1](NOISY)
        assert made.dtype == np.float32
        assert made.shape == NOISY.shape
        assert made.min() >= 0
        assert made.max() <= 1
