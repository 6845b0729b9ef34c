"""Modules that load when they are first used.

Keras takes seconds to import and fixes its backend as it does so. `defer("keras")` leaves a stand-in in
`sys.modules`, so that an experiment can have a plain `import keras` at its top while `lab run NAME --help` stays
instant and `Trainer(backend="jax")` still has a choice to make. The real module is imported by Python's own import
system, whose locks make the first use safe from any number of threads.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

_LOADING_DUNDERS = ("__all__", "__path__", "__version__")
_LOCK = threading.Lock()  # never kept during an import: a thread that waits for it may hold an import lock


class Deferred(ModuleType):
    """A stand-in that looks up each attribute in the real module, which the first lookup imports.

    Args:
        name: the module's full name.
        spec: where the module is found; tools ask `sys.modules` for it.
        after: a module to load first; two threads that load modules in different orders would wait for each other.
    """

    def __init__(
        self, name: str, spec: importlib.machinery.ModuleSpec | None = None, *, after: str | None = None
    ) -> None:
        super().__init__(name)
        self.__dict__.update(__spec__=spec, __file__=spec and spec.origin, _after=after)

    def __getattr__(self, name: str) -> Any:
        # `__path__` loads, so that `import keras.layers` does. Tools that ask every module in `sys.modules` for
        # other special names must not load it.
        if name.startswith("__") and name not in _LOADING_DUNDERS:
            raise AttributeError(name)
        module = _load(self)
        if name == "__all__" and not hasattr(module, name):  # `from keras import *`
            return [public for public in vars(module) if not public.startswith("_")]
        return getattr(module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_load(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_load(self), name)

    def __dir__(self) -> list[str]:
        return dir(_load(self))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module as the other finders do, and has `ready` called once it is loaded."""

    def __init__(self, name: str, ready: Callable[[], object]) -> None:
        self.name = name
        self.ready = ready

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        others = (finder.find_spec(fullname, path, target) for finder in list(sys.meta_path) if finder is not self)
        spec = next((spec for spec in others if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.ready)
        return spec


class _Loader(importlib.abc.Loader):
    """Runs a module's code by its own loader, then `ready`, before another thread gets the module."""

    def __init__(self, loader: importlib.abc.Loader, ready: Callable[[], object]) -> None:
        self.loader = loader
        self.ready = ready

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self.loader
        with _stderr_on_failure():
            self.loader.exec_module(module)
        self.ready()


def defer(name: str, ready: Callable[[], object]) -> None:
    """Puts off the import of a module to its first use; nothing happens if there is no such module.

    Args:
        name: a module at the top level.
        ready: called once the module is loaded, at once if it is loaded already.
    """
    if name in sys.modules:
        ready()
        return
    spec = importlib.util.find_spec(name)
    if spec is not None:
        sys.meta_path.insert(0, _Finder(name, ready))
        sys.modules[name] = Deferred(name, spec)


def is_loaded(name: str) -> bool:
    """Whether the module's own code runs or has run."""
    return name in sys.modules and not isinstance(sys.modules[name], Deferred)


def _load(module: Deferred) -> ModuleType:
    names = [name for name in (module.__dict__["_after"], module.__name__) if name]
    for name in names:
        with _LOCK:
            if isinstance(sys.modules.get(name), Deferred):
                del sys.modules[name]
        __import__(name)  # unlike `importlib.import_module`, it tolerates two threads with circular imports
    return sys.modules[names[-1]]


@contextlib.contextmanager
def _stderr_on_failure() -> Iterator[None]:
    """Withholds what C++ libraries write to the standard error while they load, unless loading fails."""
    if os.name == "nt":
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as output, contextlib.ExitStack() as undo:
        try:
            stderr = os.dup(2)
        except OSError:  # the process has no standard error
            yield
            return
        undo.callback(os.close, stderr)
        os.dup2(output.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(stderr, 2)
            output.seek(0)
            sys.stderr.write(output.read().decode("utf-8", "replace"))
            raise
        finally:
            os.dup2(stderr, 2)
