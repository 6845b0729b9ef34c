"""Reports: what they refuse, what they write, and that no text in them can do anything."""

from __future__ import annotations

import html
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from rich.console import Console

from lab.errors import UsageError
from lab.report import Report
from lab.report.formatting import number, numeric_columns, shown, spans
from lab.report.html import to_html
from lab.report.items import Answer, Metric, Picture, Sample, Section, Table, Text
from lab.report.markdown import to_markdown
from lab.report.terminal import show_report
from tests.report.reading import HOSTILE, PARSER, Page, flat, printed, structure, words


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path, "Digits", "MNIST")


def picture() -> Figure:
    return Figure(figsize=(0.5, 0.25))


def filled(folder: Path, text: str = "words", *, bare: bool = False) -> Report:
    """A report with a text in each place that takes one, after the place's name unless it is bare."""

    def at(place: str) -> str:
        return text if bare else f"{place} {text}"

    report = Report(folder, at("title"), at("subtitle"))
    report.section(at("section"))
    report.text(text)
    report.answer(at("question"), text)
    report.metric("loss", 0.5, at("help"))
    report.table((at("column"), "n"), [(text, 1), (at("cell"), 2)], at("caption"))
    report.figure("curve", picture(), at("figure"))
    return report


# --- what a report refuses ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "Loss", "test loss", "test-loss", "1st", "_x", "loss\n", "é", "../x"])
def test_a_malformed_name_of_a_metric_or_figure_is_refused(report: Report, name: str) -> None:
    with pytest.raises(UsageError, match="expected a new name of lower-case letters, digits and underscores"):
        report.metric(name, 1.0)
    with pytest.raises(UsageError, match="expected a new name of lower-case letters, digits and underscores"):
        report.figure(name, picture())
    assert report.items == []
    assert list(report.folder.iterdir()) == []


