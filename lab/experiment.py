"""The abstract experiment: the hooks that a trainer runs."""

from __future__ import annotations

import abc
import difflib
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_args, get_origin

from lab._utils import project
from lab.data import Batches, Data
from lab.errors import LabError, SettingsError, UsageError
from lab.report import Report
from lab.runs.run import Run
from lab.settings import Settings as BaseSettings
from lab.settings import unknown

if TYPE_CHECKING:
    import keras

S = TypeVar("S", bound=BaseSettings)

REQUIRED_HOOKS = ("prepare", "build", "report")
HOOKS = (*REQUIRED_HOOKS, "callbacks", "fit", "predict", "report_sweep")


class NoSettings(BaseSettings):
    """The settings of an experiment, or the options of a `predict`, that has none."""


class Experiment(abc.ABC, Generic[S]):
    """One question, the model that answers it, and the report of the result.

    Subclass it with the class of its settings, `class Autoencoder(lab.Experiment[Settings])`, and
    write `prepare`, `build` and `report`; the other hooks have defaults.

    Args:
        preset: the name of a set of values from `presets`.
        settings: of the experiment, by name; they override the preset's.

    Class attributes:
        trainer: the trainer's settings for this experiment, where they differ from the trainer's defaults.
        presets: named sets of values of the experiment's and the trainer's settings.
        key_metric: the reported metric that `lab runs` shows.
        key_metric_mode: `min` or `max`, whichever is better.
        sweep: the setting and the values that `lab sweep` takes when none are given.
        Predict: the options of `predict`, a `Settings` class.

    Raises:
        SettingsError: a setting is unknown or its value is wrong.
        UsageError: at class definition, for a hook that is missing or misspelt.
    """

    Settings: ClassVar[type[BaseSettings]] = NoSettings
    Predict: ClassVar[type[BaseSettings]] = NoSettings
    trainer: ClassVar[Mapping[str, Any]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    key_metric: ClassVar[str] = ""
    key_metric_mode: ClassVar[str] = "min"
    sweep: ClassVar[tuple[str, Sequence[Any]] | None] = None

    settings: S
    _script: ClassVar[Path | None] = None  # the file that Python ran as `__main__` and that defines the class

    def __init__(self, /, *, preset: str | None = None, **settings: Any) -> None:
        if preset is not None and not (isinstance(preset, str) and preset in self.presets):
            raise SettingsError([unknown(str(preset), self.presets).replace("no such setting", "no such preset")])
        chosen = dict(self.presets[preset]) if preset is not None else {}
        own = {name: value for name, value in chosen.items() if name in self.Settings.model_fields}
        self.preset = preset
        self.trainer_values: dict[str, Any] = dict(self.trainer)  # for the settings that a Trainer is not given
        self.trainer_values |= {name: value for name, value in chosen.items() if name not in own}
        self.settings = self.Settings(**(own | settings))  # type: ignore[assignment]

    def __init_subclass__(cls, *, abstract: bool = False, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls._script = project.main_script() if cls.__module__ == "__main__" else None
        for base in vars(cls).get("__orig_bases__", ()):
            origin, args = get_origin(base), get_args(base)
            if inspect.isclass(origin) and issubclass(origin, Experiment) and inspect.isclass(args[0]):
                cls.Settings = args[0]  # type: ignore[assignment]
        _check_names(cls)
        missing = [name for name in REQUIRED_HOOKS if getattr(cls, name) is getattr(Experiment, name)]
        if missing and not abstract:
            raise UsageError(
                f"{cls.__name__}: expected the hooks {', '.join(REQUIRED_HOOKS)}; missing: {', '.join(missing)}"
            )

    @classmethod
    def name(cls) -> str:
        """Returns the experiment's name: that of the file in the experiments folder or of the script.

        Where that file defines several experiments, a class whose name in snake case is not the
        file's is `file:Class`. A class of a notebook or of any other module has its own name in snake
        case.
        """
        own, file = project.snake_case(cls.__name__), cls._file()
        if file is None or "." in cls.__qualname__ or own == file:
            return own
        module = sys.modules.get(cls.__module__)
        several = [kind for kind in defined_in(module).values() if kind._file() == file] if module else []
        return f"{file}:{cls.__name__}" if len(several) > 1 else file

    @classmethod
    def import_path(cls) -> str:
        """Returns `module:Class`, by which `settings.json` names the class, also where Python runs its file."""
        in_folder = project.is_experiment_file(cls._script)
        return f"{f'{project.PACKAGE}.{cls._file()}' if in_folder else cls.__module__}:{cls.__qualname__}"

    @classmethod
    def _file(cls) -> str | None:
        """The name of the experiment file or script that defines the class, without `.py`."""
        if cls._script is not None:
            return None if cls._script.stem.startswith("_") else cls._script.stem  # not `python -m package`
        package, _, stem = cls.__module__.partition(".")
        return stem if package == project.PACKAGE and stem and "." not in stem else None

    @abc.abstractmethod
    def prepare(self) -> Data:
        """Returns the data: three splits, and where they came from."""

    @abc.abstractmethod
    def build(self, data: Data) -> keras.Model:
        """Returns a fresh, compiled model for the data."""

    def callbacks(self) -> Sequence[keras.callbacks.Callback]:
        """Returns callbacks of this experiment's own, Keras's or `lab.Callback`s; none by default."""
        return ()

    def fit(self, model: keras.Model, train: Batches, validation: Batches, **options: Any) -> None:
        """Trains the model; the default runs the lab's epoch loop, which does what `Model.fit` does.

        An override calls `super().fit(model, train, validation, **options)` with options of its own, such as
        `class_weight`: each is honoured or refused, none is dropped.

        Args:
            model: what `build` returned, with the trainer's settings applied.
            train: the training batches.
            validation: the validation batches, in the order of the arrays.
            **options: those of `Model.fit` that are not about the data: epochs, initial_epoch, callbacks,
                verbose, validation_freq, class_weight, sample_weight, shuffle, steps_per_epoch,
                validation_steps, validation_batch_size.

        Raises:
            UsageError: an option cannot be honoured.
        """
        from lab.engine.loop import fit

        fit(model, train, validation, **options)

    @abc.abstractmethod
    def report(self, run: Run, report: Report) -> None:
        """Writes what a reader wants to know into the report, in reading order.

        Args:
            run: the run, with its model and data.
            report: takes text, metrics, tables and figures.
        """

    def predict(self, run: Run, inputs: Sequence[str], options: Any) -> Iterable[str | LabError]:
        """Does what the trained model does for a user's own inputs; optional.

        Args:
            run: a finished run.
            inputs: what the user gave: paths, texts.
            options: an instance of `Predict`.

        Yields:
            Text to print as it comes; or an error for one input, after which the others still follow.
        """
        raise UsageError(f"{self.name()}: this experiment has no predict")

    def report_sweep(self, setting: str, runs: Mapping[Any, Run], report: Report) -> None:
        """Adds to the report of a sweep, after its table and curve; nothing by default.

        Args:
            setting: the setting that was swept.
            runs: the finished run for each of its values, in order.
            report: the sweep's report.
        """


def defined_in(module: ModuleType) -> dict[str, type[Experiment[Any]]]:
    """Returns the experiments that a module itself defines, by class name."""
    return {
        value.__name__: value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Experiment)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    }


def _check_names(cls: type[Experiment[Any]]) -> None:
    """Refuses a public method that is nearly a hook, and presets and settings that cannot be."""
    for name, value in vars(cls).items():
        if name.startswith("_") or name in HOOKS or not inspect.isfunction(value):
            continue
        close = difflib.get_close_matches(name, HOOKS, n=1, cutoff=0.75)
        if close and not hasattr(Experiment, name):
            raise UsageError(f"{cls.__name__}.{name}: no such hook; did you mean {close[0]!r}?")
    if not (inspect.isclass(cls.Settings) and issubclass(cls.Settings, BaseSettings)):
        raise UsageError(f"{cls.__name__}.Settings: expected a subclass of lab.Settings, got {cls.Settings!r}")
    if "preset" in cls.Settings.model_fields:
        raise UsageError(f"{cls.__name__}.Settings.preset: the name is taken; presets are a class attribute")
