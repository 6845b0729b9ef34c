"""Every variable that training can change, by a name that is the same for the same code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras

from lab.engine.keras_private import flatten_layers

_COUNT = re.compile(r"_[0-9]+(?=[_/]|$)")  # Keras numbers the layers of a process: dense, dense_1, ...
_OPAQUE = ("builtins", "tensorflow", "jax", "jaxlib", "numpy", "torch", "threading", "logging", "functools", "types")


def named_variables(model: keras.Model) -> dict[str, Any]:
    """Returns the variables of a model by kind, place and path.

    Kinds are `trainable`, `state` (random generators, running means), `optimizer`, `metrics`, `carried` (the
    states of `stateful` layers) and `other`: every variable that an attribute of the model leads to, such as
    those of a second optimizer or of an averaged copy of the network.
    """
    carried = [layer.states for layer in flatten_layers(model) if getattr(layer, "stateful", False)]
    kinds: dict[str, Iterable[Any]] = {
        "trainable": model.trainable_variables,
        "state": model.non_trainable_variables,
        "optimizer": model.optimizer.variables if model.optimizer is not None else [],
        "metrics": model.metrics_variables,
        "carried": [state for state in keras.tree.flatten(carried) if state is not None],
    }
    named: dict[str, Any] = {}
    seen: set[int] = set()
    for kind, variables in kinds.items():
        fresh = [variable for variable in variables if id(variable) not in seen]
        seen |= {id(variable) for variable in fresh}
        for place, variable in enumerate(fresh):
            named[f"{kind}/{place:04d}/{_COUNT.sub('', variable.path).replace('/', '.')}"] = variable
    other = [(path, variable) for path, variable in _reachable(model) if id(variable) not in seen]
    for place, (path, variable) in enumerate(other):
        named[f"other/{place:04d}/{path}"] = variable
    return named


def _reachable(model: keras.Model) -> Iterator[tuple[str, Any]]:
    return ((path, found) for path, found in _walk(model) if isinstance(found, keras.Variable))


def _walk(root: Any) -> Iterator[tuple[str, Any]]:
    """Yields all objects that attributes lead to, with their path, in an order that depends on the code alone."""
    waiting, seen = [("", root)], set()
    keep = []  # an object that is made on the fly must not give its id to the next
    while waiting:
        path, found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        keep.append(found)
        yield path, found
        parts: Iterable[tuple[Any, Any]] = ()
        if isinstance(found, keras.Variable | str | bytes | type):
            continue
        if isinstance(found, Mapping):
            parts = found.items()
        elif isinstance(found, (list, tuple)):
            parts = enumerate(found)
        elif type(found).__module__.partition(".")[0] not in _OPAQUE:
            parts = getattr(found, "__dict__", {}).items()
        waiting += [(f"{path}.{name}".lstrip("."), part) for name, part in parts]