def test_a_name_is_taken_once_by_a_metric_and_once_by_a_figure(report: Report) -> None:
    report.metric("loss", 1.0)
    report.figure("loss", picture())
    with pytest.raises(UsageError, match="metric 'loss'"):
        report.metric("loss", 2.0)
    with pytest.raises(UsageError, match="figure 'loss'"):
        report.figure("loss", picture())
    assert report.metrics == {"loss": 1.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_metric_that_is_not_finite_is_refused(report: Report, value: Any) -> None:
    with pytest.raises(UsageError, match=r"metric loss: expected a finite number, got (nan|-?inf)"):
        report.metric("loss", value)
    assert report.metrics == {}


def test_a_metric_is_a_python_float(report: Report) -> None:
    loss: Any = np.float32(0.5)
    report.metric("loss", loss)
    report.metric("count", 3)
    assert report.metrics == {"loss": 0.5, "count": 3.0}
    assert {type(value) for value in report.metrics.values()} == {float}


def test_a_row_of_another_length_than_the_columns_is_refused(report: Report) -> None:
    with pytest.raises(UsageError, match="table: expected 2 cells in a row, got 3: 1, 2, 3"):
        report.table(("a", "b"), [(1, 2), (1, 2, 3)])
    assert report.items == []


# --- what it holds and writes -------------------------------------------------------------------


def test_items_stand_in_reading_order(tmp_path: Path) -> None:
    kinds = [type(item) for item in filled(tmp_path).items]
    assert kinds == [Section, Text, Answer, Metric, Table, Picture]


def test_cells_are_written_as_text_with_four_digits(report: Report) -> None:
    row = (1, 0.123456, np.float32(0.1), np.int64(7), True, None, "x", (2, 3))
    report.table([str(place) for place in range(len(row))], [row])
    (table,) = report.items
    assert isinstance(table, Table)
    assert table.rows == (("1", "0.1235", "0.1", "7", "true", "none", "x", "2,3"),)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.071823, "0.07182"),
        (3.14159e-5, "3.142e-05"),
        (999.94, "999.9"),
        (1234.4, "1234"),
        (-56789.5, "-56790"),
        (9_999_999.0, "9999999"),
        (12_345_678.0, "1.235e+07"),
    ],
)
def test_numbers_have_four_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_a_figure_is_a_png_file_below_the_folder(report: Report) -> None:
    report.figure("curve_2", picture(), "A curve.")
    assert report.items == [Picture("figures/curve_2.png", "A curve.")]
    assert (report.folder / "figures" / "curve_2.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_figure_of_pyplot_is_closed(report: Report) -> None:
    from matplotlib import pyplot

    report.figure("curve", pyplot.figure())
    assert pyplot.get_fignums() == []


def test_writing_makes_three_files(tmp_path: Path) -> None:
    filled(tmp_path).write({})
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.md", "report.html", "figures"}


def test_json_has_title_metrics_items_and_further_entries(tmp_path: Path) -> None:
    filled(tmp_path).write({"experiment": "toy", "settings": {"units": 3}})
    record = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert (record["title"], record["subtitle"]) == ("title words", "subtitle words")
    assert record["metrics"] == {"loss": 0.5}
    assert (record["experiment"], record["settings"]) == ("toy", {"units": 3})
    assert [item["kind"] for item in record["items"]] == ["section", "text", "answer", "metric", "table", "picture"]
    assert record["items"][3] == {"kind": "metric", "name": "loss", "value": 0.5, "help": "help words"}
    assert record["items"][4]["rows"] == [["words", "1"], ["cell words", "2"]]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_report_read_back_equals_the_one_that_was_written(tmp_path: Path, text: str) -> None:
    report = filled(tmp_path, text)
    report.write({})
    record = json.loads((tmp_path / "report.json").read_text("utf-8"))
    again = Report.read(tmp_path, record)
    assert (again.title, again.subtitle, again.items) == (report.title, report.subtitle, report.items)
    assert to_html(again) == to_html(report)
    assert to_markdown(again) == to_markdown(report)


def test_an_empty_report_is_written_too(report: Report) -> None:
    report.write({})
    record = json.loads((report.folder / "report.json").read_text("utf-8"))
    assert (record["metrics"], record["items"]) == ({}, [])
    assert "Digits" in (report.folder / "report.html").read_text("utf-8")


# --- HTML -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_adds_an_element_or_an_attribute_to_the_page(tmp_path: Path, text: str) -> None:
    page, plain = Page(to_html(filled(tmp_path / "a", text))), Page(to_html(filled(tmp_path / "b")))
    assert page.shape == plain.shape
    assert page.comments == []
    assert not {"script", "iframe", "object", "link", "a", "form"} & {tag for tag, _ in page.elements}


@pytest.mark.parametrize("name", ["script", "handler", "template", "entity", "link", "rich"])
def test_a_text_is_shown_as_it_was_written(tmp_path: Path, name: str) -> None:
    page = Page(to_html(filled(tmp_path, HOSTILE[name])))
    for place in ("title", "subtitle", "section", "question", "help", "column", "cell", "caption", "figure"):
        assert f"{place} {HOSTILE[name]}" in page.words, place


def test_the_page_asks_for_nothing_from_the_network(tmp_path: Path) -> None:
    page = to_html(filled(tmp_path))
    for _, attributes in Page(page).elements:
        assert not {"href", "srcset", "action", "background", "ping"} & attributes.keys()
        assert (attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
    assert not re.search(r"@import|url\(|https?:", page)


def test_the_page_has_a_policy_that_allows_nothing_else(tmp_path: Path) -> None:
    metas = [attributes for tag, attributes in Page(to_html(filled(tmp_path))).elements if tag == "meta"]
    (policy,) = [meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = [rule.strip() for rule in policy.split(";")]
    assert rules == ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"]


def test_the_page_is_a_document_with_language_title_and_charset(tmp_path: Path) -> None:
    page = to_html(filled(tmp_path))
    assert page.startswith("<!doctype html>\n")
    elements = Page(page).elements
    assert ("html", {"lang": "en"}) in elements
    assert ("meta", {"charset": "utf-8"}) in elements
    assert "<title>title words</title>" in page


def test_a_picture_is_inside_the_page_with_its_caption_as_text(tmp_path: Path) -> None:
    (image,) = [attributes for tag, attributes in Page(to_html(filled(tmp_path))).elements if tag == "img"]
    assert image["alt"] == "figure words"
    png = (tmp_path / "figures" / "curve.png").read_bytes()
    width = int.from_bytes(png[16:20], "big")
    assert image["width"] == str(width * 2 // 3)


def test_backticks_make_code_on_the_page(report: Report) -> None:
    report.text("Set `latent_dim` and `<b>`.")
    page = to_html(report)
    assert "<p>Set <code>latent_dim</code> and <code>&lt;b&gt;</code>.</p>" in page


def test_columns_of_numbers_stand_to_the_right(report: Report) -> None:
    report.table(("name", "n"), [("a", 1), ("b", 2)])
    page = to_html(report)
    assert '<th>name</th><th class="n">n</th>' in page
    assert '<td>a</td><td class="n">1</td>' in page


def test_neighbouring_metrics_share_a_block(report: Report) -> None:
    for name in ("a", "b"):
        report.metric(name, 1.0)
    report.text("between")
    report.metric("c", 1.0)
    assert to_html(report).count('<div class="metrics">') == 2


# --- Markdown ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("bare", [False, True], ids=["after_words", "alone"])
def test_no_text_adds_markup_to_the_markdown(tmp_path: Path, text: str, bare: bool) -> None:
    hostile, plain = filled(tmp_path / "a", text, bare=bare), filled(tmp_path / "b", bare=bare)
    assert structure(to_markdown(hostile)) == structure(to_markdown(plain))


def test_spaces_around_a_question_do_not_end_its_emphasis(report: Report) -> None:
    report.answer(" Is it?\n", "It is.")
    assert structure(to_markdown(report)).count("strong_open") == 1


@pytest.mark.parametrize("name", ["script", "handler", "link", "image", "pipes", "emphasis", "backslash", "entity"])
def test_a_text_is_read_from_the_markdown_as_it_was_written(tmp_path: Path, name: str) -> None:
    read = words(to_markdown(filled(tmp_path, HOSTILE[name])))
    for place in ("title", "subtitle", "section", "question", "help", "column", "cell", "caption"):
        assert f"{place} {HOSTILE[name]}" in read, place


def test_the_markdown_has_headings_tables_answers_and_pictures(tmp_path: Path) -> None:
    assert to_markdown(filled(tmp_path)) == (
        "# title words\n\n"
        "subtitle words\n\n"
        "## section words\n\n"
        "words\n\n"
        "> **question words**\n>\n> words\n\n"
        "| metric | value |  |\n| --- | ---: | --- |\n| loss | 0.5 | help words |\n\n"
        "caption words\n\n"
        "| column words | n |\n| --- | ---: |\n| words | 1 |\n| cell words | 2 |\n\n"
        "![figure words](figures/curve.png)\n\nfigure words\n"
    )


def test_backticks_make_code_in_the_markdown(report: Report) -> None:
    report.text("Set `latent_dim` to *8*.")
    assert "\nSet `latent_dim` to \\*8\\*.\n" in to_markdown(report)


# --- terminal ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_file_gets_no_control_characters(tmp_path: Path, text: str) -> None:
    output = printed(filled(tmp_path, text))
    assert all(char.isprintable() or char == "\n" for char in output)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_terminal_gets_no_escapes_but_those_of_styles(tmp_path: Path, text: str) -> None:
    styled = printed(filled(tmp_path, text), terminal=True)
    assert "\x1b[1m" in styled
    plain = re.sub(r"\x1b\[[0-9;]*m", "", styled)
    assert all(char.isprintable() or char == "\n" for char in plain)


@pytest.mark.parametrize("name", ["script", "link", "template", "rich", "unclosed", "emphasis", "backslash"])
def test_a_text_is_printed_as_it_was_written(tmp_path: Path, name: str) -> None:
    output = printed(filled(tmp_path, HOSTILE[name]))
    for place in ("title", "subtitle", "section", "question", "help", "column", "cell", "caption", "figure"):
        assert f"{place} {HOSTILE[name]}" in output, place


def test_control_characters_are_shown_as_unknown(report: Report) -> None:
    report.section("a\x1b[2Jb")
    assert "a\ufffd[2Jb" in printed(report)


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u2009", "\u3000"], ids=ascii)
def test_spaces_of_all_kinds_are_spaces(report: Report, space: str) -> None:
    report.table(("n",), [(f"12{space}345",)], f"in{space}all")
    output = printed(report)
    assert "\ufffd" not in output
    assert re.search(r"12\s345", output)


def test_the_terminal_shows_everything(tmp_path: Path) -> None:
    output = printed(filled(tmp_path))
    for part in ("title words", "subtitle words", "section words", "question words", "loss", "0.5", "help words"):
        assert part in output
    for part in ("caption words", "column words", "cell words", f"{tmp_path / 'figures' / 'curve.png'}  figure words"):
        assert part in output


def test_metrics_at_the_end_are_printed_too(report: Report) -> None:
    report.text("before")
    report.metric("last", 0.25)
    assert "last" in printed(report)
    assert "| last | 0.25 |" in to_markdown(report)
    assert "<code>last</code>" in to_html(report)


# --- spans and columns ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain", [(False, "plain")]),
        ("a `b` c", [(False, "a "), (True, "b"), (False, " c")]),
        ("`a``b`", [(True, "a"), (True, "b")]),
        ("``", []),
        ("one ` alone", [(False, "one ` alone")]),
        ("`a` and ` alone", [(False, "`a` and ` alone")]),
    ],
)
def test_backticks_split_a_text_and_a_single_one_is_only_that(text: str, parts: list[tuple[bool, str]]) -> None:
    assert spans(text) == parts


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (["1", "2.5", "-3"], True),
        (["1,234", "+5", "±0.1"], True),
        (["1e-05", "3.1e+07", "12 %", "12%"], True),
        (["1", ""], True),
        (["1", "none"], False),
        (["1", "x"], False),
        (["1 2"], False),
        (["nan"], False),
        (["512,256"], True),
        ([], False),
    ],
)
def test_a_column_is_numeric_when_every_cell_is(cells: list[str], numeric: bool) -> None:
    table = Table(("name", "n"), tuple(("word", cell) for cell in cells), "")
    assert numeric_columns(table) == [False, numeric]


