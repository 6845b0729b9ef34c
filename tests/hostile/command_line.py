"""Command lines, folders and variables of the environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.hostile.inputs import ESCAPE, LINK, MARKUP, TURNED, World
from tests.hostile.making import TOY, digits_file, trained
from tests.hostile.table import Case, Make


def command_line() -> Iterator[Case]:
    def case(name: str, words: str | tuple[str, ...], said: str, code: int = 2, **rest: Any) -> Case:
        return Case(name, "command line", words, said, code, **rest)

    yield case("a command that does not exist", "fly", "No such command 'fly'")
    yield case("a command with a letter too few", "rn autoencoder", "No such command 'rn'")
    yield case("a command with escapes", (ESCAPE,), "No such command")
    yield case("no command", "", "expected a command")
    yield case("data without a command", "data", "expected a command")
    yield case("an option of the command that does not exist", "--verbose run", "No such option '--verbose'")
    yield case("no experiment", "run", "expected an experiment's name")
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
    yield case("predict without a run", "predict", "expected a run directory or an experiment's name")
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
    yield case("a run's folder that holds files", TOY + "run_dir=full", "got one that holds files", make=holds)
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
