"""What a test reads back from a report: the page's elements, the Markdown's structure, the terminal's output."""

from __future__ import annotations

import io
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console

from lab.report import Report
from lab.report.terminal import show_report

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "handler": '"><img src=x onerror=alert(1)>',
    "quote": "' onmouseover='alert(1)",
    "comment": "--></style></title><!--",
    "template": "{{ 7 * 7 }}{% raw %}{# #}",
    "link": "[click](javascript:alert(1))",
    "image": "![x](https://evil.example/x.png)",
    "autolink": "<https://evil.example>",
    "reference": "[x]: javascript:alert(1)",
    "pipes": "a | b || c |",
    "lines": "one\n\n# two\n\n- three",
    "code": "``` `x` ```",
    "emphasis": "*a* _b_ **c** ~~d~~ $e$",
    "backslash": "a\\ \\| b\\",
    "entity": "&lt;b&gt; &#60;",
    "clear": "\x1b[2J\x1b]0;title\x07",
    "bell": "\x07\x08\x00\rx",
    "rich": "[red]x[/red] [link=https://evil.example]y[/link]",
    "unclosed": "[/] [bold",
    "bidi": "\u202eabc\u2066def\u2069",
    "rule": "---",
    "heading": "# x",
    "quoted": "> x",
    "bullet": "- x",
    "plus": "+ x",
    "numbered": "1. x",
    "fence": "~~~",
    "setext": "===",
}


class Page(HTMLParser):
    """The elements, attributes and words of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.comments: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    @property
    def shape(self) -> list[tuple[str, list[str]]]:
        return [(tag, list(attributes)) for tag, attributes in self.elements if tag != "code"]


def policy(page: str) -> list[str]:
    """The rules of a page's content security policy."""
    (found,) = [
        attributes["content"]
        for tag, attributes in Page(page).elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert found is not None
    return [rule.strip() for rule in found.split(";")]


PARSER = MarkdownIt("commonmark").enable("table").enable("strikethrough")


def flat(tokens: list[Token]) -> list[Token]:
    return [inner for token in tokens for inner in (token, *flat(token.children or []))]


def structure(markdown: str) -> list[str]:
    """The kinds of blocks and spans, without their words and without code."""
    return [token.type for token in flat(PARSER.parse(markdown)) if token.type not in ("text", "code_inline")]


def words(markdown: str) -> str:
    tokens = flat(PARSER.parse(markdown))
    return "\n".join(
        "".join(child.content for child in token.children or []) for token in tokens if token.type == "inline"
    )


def printed(report: Report, *, terminal: bool = False) -> str:
    file = io.StringIO()
    show_report(report, Console(file=file, width=300, force_terminal=terminal, legacy_windows=False))
    return file.getvalue()