def test_in_a_narrow_terminal_an_interval_goes_below_its_number(report: Report) -> None:
    report.table(("what", "score", "other"), [("a", "0.12 ± 0.03", "7.5 ± 0.2")])
    shown = {width: Console(width=width, file=io.StringIO(), force_terminal=False) for width in (60, 30)}
    for console in shown.values():
        show_report(report, console)
    wide, narrow = (console.file.getvalue() for console in shown.values())  # type: ignore[attr-defined]
    assert "0.12 ± 0.03" in wide
    assert "0.12 ± 0.03" not in narrow
    assert any(line.split() == ["a", "0.12", "7.5"] for line in narrow.splitlines())
    assert any(line.split() == ["±", "0.03", "±", "0.2"] for line in narrow.splitlines())


def test_a_number_with_its_interval_stands_to_the_right() -> None:
    table = Table(("a", "b"), (("0.12 ± 0.03", "9.38 dB"), ("7 ± 1", "")), "")
    assert numeric_columns(table) == [True, True]


# --- samples --------------------------------------------------------------------------------------

VERSE = 'Shall I compare thee:\n\n  Thou art  more lovely \n    \u2019tis <so> & "so"\n'


def sampled(folder: Path, text: str, title: str = "At 0.8") -> Report:
    report = Report(folder, "Title")
    report.text("before")
    report.sample(title, text)
    report.text("after")
    return report


