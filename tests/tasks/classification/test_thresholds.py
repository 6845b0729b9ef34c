"""The thresholds of a classifier in a report: a slider in HTML, a table elsewhere."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.errors import RunError, UsageError
from lab.report import Report
from lab.report.html import to_html
from lab.report.items import Table
from lab.report.markdown import to_markdown
from lab.tasks.classification.thresholds import Thresholds
from tests.report.reading import HOSTILE, Page, policy, printed, structure

COUNTS = [(0, 1200, 0, 800), (900, 300, 80, 720), (1200, 0, 800, 0)]
SCRIPT = importlib.resources.files("lab.tasks.classification").joinpath("thresholds.js").read_text("utf-8")


def with_thresholds(folder: Path, text: str = "words") -> Report:
    report = Report(folder, "Title")
    options: dict[str, Any] = {"start": 0.5, "costs": (1, 2.5), "caption": f"moved {text}"}
    report.add(Thresholds.of((f"no {text}", f"yes {text}"), [0.0, 0.5, 1.0], COUNTS, **options))
    return report


def test_thresholds_are_kept_as_plain_numbers() -> None:
    item = Thresholds.of(("no", "yes"), np.array([0.0, 0.5, 1.0]), np.array(COUNTS))
    assert item == Thresholds(("no", "yes"), (0.0, 0.5, 1.0), tuple(COUNTS), 0.5, (1.0, 1.0), "")
    assert {type(one) for row in item.counts for one in row} == {int}


@pytest.mark.parametrize(("thresholds", "counts"), [([0.0], []), ([], []), ([0.0, 1.0], COUNTS)], ids=str)
def test_thresholds_without_counts_for_each_are_refused(thresholds: list[float], counts: Any) -> None:
    with pytest.raises(UsageError, match=rf"expected counts for each of {len(thresholds)} thresholds, got"):
        Thresholds.of(("no", "yes"), thresholds, counts)


def test_the_script_is_in_the_page_and_the_policy_allows_it_and_no_other(tmp_path: Path) -> None:
    page = to_html(with_thresholds(tmp_path))
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert scripts == [SCRIPT]
    allowed = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert policy(page) == [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{allowed}'",
    ]
    assert page.rindex('<div class="thresholds">') < page.index("<script>"), "it runs when what it looks for is there"
    assert not any(name.startswith("on") for _, attributes in Page(page).elements for name in attributes)


def test_a_page_without_thresholds_has_no_script_and_allows_none(tmp_path: Path) -> None:
    report = Report(tmp_path, "Title")
    report.text("words")
    page = to_html(report)
    assert "<script" not in page
    assert ".thresholds" not in page
    assert not any(rule.startswith("script-src") for rule in policy(page))


def test_two_sliders_share_the_script(tmp_path: Path) -> None:
    report = with_thresholds(tmp_path)
    report.add(Thresholds.of(("a", "b"), [0.5], COUNTS[:1]))
    page = to_html(report)
    assert page.count("<script>") == 1
    assert page.count('<script type="application/json">') == 2


def test_the_script_asks_for_nothing_and_makes_no_markup_of_texts() -> None:
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "eval(", "Function(", "fetch(", "XMLHttp", "import("):
        assert word not in SCRIPT
    assert "</script" not in SCRIPT
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", SCRIPT)


@pytest.mark.parametrize("text", [*HOSTILE.values(), "</script><script>alert(1)</script>"], ids=[*HOSTILE, "end"])
def test_names_of_classes_are_data_on_the_page_and_nothing_else(tmp_path: Path, text: str) -> None:
    report = with_thresholds(tmp_path, text)
    page = to_html(report)
    assert Page(page).shape == Page(to_html(with_thresholds(tmp_path))).shape
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert "<" not in data
    values = json.loads(data)
    assert values["classes"] == [f"no {text}", f"yes {text}"]
    assert values["caption"] == f"moved {text}"
    assert values["counts"] == [list(row) for row in COUNTS]
    assert (values["thresholds"], values["start"], values["costs"]) == ([0, 0.5, 1], 0.5, [1, 2.5])


ROWS = [
    ("threshold", "precision", "recall", "F1", "TN", "FP", "FN", "TP", "cost"),
    ("0.000", "0.400", "1.000", "0.571", "0", "1,200", "0", "800", "1,200"),
    ("0.500", "0.706", "0.900", "0.791", "900", "300", "80", "720", "500"),
    ("1.000", "", "0.000", "0.000", "1,200", "0", "800", "0", "2,000"),
]


def test_where_nothing_moves_there_is_a_table(tmp_path: Path) -> None:
    report = with_thresholds(tmp_path)
    lines = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in to_markdown(report).splitlines()]
    assert [line for line in lines if len(line) == 9 and not line[0].startswith("---")] == ROWS
    assert "moved words\n" in to_markdown(report)
    shown = [tuple(line.split()) for line in printed(report).splitlines()]
    for row in ROWS:
        assert tuple(cell for cell in row if cell) in shown
    (still,) = re.findall(r"<noscript>(.*?)</noscript>", to_html(report), re.DOTALL)
    cells = re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", still)
    assert [tuple(cells[place : place + 9]) for place in range(0, 36, 9)] == ROWS


def test_of_many_thresholds_the_table_has_eleven() -> None:
    many = Thresholds(("a", "b"), tuple(np.linspace(0, 1, 201)), ((1, 2, 3, 4),) * 201, 0.5, (1, 1), "c")
    assert [row[0] for row in many.table().rows] == [f"{step / 10:.3f}" for step in range(11)]
    assert len(Thresholds(("a", "b"), (0.5,), ((0, 0, 0, 0),), 0.5, (1, 1), "").table().rows) == 1


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_thresholds_are_read_back_as_they_were_written(tmp_path: Path, text: str) -> None:
    report = with_thresholds(tmp_path, text)
    report.write({})
    again = Report.read(tmp_path, json.loads((tmp_path / "report.json").read_text("utf-8")))
    assert again.items == report.items
    assert to_html(again) == to_html(report)
    assert structure(to_markdown(report)) == structure(to_markdown(with_thresholds(tmp_path)))
    assert all(char.isprintable() or char == "\n" for char in printed(report))


def test_a_damaged_record_of_thresholds_is_refused(tmp_path: Path) -> None:
    with_thresholds(tmp_path).write({})
    record = json.loads((tmp_path / "report.json").read_text("utf-8"))
    record["items"][0]["counts"].pop()
    with pytest.raises(RunError, match=r"report\.json: expected a report, .*expected counts for each of 3 thresholds"):
        Report.read(tmp_path, record)


def test_a_process_that_does_not_know_thresholds_shows_their_table(tmp_path: Path) -> None:
    report = with_thresholds(tmp_path)
    report.write({})
    (tmp_path / "settings.json").write_text(json.dumps({"experiment": "x", "settings": {}, "trainer": {}}), "utf-8")
    code = "import sys; sys.argv = ['lab', 'show', sys.argv[1]]; import atexit; from lab.cli.main import main\n"
    code += "atexit.register(lambda: print('TASKS', [name for name in sys.modules if name.startswith('lab.tasks')]))\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "main()", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shown = [tuple(line.split()) for line in done.stdout.splitlines()]
    for row in ROWS:
        assert tuple(cell for cell in row if cell) in shown
    assert "TASKS []" in done.stdout


def test_the_plain_form_of_thresholds_is_their_table(tmp_path: Path) -> None:
    report = with_thresholds(tmp_path)
    report.write({})
    record = json.loads((tmp_path / "report.json").read_text("utf-8"))
    record["items"] = [record["items"][0]["plain"]]
    (item,) = Report.read(tmp_path, record).items
    assert isinstance(item, Table)
    assert item == with_thresholds(tmp_path).items[0].table()
