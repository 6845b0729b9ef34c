"""Where runs are kept: `runs/<experiment>/<time>-<id>`, and `runs/<experiment>/latest`, which links to the newest."""

from __future__ import annotations

import datetime
import os
import secrets
from pathlib import Path

from lab._utils import project
from lab._utils.files import expand
from lab.errors import RunError, nearest

LATEST = "latest"


def runs_folder() -> Path:
    """Returns the folder that runs are kept in: `LAB_RUNS`, else the project's `runs`."""
    return Path(os.environ["LAB_RUNS"]) if os.environ.get("LAB_RUNS") else project.relative(project.root() / "runs")


def folder_of(experiment: str, root: Path | None = None) -> Path:
    """Returns the folder of an experiment's runs; `file-Class` for `file:Class`, a name that every disk allows."""
    return (root or runs_folder()) / experiment.replace(":", "-")


def new_folder(experiment: str, root: Path | None = None) -> Path:
    """Returns the path of a new run of an experiment; the folder does not exist yet."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = folder_of(experiment, root)
    choices = [folder / f"{now}-{secrets.token_hex(2)}" for _ in range(8)]  # two of one second may be equal
    return next((path for path in choices if not path.exists()), choices[0])


def locate(name: str | Path) -> Path:
    """Returns the run directory at a path, or the latest run of an experiment by its name.

    Raises:
        RunError: there is no run there.
    """
    folder, home = expand(name), folder_of(str(name))
    for place in (home / LATEST, *reversed(folders(home))):  # the newest, if no run got far enough to be `latest`
        if not is_run(folder) and is_run(place):
            folder = place
    if not is_run(folder):
        known = [experiment.name for experiment in folders(runs_folder())]
        hint = nearest(str(name), known) or (f"; there are runs of {', '.join(known)}" if known else "")
        raise RunError(f"{name}: expected a run directory or an experiment that has run{hint}")
    return folder.resolve()


def find(experiment: str | None = None) -> list[Path]:
    """Returns the run directories below the runs folder, oldest first."""
    found = [
        run
        for folder in folders(runs_folder())
        if experiment is None or folder.name == folder_of(experiment).name
        for run in folders(folder)
        if is_run(run)
    ]
    return sorted(found, key=lambda path: (path.name, str(path)))


def is_run(folder: Path) -> bool:
    """Returns whether a folder holds a run's settings."""
    try:
        return (folder / "settings.json").is_file()
    except OSError:  # the name is too long
        return False


def folders(root: Path) -> list[Path]:
    """Returns the folders in a folder, without links, by name."""
    try:
        return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink())
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return []
