"""The text of the denoising report on planted numbers: it states what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.reports.denoising_autoencoder import present
from experiments.reports.denoising_measures import (
    BASIC,
    NOTHING,
    OWN,
    Comparison,
    Denoiser,
    Measures,
    Reading,
    Robustness,
)
from experiments.reports.likeness import Likeness
from lab.report import Report
from lab.report.items import Answer, Table, Text
from lab.tasks.images.filters import Filter, Tuned
from tests.conftest import digits

TRUTH = digits(30)[0].astype(np.float32) / 255
NOISY = np.clip(TRUTH + np.random.default_rng(0).normal(0, 0.3, TRUTH.shape), 0, 1)
GREY = Tuned(Filter("grey", "", (0,), lambda images, _: 0 * images + 0.5), 0)


def measures(own: Denoiser, basic: Denoiser, reading: Reading | None = None, likeness: bool = True) -> Measures:
    denoisers: dict[str, Denoiser] = {NOTHING: lambda images: images, str(GREY): GREY, BASIC: basic, OWN: own}
    if not likeness:
        del denoisers[BASIC]
    return Measures(
        bce=0.1,
        noisy=Comparison(TRUTH, NOISY, denoisers),
        clean=Comparison(TRUTH, TRUTH, denoisers),
        best=GREY,
        robustness=Robustness(
            (0.0, 0.5), {"trained on 0.5": (20, 19), NOTHING: (100, 9), "grey, tuned at each level": (7, 7)}
        ),
        trained=("trained on 0.5",),
        reading=reading,
        likeness=Likeness(40, {}, {"noise": "0.5"}, (10, 10), True, (3, 3)) if likeness else None,
    )


def written(found: Measures, folder: Path) -> Report:
    report = Report(folder, "title")
    present(found, "standard deviation of the noise", report)
    return report


def perfect(images: np.ndarray) -> np.ndarray:
    return TRUTH


def black(images: np.ndarray) -> np.ndarray:
    return np.zeros_like(TRUTH)


@pytest.mark.parametrize(
    ("own", "basic", "on_noisy", "on_clean"),
    [
        (perfect, black, "squared error is lower: 0.00000", "On clean digits its squared error is lower"),
        (black, perfect, "squared error is higher", "On clean digits its squared error is higher"),
        (perfect, lambda images: images, "squared error is lower", "On clean digits its squared error is the same"),
    ],
    ids=["better", "worse", "better on noisy digits only"],
)
def test_the_answer_follows_the_numbers(
    own: Denoiser, basic: Denoiser, on_noisy: str, on_clean: str, tmp_path: Path
) -> None:
    report = written(measures(own, basic), tmp_path)
    answer = next(item for item in report.items if isinstance(item, Answer))
    assert on_noisy in answer.text
    assert on_clean in answer.text
    assert "No other difference was found." in answer.text


def test_digits_that_became_others_are_shown_and_counted(tmp_path: Path) -> None:
    labels = np.arange(30) % 10
    wrong = labels.copy()
    wrong[:6] = 9 - labels[:6]
    report = written(
        measures(perfect, black, Reading(labels, {"clean": labels, NOTHING: labels, OWN: wrong})), tmp_path
    )
    assert (tmp_path / "figures" / "invented.png").is_file()
    scenario = [item for item in report.items if isinstance(item, Answer)][1].text
    assert (
        "20.0 % of the digits, read correctly when clean, are read as another digit when denoised (0.0 % when"
        in scenario
    )
    table = next(item for item in report.items if isinstance(item, Table) and item.columns[0] == "images")
    assert table.rows == (("clean", "100.0 %"), (NOTHING, "100.0 %"), (OWN, "80.0 %"))


def test_without_a_basic_run_the_report_says_so(tmp_path: Path) -> None:
    report = written(measures(perfect, black, likeness=False), tmp_path)
    assert any("`reference_runs=none` trains none" in item.text for item in report.items if isinstance(item, Text))
    assert len([item for item in report.items if isinstance(item, Answer)]) == 1
    assert "basic_test_psnr_db" not in report.metrics
