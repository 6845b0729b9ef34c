"""Which item classes a report can hold, and how `report.json` stores them."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic

from lab.errors import UsageError
from lab.report import html as html_writer
from lab.report import markdown as markdown_writer
from lab.report import terminal as terminal_writer
from lab.report.items import STORED, Sample

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.console import RenderableType

I = TypeVar("I")  # noqa: E741

_KIND, _PLAIN = "kind", "plain"  # names in `report.json` next to those of an item's fields
_KINDS: dict[str, type[Any]] = {kind.__name__.lower(): kind for kind in STORED}


def register(
    item: type[I],
    *,
    html: Callable[[I, Path], Markup | str | Any],
    markdown: Callable[[I, Path], str | Any],
    terminal: Callable[[I, Path], RenderableType | Any],
    script: str = "",
    style: str = "",
) -> None:
    """Makes a dataclass an item that `Report.add` takes.

    Each view is a function of the item and the run directory. It may also return another item, such as a
    `Table`, which is shown in its place.

    Args:
        item: a dataclass whose fields JSON can hold: numbers, text, tuples, mappings, other dataclasses.
        html: returns `markupsafe.Markup`; a plain `str` is text, which is escaped.
        markdown: returns Markdown; `lab.report.markdown.escape` escapes text in it.
        terminal: returns what rich prints; a plain `str` is text without markup.
        script: JavaScript that a page with such items contains once, after the last item.
        style: CSS that a page with such items contains once.

    Raises:
        UsageError: it is no dataclass, or a field has a name that `report.json` uses.

    Example:
        An item that HTML shows as a bar, and the other writers as a line of text::

            @dataclasses.dataclass(frozen=True)
            class Share:
                name: str
                value: float  # from 0 to 1

                def text(self) -> str:
                    return f"{self.name}: {self.value:.0%}"

            lab.report.register(
                Share,
                html=lambda share, folder: Markup("<meter value='{}'>{}</meter>").format(share.value, share.name),
                markdown=lambda share, folder: escape(share.text()),
                terminal=lambda share, folder: share.text(),
            )

            report.add(Share("classified correctly", 0.93))
    """
    if not (isinstance(item, type) and dataclasses.is_dataclass(item)):
        raise UsageError(f"register: expected a dataclass, got {item!r:.200}; put @dataclasses.dataclass above it")
    taken = [field.name for field in dataclasses.fields(item) if field.name in (_KIND, _PLAIN)]
    if taken:
        raise UsageError(f"register: {item.__name__}.{taken[0]}: report.json uses this name; rename the field")
    html_writer.VIEWS.add(item, html)
    markdown_writer.VIEWS.add(item, markdown)
    terminal_writer.VIEWS.add(item, terminal)
    html_writer.ASSETS[item] = html_writer.Assets(script, style)
    _KINDS[f"{item.__module__}.{item.__qualname__}"] = item


def check(item: Any) -> None:
    """Refuses an item that could not be shown or stored.

    Raises:
        UsageError: its class is not registered, or JSON cannot hold a field's value.
    """
    kind: Any = type(item)
    if kind not in _KINDS.values():
        raise UsageError(
            f"report.add: expected an item of a registered class, got {kind.__name__}; call lab.report.register first"
        )
    try:
        values = _values(item)
        json.dumps(values, allow_nan=False)
        _adapter(kind).validate_python(values)
    except (ValueError, TypeError) as error:  # pydantic's errors are ValueErrors
        reason = " ".join(str(error).split())[:200]
        expected = "expected fields that JSON can hold, of their declared types"
        raise UsageError(f"{kind.__name__}: {expected}; {reason}") from None


def encode(item: Any, folder: Path) -> dict[str, Any]:
    """Returns what `report.json` holds of an item.

    A registered item also has a `plain` form, an item of the lab's own: a process in which its class is
    not registered reads that instead of importing a module that the file names.
    """
    kind = next(name for name, known in _KINDS.items() if known is type(item))
    entry = {_KIND: kind, **_values(item)}
    if type(item) not in STORED:
        for views in (terminal_writer.VIEWS, markdown_writer.VIEWS):
            stand_in = views.stand_in(item, folder)
            if stand_in is not None:
                break
        else:
            stand_in = Sample(type(item).__name__, markdown_writer.VIEWS(item, folder))
        entry[_PLAIN] = {_KIND: type(stand_in).__name__.lower(), **_values(stand_in)}
    return entry


def decode(entry: Mapping[str, Any]) -> Any:
    """Returns an item from what `report.json` holds of it.

    Raises:
        KeyError, TypeError, ValueError, UsageError: it is damaged or of an unknown kind.
    """
    kind: Any = _KINDS.get(entry[_KIND])
    if kind is None:
        entry = entry[_PLAIN]
        kind = {known.__name__.lower(): known for known in STORED}[entry[_KIND]]
    values = {name: value for name, value in entry.items() if name not in (_KIND, _PLAIN)}
    return _adapter(kind).validate_python(values)


def _values(item: Any) -> dict[str, Any]:
    kind: Any = type(item)
    values: dict[str, Any] = _adapter(kind).dump_python(item, mode="json", warnings="error")
    return values


@functools.cache
def _adapter(kind: type[Any]) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(kind)
