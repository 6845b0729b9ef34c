"""How alike two runs are: a report states what it has checked, not what it assumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import lab
from lab.settings import show


@dataclasses.dataclass(frozen=True)
class Likeness:
    """What two runs have in common, and every difference between them.

    Attributes:
        same: settings of experiment and trainer, and versions, that are the same in both.
        differing: by name, those that differ: here and there.
        only_here: settings that only the first run's experiment has.
        parameters: of both models.
        same_shapes: whether the models have weights of the same shapes in the same order.
        epochs: that each was trained for.
    """

    same: int
    differing: Mapping[str, tuple[str, str]]
    only_here: Mapping[str, str]
    parameters: tuple[int, int]
    same_shapes: bool
    epochs: tuple[int, int]

    @property
    def differs_only_here(self) -> bool:
        """Whether nothing differs but the settings that only the first run's experiment has."""
        return self.same_shapes and not self.differing and self.epochs[0] == self.epochs[1]


def likeness(here: lab.Run, there: lab.Run) -> Likeness:
    """Compares all settings of two runs, the versions that they ran on, and their models."""
    ours, theirs = _settings(here), _settings(there)
    common = [name for name in ours if name in theirs]
    shapes = [[tuple(weight.shape) for weight in run.model.weights] for run in (here, there)]
    return Likeness(
        same=sum(ours[name] == theirs[name] for name in common),
        differing={name: (ours[name], theirs[name]) for name in common if ours[name] != theirs[name]},
        only_here={name: value for name, value in ours.items() if name not in theirs},
        parameters=(here.model.count_params(), there.model.count_params()),
        same_shapes=shapes[0] == shapes[1],
        epochs=(len(here.history), len(there.history)),
    )


def _settings(run: lab.Run) -> dict[str, str]:
    environment = run.environment
    values: dict[str, Any] = {**run.settings, **run.trainer, **environment.get("packages", {})}
    values |= {name: environment.get(name) for name in ("backend", "cpu")}
    del values["run_dir"]  # where a run is written changes no number
    return {name: show(value) for name, value in values.items()}


def describe(found: Likeness, here: str, there: str) -> str:
    """Returns what two runs have in common and where they differ, in sentences.

    Args:
        found: what was compared.
        here, there: what the two models are called, such as `denoising autoencoder`.
    """
    differing = [f"`{name}` ({ours} and {theirs})" for name, (ours, theirs) in found.differing.items()]
    only_here = [f"`{name}={value}`" for name, value in found.only_here.items()]
    ours, theirs = found.parameters
    sentences = [
        f"In both runs {found.same} settings and versions are the same.",
        f"These differ: {listed(differing)}." if differing else "",
        f"Only the {here} has {listed(only_here)}." if only_here else "",
        f"Both models have {ours:,} parameters, in weights of the same shapes."
        if found.same_shapes
        else f"The {here} has {ours:,} parameters, the {there} {theirs:,}.",
        f"Each was trained for {found.epochs[0]} epochs."
        if found.epochs[0] == found.epochs[1]
        else f"They were trained for {found.epochs[0]} and {found.epochs[1]} epochs.",
        "No other difference was found." if found.differs_only_here else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def listed(items: list[str]) -> str:
    """Returns items as prose: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
