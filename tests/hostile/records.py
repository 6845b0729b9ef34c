"""The other records of a run, and what a report shows of hostile names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.hostile.inputs import ESCAPE, LINK, MARKUP, NAME, TURNED, World, change
from tests.hostile.making import changed, damaged, trained
from tests.hostile.table import Case, Make, Said


def records() -> Iterator[Case]:
    def case(name: str, make: Make, said: str, words: str = "runs", code: int = 0, **rest: Any) -> Case:
        return Case(name, "records of a run", words, said, code, make, **rest)

    def with_another(name: str, content: bytes | str) -> Make:
        def make(world: World) -> None:
            damaged(name, content)(world)
            world.run("text_generation")

        return make

    def both(world: World, said: Said) -> None:
        lines = [line for line in said.out.split("\n") if "runs/" in line]
        assert any("damaged" in line and "autoencoder" in line for line in lines), said.out
        assert any("completed" in line and "text_generation" in line for line in lines), said.out

    for name, file, content in (
        ("settings that are not JSON", "settings.json", "{"),
        ("settings without settings", "settings.json", '{"experiment": "autoencoder"}'),
        ("a status that is cut short", "status.json", '{"status": "comp'),
        ("a status that is a list", "status.json", "[]"),
        ("a status of another type", "status.json", '{"status": ["completed"]}'),
        ("a training that is text", "training.json", '"done"'),
        ("a history of words", "history.csv", "epoch,loss\n1,low\n"),
        ("a history of too many cells", "history.csv", "epoch,loss\n1,2,3,4\n"),
        ("a history with zero bytes", "history.csv", b"epoch,loss\n1,\0\n"),
        ("a history that is not UTF-8", "history.csv", b"epoch,l\xffss\n1,2\n"),
        ("a report that is cut short", "report.json", '{"metrics": {"test_b'),
        ("a report whose metrics are a list", "report.json", '{"metrics": [1]}'),
        ("a report whose metric is text", "report.json", '{"metrics": {"test_bce": "low"}}'),
        ("an environment that is a number", "environment.json", "5"),
    ):
        yield case(f"the list of runs has {name}", with_another(file, content), "damaged", after=both, piped=True)

    def is_pipe(name: str) -> Make:
        def what(path: Path) -> None:
            (path / name).unlink()
            os.mkfifo(path / name)

        return trained("autoencoder", what)

    def other_folders(world: World) -> None:
        world.run()
        world.write("runs/autoencoder/notes/letter.txt", "mine")
        world.write("runs/autoencoder/notes/settings.json", "")
        (world.here / "runs/autoencoder/loop").symlink_to("loop")
        (world.here / "runs" / NAME).mkdir()

    yield case("a status that is a pipe", is_pipe("status.json"), "damaged")
    yield case("a report that is a pipe", is_pipe("report.json"), "damaged")
    yield case("runs beside other things", other_folders, "completed")
    yield case("a run of an experiment that is gone", changed("settings.json", experiment="gone"), "completed")
    yield case("a run of an experiment with escapes", changed("settings.json", experiment=ESCAPE), "completed")
    yield case(
        "runs whose settings have escapes",
        changed("settings.json", settings={"data": MARKUP + ESCAPE + LINK}),
        "completed",
    )
    show = "show autoencoder"

    def item(**values: Any) -> str:
        return json.dumps({"title": "x", "metrics": {}, "items": [values]})

    nothing = {"kind": "thresholds", "classes": ["a", "b"], "thresholds": [], "counts": [], "start": 0.5}
    nothing |= {"costs": [1, 1], "caption": ""}
    for name, content in (
        ("cut short", '{"title": "x", "ite'),
        ("a list", "[]"),
        ("without items", '{"title": "x", "metrics": {}}'),
        ("with an item of an unknown kind", '{"title": "x", "metrics": {}, "items": [{"kind": "film"}]}'),
        ("with an item that is text", '{"title": "x", "metrics": {}, "items": ["text"]}'),
        ("with a text that is a number", '{"title": "x", "metrics": {}, "items": [{"kind": "text", "text": 5}]}'),
        (
            "with a metric that is text",
            '{"title": "x", "metrics": {}, "items": [{"kind": "metric", "name": "a", "value": "b", "help": ""}]}',
        ),
        ("with a row too short", item(kind="table", columns=["a", "b"], rows=[["1"]], caption="")),
        ("with an item that lacks something", item(kind="section")),
        ("with thresholds of nothing", item(**nothing)),
        ("with a number without end", '{"title": "x", "metrics": {"a": Infinity}, "items": []}'),
    ):
        yield case(f"a report {name} is shown", damaged("report.json", content), "report.json: expected", show, 1)

    hostile = json.dumps(
        {
            "title": MARKUP + ESCAPE,
            "metrics": {},
            "items": [
                {"kind": "section", "title": ESCAPE + MARKUP},
                {"kind": "sample", "title": LINK, "text": f"one\r{ESCAPE}\n{TURNED}\0"},
                {"kind": "table", "columns": [ESCAPE], "rows": [[MARKUP + LINK]], "caption": TURNED},
                {"kind": "picture", "file": "../../../../../etc/passwd", "caption": "\x9b31m"},
            ],
        }
    )
    yield case(
        "a report of markup and escapes is shown", damaged("report.json", hostile), "<script>alert(1)</script>", show
    )

    def no_report(path: Path) -> None:
        (path / "report.json").unlink()
        change(path / "status.json", status="failed", stage=ESCAPE, reason=MARKUP + LINK + "\r")

    yield case("a reason with escapes is shown", trained("autoencoder", no_report), "[bold red]b[/]", show)

    def status(content: str) -> Make:
        def what(path: Path) -> None:
            (path / "report.json").unlink()
            (path / "status.json").write_text(content)

        return trained("autoencoder", what)

    yield case("a status that is not JSON is shown", status("{"), "interrupted", show)
    yield case(
        "a status that is of another type is shown", status('{"status": {"a": 1}, "reason": [1]}'), "interrupted", show
    )
    report = "report autoencoder"
    yield case(
        "a report with an environment of nothing",
        damaged("environment.json", "{}"),
        "environment.json: expected",
        report,
        1,
    )
    yield case(
        "a report with an environment that is a list",
        damaged("environment.json", "[1]"),
        "environment.json: expected",
        report,
        1,
    )
    yield case(
        "a report with a history of words",
        damaged("history.csv", "epoch,loss\n1,low\n"),
        "history.csv: expected",
        report,
        1,
    )
    yield case(
        "a report with a history that has no seconds",
        damaged("history.csv", "epoch,loss\n1,2\n"),
        "history.csv: expected",
        report,
        1,
    )
    yield case(
        "a report without a model",
        trained("autoencoder", lambda path: (path / "model.keras").unlink()),
        "expected a trained model",
        report,
        1,
    )

    def data_gone(path: Path) -> None:
        record = json.loads((path / "settings.json").read_text("utf-8"))
        change(path / "settings.json", settings=record["settings"] | {"data": "/no/such" + ESCAPE})

    yield case("a report whose data is gone", trained("autoencoder", data_gone), "data=/no/such\\x1b[31mred", report, 1)
    yield case(
        "a classifier whose report is damaged",
        damaged("report.json", "{", "sentiment_analysis"),
        "report.json: expected",
        "predict sentiment_analysis --text superb",
        1,
    )
    yield case(
        "a classifier whose calibration is text",
        changed("report.json", "sentiment_analysis", metrics={"calibration_temperature": "hot"}),
        "report.json: expected",
        "predict sentiment_analysis --text superb",
        1,
    )


def reports() -> Iterator[Case]:
    def page(experiment: str) -> Callable[[World, Said], None]:
        def check(world: World, said: Said) -> None:
            from markdown_it import MarkdownIt

            path = world.here / "runs" / experiment / "latest"
            html, markdown = ((path / f"report.{kind}").read_text("utf-8") for kind in ("html", "md"))
            for text in (html, markdown):
                assert not any(char in text for char in "\x1b\x07\0\r\x9b\u202e"), "characters that drive a terminal"
            rendered = MarkdownIt("commonmark").enable("table").render(markdown)
            for tag in ("<blink", "<script>alert", "<img src=x"):
                assert tag not in html, "markup of a text's is markup of the page"
            assert "<blink>" not in rendered
            assert "<script" not in rendered
            assert "alert(1)" not in html or "&lt;script&gt;" in html

        return check

    for experiment in ("autoencoder", "text_generation", "sentiment_analysis"):
        yield Case(
            f"markup and escapes in what {experiment} reports",
            "reports",
            f"show {experiment}",
            "[bold]n<blink>|`x`",
            0,
            trained(experiment),
            after=page(experiment),
        )
