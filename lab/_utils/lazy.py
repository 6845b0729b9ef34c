"""Keras on first use.

Keras takes seconds to import and fixes its backend as it does so. `import lab` leaves a Keras module
in `sys.modules` that loads itself when something is first asked of it. An experiment file can then
write a plain `import keras` at its top, `lab run NAME --help` stays instant, and
`Trainer(backend="jax")` still has a choice to make. Keras imported before `lab` is left as it is.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
import types
from collections.abc import Iterator
from typing import Any

_LOADING_DUNDERS = ("__path__", "__version__", "__all__")


class _LazyModule(types.ModuleType):
    """A module that runs its code when an attribute that it does not have yet is first looked up."""

    def __getattr__(self, name: str) -> Any:
        # `__path__` is held back, so that `import keras.layers` comes through here too; tools that walk
        # over `sys.modules` and ask for other special names must not wake the module.
        if name.startswith("__") and name not in _LOADING_DUNDERS:
            raise AttributeError(name)
        load(self)
        return getattr(self, name)


def load(module: types.ModuleType) -> None:
    """Runs the code of a module that `defer` put in place; any other module is left alone."""
    if not isinstance(module, _LazyModule):
        return
    spec = module.__spec__
    assert spec is not None
    assert spec.loader is not None
    object.__setattr__(module, "__class__", types.ModuleType)
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    sys.modules[module.__name__] = module
    try:
        with _without_chatter():
            spec.loader.exec_module(module)
    except BaseException:
        module.__dict__.pop("__path__", None)
        module.__class__ = _LazyModule  # so that whoever holds it is told again
        sys.modules.pop(module.__name__, None)  # so that the next import says the reason again
        raise


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Holds back what C++ libraries write to the standard error while they load; an error shows it."""
    if os.name == "nt":
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held, contextlib.ExitStack() as undo:
        try:
            kept = os.dup(2)
        except OSError:  # no standard error to keep quiet
            yield
            return
        undo.callback(os.close, kept)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            sys.stderr.write(held.read().decode("utf-8", "replace"))
            raise
        finally:
            os.dup2(kept, 2)


def defer(name: str) -> None:
    """Puts a module that loads itself on first use into `sys.modules`, unless it is there already."""
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    module.__dict__.pop("__path__", None)
    module.__class__ = _LazyModule
    sys.modules[name] = module


def is_loaded(name: str) -> bool:
    """Whether the module's own code has run."""
    module = sys.modules.get(name)
    return module is not None and not isinstance(module, _LazyModule)