def known_to_a_terminal(text: str) -> str:
    """A text with U+FFFD for every character but its line ends that Python does not call printable."""
    return "".join(char if char == "\n" or char.isprintable() else "\ufffd" for char in text)


def preformatted(page: str) -> str:
    """What a browser shows of the one `<pre>` of a page; it drops a line end right behind the tag."""
    (inside,) = re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)
    return html.unescape(inside.removeprefix("\n"))


@pytest.mark.parametrize("text", [VERSE, "", "\n", *HOSTILE.values()], ids=["verse", "empty", "line end", *HOSTILE])
def test_a_sample_is_kept_line_by_line_in_the_record(tmp_path: Path, text: str) -> None:
    report = sampled(tmp_path, text, text)
    assert report.items[1] == Sample(text, text)
    report.write({})
    record = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert record["items"][1] == {"kind": "sample", "title": text, "text": text}
    again = Report.read(tmp_path, record)
    assert again.items == report.items
    assert to_html(again) == to_html(report)
    assert to_markdown(again) == to_markdown(report)


@pytest.mark.parametrize("text", [VERSE, *HOSTILE.values()], ids=["verse", *HOSTILE])
def test_a_sample_is_shown_on_the_page_as_it_is_and_adds_no_element(tmp_path: Path, text: str) -> None:
    page, plain = to_html(sampled(tmp_path, text, text)), to_html(sampled(tmp_path, "words", "words"))
    assert preformatted(page) == shown(text)
    assert Page(page).shape == Page(plain).shape
    assert Page(page).comments == []
    assert "<" not in re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)[0]


