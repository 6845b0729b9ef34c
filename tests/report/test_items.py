"""Report items of a user's own: one class, three views, one call."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup
from rich.text import Text as RichText

import lab.report
from lab.errors import RunError, UsageError
from lab.report import Report
from lab.report.html import to_html
from lab.report.items import SHOWN, Metric, Sample, Table, Views
from lab.report.markdown import escape, to_markdown
from tests.report.reading import HOSTILE, Page, policy, printed, structure

SCRIPT = "document.title += '!';"


@dataclasses.dataclass(frozen=True)
class Share:
    """A part of one, with a bar in HTML."""

    name: str
    value: float

    def text(self) -> str:
        return f"{self.name}: {self.value:.0%}"


@dataclasses.dataclass(frozen=True)
class Grid:
    """Numbers that every writer shows as a table."""

    numbers: tuple[tuple[int, ...], ...]

    def table(self) -> Table:
        columns = tuple("abc"[: len(self.numbers[0])])
        return Table(columns, tuple(tuple(map(str, row)) for row in self.numbers), "A grid.")


def as_table(grid: Grid, folder: Path) -> Table:
    return grid.table()


lab.report.register(
    Share,
    html=lambda share, folder: Markup("<p>{} <meter value='{}'></meter></p>").format(share.name, share.value),
    markdown=lambda share, folder: escape(share.text()),
    terminal=lambda share, folder: share.text(),
    script=SCRIPT,
    style="meter { width: 10rem; }",
)
lab.report.register(Grid, html=as_table, markdown=as_table, terminal=as_table)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path, "Title")


def written(report: Report) -> dict[str, Any]:
    report.write({})
    record: dict[str, Any] = json.loads((report.folder / "report.json").read_text("utf-8"))
    return record


def test_an_item_of_a_users_own_is_shown_by_each_writer(report: Report) -> None:
    report.add(Share("right & left", 0.25))
    assert "<p>right &amp; left <meter value='0.25'></meter></p>" in to_html(report)
    assert "right \\& left: 25%" in to_markdown(report)
    assert "right & left: 25%" in printed(report)


def test_its_script_and_style_are_once_in_the_page_and_allowed(report: Report) -> None:
    for _ in range(2):
        report.add(Share("a", 0.5))
    page = to_html(report)
    assert page.count(f"<script>{SCRIPT}</script>") == 1
    assert page.count("meter { width: 10rem; }") == 1
    assert (
        policy(page)[-1] == f"script-src 'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"
    )


def test_a_page_without_it_has_neither(report: Report) -> None:
    report.add(Grid(((1, 2),)))
    page = to_html(report)
    assert "<script" not in page
    assert "meter" not in page


def test_a_view_may_return_another_item(report: Report) -> None:
    grid = Grid(((1, 2), (3, 4)))
    report.add(grid)
    plain = Report(report.folder, "Title")
    plain.add(grid.table())
    assert to_html(report) == to_html(plain)
    assert to_markdown(report) == to_markdown(plain)
    assert printed(report) == printed(plain)


def test_a_report_with_it_is_read_back(report: Report) -> None:
    report.text("before")
    report.add(Share("a", 0.5))
    report.add(Grid(((1, 2), (3, 4))))
    again = Report.read(report.folder, written(report))
    assert again.items == report.items
    assert to_html(again) == to_html(report)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_text_of_it_adds_no_markup(tmp_path: Path, text: str) -> None:
    shares = [Report(tmp_path, "Title"), Report(tmp_path, "Title")]
    for report, name in zip(shares, (text, "words"), strict=True):
        report.add(Share(f"x {name}", 0.5))
    hostile, plain = shares
    assert Page(to_html(hostile)).shape == Page(to_html(plain)).shape
    assert structure(to_markdown(hostile)) == structure(to_markdown(plain))
    assert all(char.isprintable() or char == "\n" for char in printed(hostile))


def test_plain_text_of_an_html_view_is_escaped(report: Report) -> None:
    @dataclasses.dataclass(frozen=True)
    class Note:
        text: str

    lab.report.register(
        Note,
        html=lambda note, folder: note.text,
        markdown=lambda note, folder: escape(note.text),
        terminal=lambda note, folder: RichText(note.text),
    )
    report.add(Note("<b>bold</b>"))
    assert "&lt;b&gt;bold&lt;/b&gt;" in to_html(report)
    assert "<b>bold</b>" in printed(report)


# --- a process that does not know the class -----------------------------------------------------------


def unregistered(record: dict[str, Any]) -> dict[str, Any]:
    """A record whose items are of classes that no process has."""
    for item in record["items"]:
        if "." in item["kind"]:
            item["kind"] = f"antigravity.{item['kind']}"
    return record


def test_an_item_that_is_not_registered_is_read_in_its_plain_form(report: Report) -> None:
    report.add(Grid(((1, 2),)))
    report.add(Share("a", 0.5))
    again = Report.read(report.folder, unregistered(written(report)))
    assert again.items == [Grid(((1, 2),)).table(), Sample("Share", "a: 50%")]
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "film"},
        {"kind": "antigravity.Film"},
        {"kind": "antigravity.Film", "plain": {"kind": "film"}},
        {"kind": "antigravity.Film", "plain": {"kind": "tests.report.test_items.Share", "name": "a", "value": 1}},
        {"kind": "antigravity.Film", "plain": "text"},
        {"kind": ["text"]},
    ],
)
def test_an_item_of_no_known_kind_is_refused(report: Report, entry: dict[str, Any]) -> None:
    with pytest.raises(RunError, match=r"report\.json: expected a report"):
        Report.read(report.folder, {"items": [entry]})
    assert "antigravity" not in sys.modules


# --- what is refused ----------------------------------------------------------------------------------


def test_an_item_of_a_class_that_is_not_registered_is_refused(report: Report) -> None:
    @dataclasses.dataclass(frozen=True)
    class Film:
        title: str

    with pytest.raises(UsageError, match=r"got Film; call lab\.report\.register first"):
        report.add(Film("x"))
    assert report.items == []


@pytest.mark.parametrize("value", ["half", np.float32(0.5), float("nan"), None])
def test_an_item_that_json_cannot_hold_is_refused_when_it_is_added(report: Report, value: Any) -> None:
    with pytest.raises(UsageError, match="Share: expected fields that JSON can hold, of their declared types"):
        report.add(Share("a", value))
    assert report.items == []


def test_only_dataclasses_are_registered() -> None:
    class Film:
        pass

    view: Any = lambda item, folder: ""  # noqa: E731
    with pytest.raises(UsageError, match=r"expected a dataclass, got .*Film"):
        lab.report.register(Film, html=view, markdown=view, terminal=view)
    with pytest.raises(UsageError, match="expected a dataclass"):
        lab.report.register(Share("a", 1.0), html=view, markdown=view, terminal=view)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["kind", "plain"])
def test_a_field_that_the_record_needs_is_refused(name: str) -> None:
    film: Any = dataclasses.make_dataclass("Film", [(name, str)])
    view: Any = lambda item, folder: ""  # noqa: E731
    with pytest.raises(UsageError, match=rf"Film\.{name}: report\.json uses this name"):
        lab.report.register(film, html=view, markdown=view, terminal=view)


def test_a_view_that_is_missing_is_an_error() -> None:
    with pytest.raises(TypeError, match="terminal"):
        lab.report.register(Grid, html=as_table, markdown=as_table)  # type: ignore[call-arg]


def test_a_metric_is_added_once_however_it_is_added(report: Report) -> None:
    report.add(Metric("loss", 1.0, ""))
    with pytest.raises(UsageError, match="metric 'loss'"):
        report.add(Metric("loss", 2.0, ""))
    assert report.metrics == {"loss": 1.0}


# --- the writers' tables ------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", SHOWN)
def test_a_writer_without_a_view_of_an_item_fails(missing: type[Any]) -> None:
    views = {kind: lambda item, folder: "" for kind in SHOWN if kind is not missing}
    with pytest.raises(
        TypeError, match=f"^Markdown: expected a view of every report item, got none of {missing.__name__}$"
    ):
        Views("Markdown", views)


@pytest.mark.parametrize("writer", ["html", "markdown", "terminal"])
def test_a_new_item_without_views_fails_when_a_writer_is_imported(writer: str) -> None:
    code = (
        "import importlib, lab.report.items as items\n"
        "class Film: pass\n"
        "items.SHOWN += (Film,)\n"
        f"importlib.reload(importlib.import_module('lab.report.{writer}'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "expected a view of every report item, got none of Film" in done.stderr.splitlines()[-1]
