"""`lab`: run, list, sweep, show, predict; every heavy import waits until a command needs it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from lab.experiment import Experiment
    from lab.runs.run import Run

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _NamedCommands(click.Group):
    """A group whose commands are made when they are asked for, by name."""

    def __init__(
        self, *args: Any, make: Callable[[str], click.Command], known: Callable[[], dict[str, str]], **rest: Any
    ) -> None:
        super().__init__(*args, **rest)
        self._make = make
        self._known = known

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._known())

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        return self._make(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = list(self._known().items())
        if rows:
            with formatter.section("Names"):
                formatter.write_dl(rows)


def _console() -> Console:
    from rich.console import Console

    return Console(soft_wrap=False)


def _experiments() -> dict[str, str]:
    from lab.trainer.discovery import names

    return names()


def _knob_groups(experiment: type[Experiment[Any]]) -> list[Any]:
    from lab.trainer.trainer import Trainer

    return [(f"{experiment.__name__}", experiment.Settings, {}), ("Trainer", Trainer, dict(experiment.trainer))]


def _run_command(name: str) -> click.Command:
    from lab.cli.options import KnobCommand
    from lab.trainer import registry

    experiment = registry.load(name)

    def action(words: list[str], values: dict[str, str]) -> None:
        again = values.pop("resume", None)
        if again is not None:
            from lab.cli.runs import resume_by_knobs

            resume_by_knobs(experiment, again, values, _console())
            return
        made, trainer = registry.configure(experiment, values)
        trainer.run(made, console=_console())

    return KnobCommand(
        name,
        _knob_groups(experiment),
        action,
        help=sys.modules[experiment.__module__].__doc__ or "",
        extra=[*_preset_option(experiment), ("resume", _RESUME)],
    )


_RESUME = "Go on with a run that was interrupted: latest, or its directory. Settings are the run's own."


def _preset_option(experiment: type[Experiment[Any]]) -> list[tuple[str, str]]:
    from lab.settings import show

    if not experiment.presets:
        return []
    told = "; ".join(
        f"{name}: {', '.join(f'{knob}={show(value)}' for knob, value in values.items())}"
        for name, values in experiment.presets.items()
    )
    return [("preset", f"A named set of values. {told}")]


def _sweep_command(name: str) -> click.Command:
    from lab.cli.options import KnobCommand
    from lab.trainer import registry

    experiment = registry.load(name)

    def action(words: list[str], values: dict[str, str]) -> None:
        from lab.tune.sweep import Sweep, choose_axis

        knob, points = choose_axis(experiment, values)
        fixed = {name: value for name, value in values.items() if name != knob}
        Sweep(experiment, knob, points, fixed).run(_console())

    text = f"Train {name} once for each value of one setting (--latent-dim 8,16,32), and report on all of them."
    return KnobCommand(name, _knob_groups(experiment), action, help=text, extra=_preset_option(experiment))


def _predict_command(path: str) -> click.Command:
    from lab.cli.options import KnobCommand
    from lab.runs.run import Run
    from lab.trainer import registry

    run = Run.load(path)
    experiment = registry.experiment_of(run)

    def action(words: list[str], values: dict[str, str]) -> None:
        _predict(experiment, run, words, experiment.Predict(**values))

    text = f"Use the model of {run.path} ({experiment.name()}) on inputs of your own."
    return KnobCommand(path, [("Options", experiment.Predict, {})], action, words="[INPUT]...", help=text)


def _predict(experiment: Experiment[Any], run: Run, inputs: list[str], options: Any) -> None:
    """Prints what comes as it comes; one bad input does not stop the others, but the exit code tells."""
    from rich.console import Console

    from lab._utils.logs import log_to
    from lab.engine import backend
    from lab.errors import FAILURE, LabError
    from lab.report.terminal import plain

    backend.select(run.trainer.get("backend"))
    failed, shown = False, plain if sys.stdout.isatty() else _encodable
    with log_to(Console(stderr=True)):
        for said in experiment.predict(run, inputs, options):
            if isinstance(said, LabError):
                failed = True
                click.echo(f"lab: {said}", err=True)
            else:
                sys.stdout.write(shown(said))  # `click.echo` would take escapes out of what a file gets
                sys.stdout.flush()
    if failed:
        raise SystemExit(FAILURE)


def _encodable(text: str) -> str:
    """Text as it is, but for what the standard output cannot say: bytes of the command line that were no text."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


