"""The comparison on cases whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lab.report import Report
from lab.report.items import Picture, Table
from lab.tasks.images.comparison import Comparison, Robustness

RNG = np.random.default_rng(0)
TRUTH = RNG.uniform(0.3, 0.7, (50, 12, 12))
GIVEN = TRUTH + RNG.normal(0, 0.1, TRUTH.shape)
MADE = Comparison(
    TRUTH, GIVEN, {"nothing": lambda x: x, "half": lambda x: (x + TRUTH) / 2, "grey": lambda x: 0 * x + 0.5}
)


def test_each_denoiser_sees_the_given_images() -> None:
    assert np.array_equal(MADE.drawn["nothing"], GIVEN)
    assert "half" in MADE
    assert "whole" not in MADE


def test_half_the_noise_is_a_quarter_of_the_error() -> None:
    assert MADE.errors("half") == pytest.approx(MADE.errors("nothing") / 4)
    assert MADE.psnr("half") == pytest.approx(MADE.psnr("nothing") + 20 * np.log10(2))
    saved, half = MADE.saved("half", "nothing")
    assert saved == pytest.approx(0.75 * MADE.errors("nothing").mean())
    assert 0 < half < saved
    assert MADE.wins("half", "nothing") == 1
    assert MADE.wins("nothing", "half") == 0


def test_what_is_worse_saves_less_than_nothing() -> None:
    saved, half = MADE.saved("grey", "nothing")
    assert saved + half < 0


def test_equals_differ_by_nothing() -> None:
    assert MADE.saved("half", "half") == (0, 0)
    assert MADE.wins("half", "half") == 0


def test_the_table_has_a_row_for_each(tmp_path: Path) -> None:
    report = Report(tmp_path, "t")
    MADE.table(report, "caption")
    (table,) = report.items
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["nothing", "half", "grey"]
    assert table.rows[1][1].startswith(f"{MADE.errors('half').mean():.5f} ± ")


def test_ink_that_is_invented_and_lost_is_told_apart() -> None:
    truth = np.zeros((2, 12, 12))
    truth[:, :6] = 0.5

    def half_gone_and_a_bit_more(images: np.ndarray) -> np.ndarray:
        drawn = images / 2
        drawn[:, 6:] = 0.1
        return drawn

    made = Comparison(truth, truth, {"same": lambda x: x, "other": half_gone_and_a_bit_more})
    assert made.ink("same") == (0, 0)
    assert made.ink("other") == pytest.approx((0.2, 0.5))


def planted() -> Robustness:
    curve = Robustness((0.0, 0.5, 1.0))
    for name, line in {"net": (22, 20, 15), "nothing": (100, 9, 6), "filter": (30, 20, 12)}.items():
        for value in line:
            curve.add(name, value)
    return curve


def test_where_it_breaks_names_the_levels() -> None:
    said = planted().where_it_breaks("net", ("nothing", "filter"))
    assert "`nothing` does as well or better at 0;" in said
    assert "`filter` does as well or better at 0, 0.5." in said
    assert "at its best at 0, with 22.00 dB, and has 15.00 dB at 1" in said


def test_where_nothing_is_better_that_is_said() -> None:
    curve = Robustness((0.1, 0.2))
    for name, line in {"net": (22, 20), "filter": (12, 11)}.items():
        for value in line:
            curve.add(name, value)
    assert "at no level `filter` does" in curve.where_it_breaks("net", ("filter",))


def test_the_curve_and_its_numbers_are_in_the_report(tmp_path: Path) -> None:
    report = Report(tmp_path, "t")
    planted().show(report, "noise", "caption")
    picture, table = report.items
    assert isinstance(picture, Picture)
    assert (tmp_path / picture.file).read_bytes().startswith(b"\x89PNG")
    assert isinstance(table, Table)
    assert table.columns == ("noise", "net", "nothing", "filter")
    assert table.rows[0] == ("0", "22.00", "100.00", "30.00")
