"""Which experiments there are: one file each in the folder `experiments`, read without running it."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path

from lab.errors import UsageError

PACKAGE = "experiments"


def snake_case(class_name: str) -> str:
    """Returns an experiment's name for its class's: `MyIdea` is `my_idea`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()


def folder() -> Path:
    """Returns the folder of experiments: the one here, else the one that is installed.

    Raises:
        UsageError: there is none.
    """
    here = Path.cwd()
    if (here / PACKAGE).is_dir() and str(here) not in sys.path:
        sys.path.insert(0, str(here))
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"expected a folder {PACKAGE!r} with one file an experiment, in {here} or installed")
    return Path(next(iter(spec.submodule_search_locations)))


def names() -> dict[str, str]:
    """Returns each experiment's name and the first line of its docstring, read without running it."""
    found = {}
    for path in sorted(folder().glob("*.py")):
        if not path.name.startswith("_"):
            try:
                text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            except (SyntaxError, UnicodeDecodeError, ValueError) as error:
                text = f"(cannot be read: {error})"
            found[path.stem] = text.partition("\n")[0].strip()
    return found