@click.group(context_settings=_CONTEXT)
@click.version_option(package_name="keras-lab", message="%(version)s")
@click.option("--traceback", is_flag=True, help="Show where in the code an error arose.")
def lab(traceback: bool) -> None:
    """Train, report, sweep and reuse experiments on Keras 3."""


def _no_runs() -> dict[str, str]:
    return {}


lab.add_command(
    _NamedCommands("run", make=_run_command, known=_experiments, help="Train an experiment and report on it.")
)
lab.add_command(
    _NamedCommands("sweep", make=_sweep_command, known=_experiments, help="Run it for each value of a setting.")
)
lab.add_command(
    _NamedCommands(
        "predict",
        make=_predict_command,
        known=_no_runs,
        subcommand_metavar="RUN [INPUT]... [OPTIONS]",
        help="Use a run's model on inputs of your own. RUN is a run directory or an experiment's name.",
    )
)


@lab.command("list")
def list_experiments() -> None:
    """List the experiments there are."""
    known = _experiments()
    width = max((len(name) for name in known), default=0)
    for name, text in known.items():
        click.echo(f"{name:<{width}}  {text}")


@lab.command("new")
@click.argument("name")
def new(name: str) -> None:
    """Write a new experiment that runs as it is, and its test."""
    from pathlib import Path

    from lab.cli.new import create

    here = Path.cwd()
    for path in create(name, here):
        click.echo(path.relative_to(here))
    click.echo(f"lab run {name} trains it; lab run {name} --help shows its settings")


@lab.command("runs")
@click.argument("experiment", required=False)
def list_runs(experiment: str | None) -> None:
    """List the runs there are, with their key metric."""
    from lab.cli.runs import show_runs

    show_runs(experiment, _console())


@lab.command("show")
@click.argument("run")
@click.option("--weights-hash", is_flag=True, help="Print the SHA-256 of the model's weights instead.")
def show(run: str, weights_hash: bool) -> None:
    """Show a run's report on the terminal."""
    from lab.cli.runs import show_run, show_weights_hash

    if weights_hash:
        show_weights_hash(run)
    else:
        show_run(run, _console())


@lab.command("resume")
@click.argument("run")
@click.option("--epochs", type=int, help="Train until so many are done, also a run that was completed.")
@click.option("--force", is_flag=True, help="Go on from a checkpoint of other settings, data or versions, too.")
def resume(run: str, epochs: int | None, force: bool) -> None:
    """Go on with a run that was interrupted or killed."""
    from lab.trainer.resuming import resume as go_on

    go_on(run, epochs=epochs, force=force, console=_console())


@lab.command("report")
@click.argument("run")
def report(run: str) -> None:
    """Write a finished run's report again."""
    from lab.cli.runs import report_again

    report_again(run, _console())


@lab.group("data", context_settings=_CONTEXT)
def data() -> None:
    """List, fetch, verify and remove data sets."""


def _data_command(name: str, text: str) -> None:
    @data.command(name, help=text)
    @click.argument("names", nargs=-1)
    def command(names: tuple[str, ...]) -> None:
        from lab.cli import data as commands

        {"list": commands.list_sets, "fetch": commands.fetch, "verify": commands.verify, "remove": commands.remove}[
            name
        ](list(names), _console())


_data_command("list", "List the data sets that the lab knows, and which are in the cache.")
_data_command("fetch", "Fetch data sets into the cache (all, unless named).")
_data_command("verify", "Check the cached data sets' hashes.")
_data_command("remove", "Delete data sets from the cache.")


def main() -> None:
    """The console script: turns errors into one line and an exit code."""
    from lab.errors import FAILURE, INTERRUPTED, USAGE, LabError, printable

    show_trace = "--traceback" in sys.argv[1:]
    try:
        lab.main(standalone_mode=False, prog_name="lab")
    except click.exceptions.Exit as error:
        raise SystemExit(error.exit_code) from None
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(f"lab: expected a command; `{error.ctx.command_path} --help` shows what there is", err=True)
        raise SystemExit(USAGE) from None
    except click.ClickException as error:
        click.echo(f"lab: {printable(error.format_message())}", err=True)
        raise SystemExit(USAGE) from None
    except (KeyboardInterrupt, click.Abort) as error:
        _trace(show_trace)
        click.echo(f"lab: {str(error.__cause__ or error) or 'interrupted'}", err=True)  # click wraps the first in Abort
        raise SystemExit(INTERRUPTED) from None
    except LabError as error:
        _trace(show_trace)
        click.echo(f"lab: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; nothing more can be said
        raise SystemExit(FAILURE) from None


def _trace(wanted: bool) -> None:
    if wanted:
        traceback.print_exc()