def test_a_sample_stands_below_its_title_on_the_page(tmp_path: Path) -> None:
    page = to_html(sampled(tmp_path, "one\n two", "At 0.8 <b>"))
    assert '<div class="sample"><span>At 0.8 &lt;b&gt;</span><pre>\none\n two</pre></div>' in page


def fences(markdown: str) -> list[str]:
    return [token.content for token in flat(PARSER.parse(markdown)) if token.type == "fence"]


def test_a_sample_is_a_code_block_below_its_title_in_the_markdown(tmp_path: Path) -> None:
    assert to_markdown(sampled(tmp_path, "one\n\n  *two*", "At *0.8*")) == (
        "# Title\n\nbefore\n\nAt \\*0.8\\*\n\n```text\none\n\n  *two*\n```\n\nafter\n"
    )


@pytest.mark.parametrize("text", [VERSE, *HOSTILE.values()], ids=["verse", *HOSTILE])
def test_a_sample_adds_no_markup_to_the_markdown(tmp_path: Path, text: str) -> None:
    made, plain = to_markdown(sampled(tmp_path, text, f"x {text}")), to_markdown(sampled(tmp_path, "words", "words"))
    assert structure(made) == structure(plain)
    assert fences(made) == [known_to_a_terminal(text) + "\n"]


@given(st.text(st.sampled_from("`~ \n\r\x1b\x0c>#-x"), max_size=30))
@example("```")
@example("x\n````\n```text\n`````\n")
@settings(deadline=None)
def test_nothing_inside_ends_a_samples_code_block(text: str) -> None:
    markdown = to_markdown(sampled(Path("nowhere"), text))
    assert fences(markdown) == [known_to_a_terminal(text) + "\n"]
    assert structure(markdown) == structure(to_markdown(sampled(Path("nowhere"), "words")))


def test_control_characters_of_a_sample_are_shown_as_unknown_in_the_markdown(tmp_path: Path) -> None:
    made = to_markdown(sampled(tmp_path, "a\x1b[2Jb\x00\rc\u202ed"))
    assert "```text\na\ufffd[2Jb\ufffd\ufffdc\ufffdd\n```" in made


def test_a_sample_is_printed_line_by_line_and_set_in(tmp_path: Path) -> None:
    lines = [line.rstrip() for line in printed(sampled(tmp_path, "one\n\n   two [red] `x`\nthree")).splitlines()]
    at = lines.index("At 0.8")
    assert lines[at + 1 : at + 6] == ["  one", "", "     two [red] `x`", "  three", "after"]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_sample_sends_no_escapes_to_a_terminal(tmp_path: Path, text: str) -> None:
    report = sampled(tmp_path, text, text)
    assert all(char.isprintable() or char == "\n" for char in printed(report))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed(report, terminal=True))
    assert all(char.isprintable() or char == "\n" for char in plain)
    for line in known_to_a_terminal(text).splitlines():
        assert f"  {line}".rstrip() in plain
