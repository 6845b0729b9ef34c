"""The measures of the denoising report on cases whose answer is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from experiments.reports.denoising_autoencoder import where_it_breaks
from experiments.reports.denoising_measures import Comparison, Denoiser, Reading, Robustness, read, rivals, robustness
from lab.data import Array
from lab.tasks.images.filters import Tuned
from lab.tasks.images.scores import psnr
from tests.conftest import digits

RNG = np.random.default_rng(0)
TRUTH = RNG.uniform(0.3, 0.7, (50, 12, 12))
GIVEN = TRUTH + RNG.normal(0, 0.1, TRUTH.shape)
COMPARED = Comparison(
    TRUTH, GIVEN, {"nothing": lambda x: x, "half": lambda x: (x + TRUTH) / 2, "grey": lambda x: 0 * x + 0.5}
)


def add_noise(images: Array, levels: tuple[float, float], stream: int) -> Array:
    """Gaussian noise of the higher level, clipped."""
    noise = np.random.default_rng(stream).normal(0, levels[1], images.shape)
    return np.clip(images + noise, 0, 1).astype(np.float32)


def test_each_denoiser_gets_the_given_images() -> None:
    assert np.array_equal(COMPARED.denoised["nothing"], GIVEN)
    assert "half" in COMPARED
    assert "other" not in COMPARED


def test_half_the_noise_is_a_quarter_of_the_error() -> None:
    assert COMPARED.errors("half") == pytest.approx(COMPARED.errors("nothing") / 4)
    assert COMPARED.psnr("half") == pytest.approx(COMPARED.psnr("nothing") + 20 * np.log10(2))
    saved, half = COMPARED.saved("half", "nothing")
    assert saved == pytest.approx(0.75 * COMPARED.errors("nothing").mean())
    assert 0 < half < saved
    assert COMPARED.wins("half", "nothing") == 1
    assert COMPARED.wins("nothing", "half") == 0


def test_a_worse_denoiser_saves_less_than_nothing() -> None:
    saved, half = COMPARED.saved("grey", "nothing")
    assert saved + half < 0


def test_a_denoiser_saves_nothing_against_itself() -> None:
    assert COMPARED.saved("half", "half") == (0, 0)
    assert COMPARED.wins("half", "half") == 0


def test_added_and_removed_ink_are_told_apart() -> None:
    truth = np.zeros((2, 12, 12))
    truth[:, :6] = 0.5

    def half_gone_and_a_bit_more(images: Array) -> Array:
        drawn = images / 2
        drawn[:, 6:] = 0.1
        return drawn

    compared = Comparison(truth, truth, {"same": lambda x: x, "other": half_gone_and_a_bit_more})
    assert compared.ink("same") == (0, 0)
    assert compared.ink("other") == pytest.approx((0.2, 0.5))


CURVE = Robustness((0.0, 0.5, 1.0), {"net": (22, 20, 15), "nothing": (100, 9, 6), "filter": (30, 20, 12)})


def test_the_curve_knows_its_peak_and_where_another_is_not_worse() -> None:
    assert CURVE.peak("net") == (0.0, 22)
    assert CURVE.not_worse("nothing", than="net") == [0.0]
    assert CURVE.not_worse("filter", than="net") == [0.0, 0.5]
    assert CURVE.not_worse("net", than="filter") == [0.5, 1.0]


def test_the_text_names_the_levels_at_which_a_network_is_beaten() -> None:
    text = where_it_breaks(CURVE, "net", ("nothing", "filter"))
    assert "`nothing` at 0; `filter` at 0 and 0.5." in text
    assert "highest PSNR, 22.00 dB, at 0; at 1 it has 15.00 dB" in text
    never = Robustness((0.1, 0.2), {"net": (22, 20), "filter": (12, 11)})
    assert "`filter` at no level" in where_it_breaks(never, "net", ("filter",))


def test_robustness_scores_every_line_on_the_same_noise() -> None:
    truth = digits(20)[0].astype(np.float32) / 255
    lines: dict[str, Callable[[float], Denoiser]] = {
        "nothing": lambda level: lambda images: images,
        "black": lambda level: lambda images: 0 * images,
    }
    curve = robustness(truth, (0.1, 0.4), lines, add_noise)
    expected = [
        float(psnr(truth, add_noise(truth, (level, level), 10 + place)).mean()) for place, level in ((0, 0.1), (1, 0.4))
    ]
    assert curve.lines["nothing"] == pytest.approx(expected)
    assert curve.lines["black"][0] == curve.lines["black"][1]


def test_the_rivals_are_tuned_and_the_best_filter_is_among_them() -> None:
    clean = digits(60)[0].astype(np.float32) / 255
    found = rivals(clean[:20], clean[20:], 0.4, add_noise)
    assert {"3x3 median", "best linear map", str(found.best)} <= set(found.by_name)
    assert any(name.startswith("PCA, components ") for name in found.by_name)
    noisy = add_noise(clean[:20], (0.4, 0.4), 3)
    scores = {
        name: psnr(clean[:20], denoise(noisy)).mean()
        for name, denoise in found.by_name.items()
        if isinstance(denoise, Tuned) and denoise.filter.name != "PCA"
    }
    assert max(scores, key=scores.__getitem__) == str(found.best)


def test_a_changed_reading_was_right_on_the_clean_image() -> None:
    labels = np.array([1, 2, 3, 4])
    reading = Reading(labels, {"clean": np.array([1, 2, 3, 0]), "net": np.array([1, 7, 3, 9])})
    assert reading.accuracy("clean") == 0.75
    assert reading.accuracy("net") == 0.5
    assert list(reading.changed("net")) == [1]


def test_images_are_read_by_their_neighbours() -> None:
    images, labels = digits(250)
    reading = read({"clean": images[:10], "reversed": images[9::-1]}, labels[:10], images[10:], labels[10:])
    assert reading.accuracy("clean") > 0.8
    assert np.array_equal(reading.read["reversed"], reading.read["clean"][::-1])
