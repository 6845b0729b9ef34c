"""The `lab` command and its subcommands; a heavy import waits until a command needs it."""

from __future__ import annotations

import sys

import click

from lab.cli.exits import one_line
from lab.cli.experiments import NamedCommands, console, predict_named, run_named, sweep_named

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=_CONTEXT)
@click.version_option(package_name="keras-lab", message="%(version)s")
@click.option("--traceback", is_flag=True, help="Show where in the code an error was raised.")
def lab(traceback: bool) -> None:
    """Train, report, sweep and reuse experiments on Keras 3."""
    print_project()


def print_project() -> None:
    """Prints the project's folder, where that is not the working directory."""
    from pathlib import Path

    from lab._utils import project
    from lab.errors import printable

    root = project.root()
    if root != Path.cwd():
        click.echo(printable(f"project: {root}"), err=True)


def _experiments() -> dict[str, str]:
    from lab.trainer.discovery import names

    return names()


lab.add_command(
    NamedCommands(
        "run",
        create=run_named,
        known=_experiments,
        expected="an experiment's name",
        help="Train an experiment and report on it.",
    )
)
lab.add_command(
    NamedCommands(
        "sweep",
        create=sweep_named,
        known=_experiments,
        expected="an experiment's name",
        help="Train once for each value of a setting.",
    )
)
lab.add_command(
    NamedCommands(
        "predict",
        create=predict_named,
        expected="a run directory or an experiment's name",
        subcommand_metavar="RUN [INPUT]... [OPTIONS]",
        help="Use a run's model on your own inputs. RUN is a run directory or an experiment's name.",
    )
)


@lab.command("list")
def list_experiments() -> None:
    """List the experiments."""
    known = _experiments()
    width = max((len(name) for name in known), default=0)
    for name, text in known.items():
        click.echo(f"{name:<{width}}  {text}")


@lab.command("new")
@click.argument("name")
def new(name: str) -> None:
    """Write a new experiment that is ready to run, and its test.

    Its last two lines, which call lab.main(), let `python experiments/NAME.py` run it as well. Without
    them that command would only define the classes and end; `lab run NAME` and `make NAME` do not
    need them.
    """
    from lab._utils import project
    from lab.cli.new import create

    for path in create(name, project.root()):
        click.echo(project.relative(path))
    click.echo(f"lab run {name} trains it; lab run {name} --help lists its settings")


@lab.command("runs")
@click.argument("experiment", required=False)
def list_runs(experiment: str | None) -> None:
    """List the runs with their key metrics."""
    from lab.cli.runs import show_runs

    show_runs(experiment, console())


@lab.command("show")
@click.argument("run")
@click.option("--weights-hash", is_flag=True, help="Print the SHA-256 of the model's weights instead.")
def show(run: str, weights_hash: bool) -> None:
    """Show a run's report in the terminal."""
    from lab.cli.runs import show_run, show_weights_hash

    if weights_hash:
        show_weights_hash(run)
    else:
        show_run(run, console())


@lab.command("resume")
@click.argument("run")
@click.option("--epochs", type=int, help="Train until this epoch; extends a completed run.")
@click.option("--force", is_flag=True, help="Accept a checkpoint of other settings, data or versions.")
def resume(run: str, epochs: int | None, force: bool) -> None:
    """Resume a run that was interrupted or killed."""
    from lab.trainer.resuming import resume as resume_run

    resume_run(run, epochs=epochs, force=force, console=console())


@lab.command("report")
@click.argument("run")
def report(run: str) -> None:
    """Write a finished run's report again."""
    from lab.cli.runs import report_again

    report_again(run, console())


@lab.group("data", context_settings=_CONTEXT)
def data() -> None:
    """List, fetch, verify and remove data sets."""


@data.command("list")
@click.argument("names", nargs=-1)
def list_data(names: tuple[str, ...]) -> None:
    """List the known data sets and whether they are cached."""
    from lab.cli.data import list_sets

    list_sets(names, console())


@data.command("fetch")
@click.argument("names", nargs=-1)
def fetch_data(names: tuple[str, ...]) -> None:
    """Fetch data sets into the cache: those named, or all."""
    from lab.cli.data import fetch

    fetch(names, console())


@data.command("verify")
@click.argument("names", nargs=-1)
def verify_data(names: tuple[str, ...]) -> None:
    """Check the hashes of cached data sets."""
    from lab.cli.data import verify

    verify(names, console())


@data.command("remove")
@click.argument("names", nargs=-1)
def remove_data(names: tuple[str, ...]) -> None:
    """Delete data sets from the cache."""
    from lab.cli.data import remove

    remove(names, console())


def main() -> None:
    """Runs the console script."""
    with one_line(show_traceback="--traceback" in sys.argv[1:]):
        lab.main(standalone_mode=False, prog_name="lab")
