"""What several groups of cases make: a run that was trained, one that is damaged, digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile import inputs as made
from tests.hostile.inputs import World, change
from tests.hostile.table import Make

TOY = "run autoencoder data=digits.npz fast_dev_run=true "


def digits_file(world: World) -> None:
    made.npz(world.here / "digits.npz")


def trained(experiment: str, what: Callable[[Path], object] | None = None) -> Make:
    """A run that was trained, and what is done to it."""

    def make(world: World) -> None:
        path = world.run(experiment)
        if what is not None:
            what(path)

    return make


def damaged(name: str, content: bytes | str, experiment: str = "autoencoder") -> Make:
    """A run in which a file has another content."""

    def what(path: Path) -> None:
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return trained(experiment, what)


def changed(name: str, of: str = "autoencoder", /, **values: Any) -> Make:
    """A run in which a JSON file has other values."""
    return trained(of, lambda path: change(path / name, **values))
