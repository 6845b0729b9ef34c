"""A report as one HTML file that asks the network for nothing."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.resources
from typing import Any

from lab.report.core import Metric, Picture, Report, Table, Thresholds, number, numeric_columns, shown, spans


def to_html(report: Report) -> str:
    """Writes a report as HTML, with its figures inside; every text is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lab", "report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["spans"] = spans
    template = environment.get_template("template.html")
    script = ""
    if any(isinstance(item, Thresholds) for item in report.items):
        script = importlib.resources.files("lab.report").joinpath("thresholds.js").read_text("utf-8")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()  # this script, and no other
    return shown(template.render(report=report, blocks=_blocks(report), script=script, allowed=allowed))


def _blocks(report: Report) -> list[dict[str, Any]]:
    """The items as the template takes them: consecutive metrics together, figures as data."""
    blocks: list[dict[str, Any]] = []
    for item in report.items:
        if isinstance(item, Metric):
            if not blocks or blocks[-1]["kind"] != "metrics":
                blocks.append({"kind": "metrics", "rows": []})
            blocks[-1]["rows"].append({"name": item.name, "value": number(item.value), "help": item.help})
        elif isinstance(item, Picture):
            content = (report.folder / item.file).read_bytes()
            source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
            width = int.from_bytes(content[16:20]) * 2 // 3  # PNG's width field; drawn for a screen of 96 dots an inch
            blocks.append({"kind": "picture", "source": source, "width": width, "item": item})
        elif isinstance(item, Thresholds):
            still = item.table()
            values = dataclasses.asdict(item)
            blocks.append({"kind": "thresholds", "item": still, "numeric": numeric_columns(still), "values": values})
        elif isinstance(item, Table):
            blocks.append({"kind": "table", "item": item, "numeric": numeric_columns(item)})
        else:
            blocks.append({"kind": type(item).__name__.lower(), "item": item})
    return blocks
