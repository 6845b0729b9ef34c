"""The settings of a run, `settings.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.hostile.inputs import ESCAPE, World, change
from tests.hostile.making import changed, damaged, trained
from tests.hostile.table import Case, Make


RUN = "runs/autoencoder/latest"


def run_settings() -> Iterator[Case]:
    def case(name: str, make: Make, said: str, words: str = "report autoencoder", code: int = 1, **rest: Any) -> Case:
        return Case(name, "settings.json of a run", words, said, code, make, **rest)

    def of(content: bytes | str) -> Make:
        return damaged("settings.json", content)

    def evil(kind: str, **settings: Any) -> Make:
        def make(world: World) -> None:
            values = {name: str(world.outer / "evil") if value is None else value for name, value in settings.items()}
            change(world.run() / "settings.json", **{"class": kind, "settings": values})

        return make

    def broken(content: str) -> Make:
        """A file of the experiments folder that cannot be imported."""

        def make(world: World) -> None:
            world.write("experiments/__init__.py", "")
            world.write("experiments/broken.py", content)
            change(world.run() / "settings.json", **{"class": "experiments.broken:Mine"})

        return make

    def planted(name: str, module: str) -> Make:
        """A module that leaves a file when it is imported: next to the run, in it, or in the working directory."""

        def make(world: World) -> None:
            path = world.run()
            change(path / "settings.json", **{"class": f"{module}:Mine"})
            place = path / name if module.startswith("in_the_run") else world.here / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"open({str(world.outer / 'evil')!r}, 'w')\n", "utf-8")

        return make

    def settings_of(**values: Any) -> Make:
        def what(path: Path) -> None:
            record = json.loads((path / "settings.json").read_text("utf-8"))
            change(path / "settings.json", settings=record["settings"] | values)

        return trained("autoencoder", what)

    def trainer_of(**values: Any) -> Make:
        def what(path: Path) -> None:
            record = json.loads((path / "settings.json").read_text("utf-8"))
            change(path / "settings.json", trainer=record["trainer"] | values)

        return trained("autoencoder", what)

    def is_link(path: Path) -> None:
        (path / "settings.json").unlink()
        (path / "settings.json").symlink_to("settings.json")

    def is_folder(path: Path) -> None:
        (path / "settings.json").unlink()
        (path / "settings.json").mkdir()

    def is_zero(path: Path) -> None:
        (path / "settings.json").unlink()
        (path / "settings.json").symlink_to("/dev/zero")

    def run_is_file(world: World) -> None:
        world.write("runs/autoencoder/run", "a file")

    def run_is_loop(world: World) -> None:
        (world.here / "loop").symlink_to("loop")

    yield case(
        "missing", trained("autoencoder", lambda path: (path / "settings.json").unlink()), "expected a run directory"
    )
    yield case("a link to itself", trained("autoencoder", is_link), "expected a run directory")
    yield case("a folder", trained("autoencoder", is_folder), "expected a run directory")
    yield case("a device without end", trained("autoencoder", is_zero), "expected a run directory")
    yield case("a run that is a file", run_is_file, "expected a run directory", "show runs/autoencoder/run")
    yield case("a run that is a loop of links", run_is_loop, "expected a run directory", "show loop")
    yield case("empty", of(""), "settings.json: expected JSON")
    yield case("not JSON", of("latent_dim = 3"), "settings.json: expected JSON")
    yield case(
        "cut short",
        trained(
            "autoencoder", lambda path: (path / "settings.json").write_bytes((path / "settings.json").read_bytes()[:99])
        ),
        "settings.json: expected JSON",
    )
    yield case("not UTF-8", of(b'{"experiment": "\xff"}'), "settings.json: expected JSON")
    yield case("zero bytes", of(bytes(100)), "settings.json: expected JSON")
    yield case("nested a million deep", of("[" * 1_000_000), "settings.json: expected JSON")
    yield case(
        "a number of ten thousand digits in JSON",
        of('{"experiment": ' + "9" * 10_000 + "}"),
        "settings.json: expected JSON",
    )
    yield case("a list", of("[1, 2]"), "expected a run's settings")
    yield case("null", of("null"), "expected a run's settings")
    yield case(
        "a name that stands twice", of('{"experiment": "autoencoder", "experiment": "x"}'), "'experiment' occurs twice"
    )
    yield case("NaN", of('{"experiment": NaN}'), "settings.json: expected JSON, NaN")
    yield case("no experiment in it", changed("settings.json", experiment=None), "expected experiment as text")
    yield case("settings that are a list", changed("settings.json", settings=[1]), "expected settings as a mapping")
    yield case("a trainer that is text", changed("settings.json", trainer="fast"), "expected trainer as a mapping")
    yield case(
        "no trainer",
        damaged(
            "settings.json",
            '{"experiment": "autoencoder", "class": "experiments.autoencoder:Autoencoder", "settings": {}}',
        ),
        "expected trainer as a mapping",
    )
    yield case("a preset that is a number", changed("settings.json", preset=5), "expected preset as text")
    yield case(
        "a class that is a list", changed("settings.json", **{"class": ["os", "system"]}), "expected class as text"
    )
    yield case("epochs that are a list in its trainer", trainer_of(epochs=[1]), "epochs=1: expected whole number")
    yield case(
        "a setting that does not exist in it",
        settings_of(colour="red"),
        "its settings no longer fit Autoencoder: colour",
    )
    yield case("a setting out of range in it", settings_of(latent_dim=0), "latent_dim=0: expected whole number >= 1")
    yield case("a setting of another type in it", settings_of(latent_dim={"a": 1}), "latent_dim=")
    yield case("a setting with escapes in it", settings_of(activation=ESCAPE), "activation='\\x1b[31mred")
    yield case("a trainer's setting that does not exist in it", trainer_of(colour="red"), "colour: no such setting")
    yield case("a trainer's setting out of range in it", trainer_of(seed=-1), "seed=-1: expected whole number")
    yield case(
        "a class that does not exist",
        changed("settings.json", **{"class": "experiments.autoencoder:Gone"}),
        "expected its experiment at experiments.autoencoder:Gone",
    )
    yield case(
        "a module that does not exist",
        changed("settings.json", **{"class": "no.such.module:Gone"}),
        "expected its experiment at no.such.module:Gone",
    )
    yield case(
        "a class without a module",
        changed("settings.json", **{"class": "Autoencoder"}),
        "expected its experiment at Autoencoder",
    )
    yield case("a class with no name", changed("settings.json", **{"class": ""}), "expected its experiment at")
    yield case(
        "a module that is relative",
        changed("settings.json", **{"class": ".cli:main"}),
        "expected its experiment at .cli:main",
    )
    yield case("a function in a class's place", evil("os:system", command=None), "expected its experiment at os:system")
    yield case(
        "a class that would write a file",
        evil("io:FileIO", file=None, mode="w"),
        "expected its experiment at io:FileIO",
    )
    yield case(
        "a class that is no experiment",
        changed("settings.json", **{"class": "lab.runs.run:Run"}),
        "expected its experiment at lab.runs.run:Run",
    )
    yield case(
        "a class that is abstract",
        changed("settings.json", **{"class": "lab.experiment:Experiment"}),
        "expected its experiment at lab.experiment:Experiment",
    )
    wanted = "expected its experiment at experiments.broken:Mine"
    yield case("a file that fails", broken("raise RuntimeError('broken on import')"), "broken on import", apart=True)
    yield case("a file that is not Python", broken("def ("), wanted, apart=True)
    yield case("a file that ends the process", broken("raise SystemExit(0)"), wanted, apart=True)
    refused = "only modules of the folder 'experiments' are imported"
    yield case("a module in the run", planted("in_the_run.py", "in_the_run"), refused, f"report {RUN}", apart=True)
    yield case("a module in the working directory", planted("evil.py", "evil"), refused, apart=True)
    yield case("a module of the runs' folder", planted("runs/evil.py", "runs.evil"), refused, apart=True)
    yield case("a standard module that acts on import", evil("antigravity:geohash"), refused)
    yield case("a submodule with a path in its name", evil("experiments.../evil:Mine"), refused)
    yield case("the script that runs the command", evil("__main__:main"), refused)
    yield case(
        "shown with a class that does not exist",
        changed("settings.json", **{"class": "a:b"}),
        "expected its experiment at a:b",
        "predict autoencoder x.png",
    )
