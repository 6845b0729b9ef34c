"""The commands that take an experiment's settings: run, sweep and predict."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from lab.experiment import Experiment
    from lab.runs.run import Run

_RESUME = "Resume an interrupted run: latest, or its directory. The run's settings are kept."


class NamedCommands(click.Group):
    """A group that creates a command when its name is given.

    Args:
        create: returns the command for a name.
        known: returns the names to list in the help, with a line about each.
        expected: what a name stands for, for the message where none is given.
    """

    def __init__(
        self,
        *args: Any,
        create: Callable[[str], click.Command],
        known: Callable[[], dict[str, str]] = dict,
        expected: str,
        **rest: Any,
    ) -> None:
        super().__init__(*args, **rest)
        self.expected = expected
        self._create = create
        self._known = known

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the known names."""
        return list(self._known())

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        """Creates the command."""
        return self._create(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the known names, if there are any."""
        rows = list(self._known().items())
        if rows:
            with formatter.section("Experiments"):
                formatter.write_dl(rows)


def console() -> Console:
    """Returns the console that a command prints to."""
    from rich.console import Console

    return Console(soft_wrap=False)


def run_named(name: str) -> click.Command:
    """Returns the command `lab run NAME`."""
    from lab.trainer import registry

    return run_command(registry.load(name))


def run_command(experiment: type[Experiment[Any]]) -> click.Command:
    """Returns the command that trains an experiment and reports on it."""
    from lab.cli.options import SettingsCommand
    from lab.trainer import registry

    def action(words: list[str], values: dict[str, str]) -> None:
        resumed = values.pop("resume", None)
        if resumed is not None:
            from lab.cli.runs import resume_with_settings

            resume_with_settings(experiment, resumed, values, console())
            return
        configured, trainer = registry.configure(experiment, values)
        trainer.run(configured, console=console())

    return SettingsCommand(
        experiment.name(),
        _groups(experiment),
        action,
        help=_description(experiment),
        extra=[*_preset_option(experiment), ("resume", _RESUME)],
    )


def sweep_named(name: str) -> click.Command:
    """Returns the command `lab sweep NAME`."""
    from lab.cli.options import SettingsCommand
    from lab.trainer import registry

    experiment = registry.load(name)

    def action(words: list[str], values: dict[str, str]) -> None:
        from lab.tune.sweep import Sweep, choose_axis

        swept, points = choose_axis(experiment, values)
        fixed = {name: value for name, value in values.items() if name != swept}
        Sweep(experiment, swept, points, fixed).run(console())

    text = f"Train {name} once for each value of one setting (--latent-dim 8,16,32) and report on all runs."
    return SettingsCommand(name, _groups(experiment), action, help=text, extra=_preset_option(experiment))


def predict_named(path: str) -> click.Command:
    """Returns the command `lab predict RUN`."""
    from lab.cli.options import SettingsCommand
    from lab.runs.run import Run
    from lab.trainer import registry

    run = Run.load(path)
    experiment = registry.experiment_of(run)

    def action(words: list[str], values: dict[str, str]) -> None:
        _predict(experiment, run, words, experiment.Predict(**values))

    text = f"Use the model of {run.path} ({experiment.name()}) on your own inputs."
    return SettingsCommand(path, [("Options", experiment.Predict, {})], action, words="[INPUT]...", help=text)


def _groups(experiment: type[Experiment[Any]]) -> list[Any]:
    from lab.trainer.trainer import Trainer

    return [(experiment.__name__, experiment.Settings, {}), ("Trainer", Trainer, dict(experiment.trainer))]


def _description(experiment: type[Experiment[Any]]) -> str:
    """The docstring of the file, or of the class where the file has several experiments."""
    own = vars(experiment).get("__doc__") if ":" in experiment.name() else None
    return inspect.cleandoc(own or sys.modules[experiment.__module__].__doc__ or "")


def _preset_option(experiment: type[Experiment[Any]]) -> list[tuple[str, str]]:
    from lab.settings import show

    if not experiment.presets:
        return []
    presets = "; ".join(
        f"{preset}: {', '.join(f'{name}={show(value)}' for name, value in values.items())}"
        for preset, values in experiment.presets.items()
    )
    return [("preset", f"A named set of values. {presets}")]


def _predict(experiment: Experiment[Any], run: Run, inputs: list[str], options: Any) -> None:
    """Prints each result when it is ready; a failed input does not stop the others, but sets the exit code."""
    from rich.console import Console

    from lab._utils.logs import log_to
    from lab.engine import backend
    from lab.errors import FAILURE, LabError
    from lab.report.terminal import plain

    backend.select(run.trainer.get("backend"))
    failed, shown = False, plain if sys.stdout.isatty() else _encodable
    with log_to(Console(stderr=True)):
        for result in experiment.predict(run, inputs, options):
            if isinstance(result, LabError):
                failed = True
                click.echo(f"lab: {result}", err=True)
            else:
                sys.stdout.write(shown(result))  # `click.echo` would remove escape sequences that a file should get
                sys.stdout.flush()
    if failed:
        raise SystemExit(FAILURE)


def _encodable(text: str) -> str:
    """Replaces what the standard output cannot encode, such as bytes of the command line that are not UTF-8."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
