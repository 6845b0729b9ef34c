"""Writes the API reference of all public modules with pdoc; every warning is an error.

python .ci/docs.py build/docs
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc

import lab


def public_modules(package: str) -> list[str]:
    """Imports a package's public modules; `__all__` gets those that it leaves out, as pdoc follows it."""
    module = importlib.import_module(package)
    names = [info.name for info in pkgutil.iter_modules(module.__path__) if not info.name.startswith("_")]
    if hasattr(module, "__all__"):
        module.__all__ = [*module.__all__, *(name for name in names if name not in module.__all__)]
    paths = [f"{package}.{name}" for name in names]
    return [package, *(path for name in paths for path in (public_modules(name) if is_package(name) else [name]))]


def is_package(name: str) -> bool:
    """Whether a module has modules below it."""
    return hasattr(importlib.import_module(name), "__path__")


def main(folder: str) -> None:
    """Writes an HTML file for each module, from the docstrings."""
    names = lab.__all__
    count = len(public_modules("lab"))
    vars(lab).update({name: getattr(lab, name) for name in names})  # pdoc does not see names that load on use
    pdoc.render.configure(docformat="google")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="pdoc")
        # The constructor that Python generates for a NamedTuple does not see its module's names.
        warnings.filterwarnings("ignore", r"Error parsing type annotation ForwardRef\('Any'\)", module="pdoc")
        pdoc.pdoc("lab", output_directory=Path(folder))
    sys.stdout.write(f"{folder}/index.html: {count} modules\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
