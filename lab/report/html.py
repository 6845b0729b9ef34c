"""A report as one HTML file that requests nothing from the network."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from lab.report.formatting import number, numeric_columns, shown, spans
from lab.report.items import Answer, Document, Metrics, Picture, Sample, Section, Table, Text, Views


@dataclasses.dataclass(frozen=True)
class Assets:
    """The script and the style rules that a page with a certain item contains once."""

    script: str = ""
    style: str = ""


ASSETS: dict[type[Any], Assets] = {}  # of registered items


def to_html(document: Document) -> str:
    """Returns a report as HTML, with its figures inside; text is escaped, and only registered scripts may run."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lab", "report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    blocks = list(document.blocks())
    assets = [ASSETS[kind] for kind in dict.fromkeys(map(type, blocks)) if kind in ASSETS]
    scripts = [asset.script for asset in assets if asset.script]
    page = environment.get_template("page.html").render(
        title=document.title,
        subtitle=document.subtitle,
        blocks=[escape(VIEWS(block, document.folder)) for block in blocks],
        styles=[Markup(asset.style) for asset in assets if asset.style],  # noqa: S704 code, not a text
        scripts=[Markup(script) for script in scripts],  # noqa: S704 likewise
        allowed=[base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts],
    )
    return shown(page)


def _section(item: Section, folder: Path) -> Markup:
    return Markup("<h2>{}</h2>").format(item.title)


def _text(item: Text, folder: Path) -> Markup:
    return Markup("<p>{}</p>").format(_words(item.text))


def _answer(item: Answer, folder: Path) -> Markup:
    page = Markup('<div class="answer"><strong>{}</strong><p>{}</p></div>')
    return page.format(item.question, _words(item.text))


def _sample(item: Sample, folder: Path) -> Markup:
    # a browser drops a line end right behind `<pre>`: this one, not the text's
    return Markup('<div class="sample"><span>{}</span><pre>\n{}</pre></div>').format(item.title, item.text)


def _metrics(item: Metrics, folder: Path) -> Markup:
    box = Markup("<div><code>{}</code><b>{}</b><span>{}</span></div>\n")
    boxes = [box.format(metric.name, number(metric.value), metric.help) for metric in item.metrics]
    return Markup('<div class="metrics">\n{}</div>').format(Markup().join(boxes))


def _table(item: Table, folder: Path) -> Markup:
    right = [Markup(' class="n"') if is_number else "" for is_number in numeric_columns(item)]

    def row(tag: str, cells: tuple[str, ...]) -> Markup:
        inside = [Markup("<{0}{1}>{2}</{0}>").format(tag, *pair) for pair in zip(right, cells, strict=True)]
        return Markup("<tr>{}</tr>").format(Markup().join(inside))

    caption = Markup("<caption>{}</caption>\n").format(item.caption) if item.caption else ""
    body = Markup("\n").join(row("td", cells) for cells in item.rows)
    table = '<div class="scroll"><table>\n{}<thead>{}</thead>\n<tbody>\n{}\n</tbody>\n</table></div>'
    return Markup(table).format(caption, row("th", item.columns), body)  # noqa: S704 a constant


def _picture(item: Picture, folder: Path) -> Markup:
    content = (folder / item.file).read_bytes()
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    width = int.from_bytes(content[16:20]) * 2 // 3  # PNG's width field; drawn for a screen of 96 dots an inch
    page = Markup('<figure><img src="{}" width="{}" alt="{}"><figcaption>{}</figcaption></figure>')
    return page.format(source, width, item.caption, item.caption)


def _words(text: str) -> Markup:
    """Text with its parts between backticks as code."""
    code = Markup("<code>{}</code>")
    return Markup().join(code.format(part) if is_code else escape(part) for is_code, part in spans(text))


VIEWS: Views[Markup | str] = Views(
    "HTML",
    {
        Section: _section,
        Text: _text,
        Answer: _answer,
        Sample: _sample,
        Metrics: _metrics,
        Table: _table,
        Picture: _picture,
    },
)
