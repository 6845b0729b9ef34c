"""The project: its root folder, and the folder of experiments in it."""

from __future__ import annotations

import importlib.util
import re
import stat
import sys
from pathlib import Path

from lab.errors import UsageError

PACKAGE = "experiments"


def snake_case(class_name: str) -> str:
    """Returns a class's name in snake case: `my_idea` for `MyIdea`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()


def main_script() -> Path | None:
    """Returns the file that Python runs as `__main__`; None in a notebook or an interactive session."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file).absolute() if file else None


def is_experiment_file(path: Path | None) -> bool:
    """Whether a file lies in a folder of experiments."""
    return path is not None and path.parent.name == PACKAGE


def root() -> Path:
    """Returns the project's folder, the one that holds `experiments/`.

    For a script in such a folder it is the script's project. Otherwise it is the nearest folder that
    holds one, from the working directory upwards, or the working directory where there is none. A
    folder that every user may write to ends the search: its code could be anyone's.
    """
    here, script = Path.cwd(), main_script()
    if script is not None and is_experiment_file(script):
        return script.parent.resolve().parent
    for folder in (here, *here.parents):
        if folder != here and folder.stat().st_mode & stat.S_IWOTH:
            break
        if _holds_experiments(folder):
            return folder
    return here


def relative(path: Path) -> Path:
    """Returns a path of the project as a user in the working directory would type it."""
    here, project = Path.cwd(), root()
    if path.is_relative_to(here):
        return path.relative_to(here)
    if here.is_relative_to(project) and path.is_relative_to(project):
        return Path(*[".."] * len(here.relative_to(project).parts)) / path.relative_to(project)
    return path


def _holds_experiments(folder: Path) -> bool:
    try:
        return any(path.suffix == ".py" for path in (folder / PACKAGE).iterdir())
    except OSError:  # no such folder, or not a readable one
        return False


def add_script_to_path() -> None:
    """Lets `python experiments/x.py` import `experiments.y`, as `python -m experiments.x` can."""
    script = main_script()
    if script is not None and is_experiment_file(script):
        _put_first_on_path(script.parent.resolve().parent)


def _put_first_on_path(folder: Path) -> None:
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


def experiments_folder() -> Path:
    """Returns the folder of experiments, the project's or else the installed one, and lets Python import from it.

    Raises:
        UsageError: there is none, or Python imports another package of that name.
    """
    project = root()
    if _holds_experiments(project):
        _put_first_on_path(project)
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"expected a folder {PACKAGE!r} with a file for each experiment in {project}; there is none")
    folder = Path(next(iter(spec.submodule_search_locations)))
    if _holds_experiments(project) and not folder.samefile(project / PACKAGE):
        fix = "" if (project / PACKAGE / "__init__.py").exists() else "; add an empty __init__.py to the first"
        raise UsageError(f"expected to import {project / PACKAGE}, but Python imports {folder}{fix}")
    return folder


def is_provided(module: str) -> bool:
    """Whether a module is a file of the experiments folder: what a run directory names may then be imported."""
    package, *parts = module.split(".")
    if package != PACKAGE or not parts or not all(re.fullmatch(r"[\w-]+", part) for part in parts):
        return False
    try:
        path = experiments_folder().joinpath(*parts)
    except UsageError:
        return False
    return path.with_name(f"{path.name}.py").is_file() or (path / "__init__.py").is_file()
