"""`lab.main`: an experiment file that is run as a script."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from lab._utils import project
from lab.cli.exits import one_line
from lab.errors import UsageError

if TYPE_CHECKING:
    from lab.experiment import Experiment


def main(experiment: type[Experiment[Any]] | None = None) -> None:
    """Runs the experiment of the file that calls it, with the settings of the command line.

    With these last two lines in an experiment file,

    ```python
    if __name__ == "__main__":
        lab.main()
    ```

    `python experiments/my_idea.py hidden=32`, `python -m experiments.my_idea hidden=32` and IPython's
    `%run experiments/my_idea.py hidden=32` do what `lab run my_idea hidden=32` does. To that end a
    file of the experiments folder is imported as `experiments.my_idea`, so that the run and its model
    can be used from any other process.

    A script elsewhere works too; only the script itself can then resume its runs (`resume=latest`).

    Args:
        experiment: the class to run; needed where the file defines several.

    Raises:
        SystemExit: for an error, with the exit code of `lab run`.
    """
    with one_line():
        kind = _importable(experiment or _only_experiment())
        from lab.cli.experiments import run_command
        from lab.cli.main import print_project

        print_project()
        run_command(kind).main(sys.argv[1:], standalone_mode=False)


def _only_experiment() -> type[Experiment[Any]]:
    from lab.experiment import defined_in

    script = project.main_script()
    if script is None:
        raise UsageError("lab.main: expected to be called in a file; in a notebook, use lab.Trainer().run(MyIdea())")
    classes = defined_in(sys.modules["__main__"])
    if not classes:
        raise UsageError(
            f"lab.main: expected an experiment in {script}, the file that runs; call lab.main below "
            'its class, under `if __name__ == "__main__":`'
        )
    if len(classes) > 1:
        raise UsageError(
            f"lab.main: expected the class to run, such as lab.main({next(iter(classes))}): "
            f"{script.name} defines {', '.join(classes)}"
        )
    return next(iter(classes.values()))


def _importable(experiment: type[Experiment[Any]]) -> type[Experiment[Any]]:
    """The same class, imported by its name where its file is run as `__main__`, as later processes will import it."""
    module, _, name = experiment.import_path().partition(":")
    if module == experiment.__module__:
        return experiment
    project.experiments_folder()
    if hasattr(sys, "ps1"):  # interactive: the files may have changed since the last %run
        for loaded in [loaded for loaded in sys.modules if loaded.startswith(f"{project.PACKAGE}.")]:
            del sys.modules[loaded]
    imported: type[Experiment[Any]] = getattr(importlib.import_module(module), name)
    return imported
