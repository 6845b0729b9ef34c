"""The parts that `only=` names, in the order they run, and the rows of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.bench.pairs import Comparison, Engine, Say, compare

KERAS, LIGHTNING, TORCH = "Keras fit", "Lightning", "PyTorch"
_TRAINING = "tests.bench.training"
_TORCH = "tests.bench.torch_training"

Row = dict[str, Any]
Part = Callable[[Say], Iterator[Row]]


def training_engines(keras: str = f"{_TRAINING}:with_keras", lab: str = f"{_TRAINING}:with_lab") -> list[Engine]:
    """Returns every way to train a task."""
    loop, lightning = f"{_TORCH}:plain", f"{_TORCH}:lightning"
    barebones, both = {"barebones": True}, {"barebones": True, "compile": True}
    return [
        Engine("lab", "lab", lab),
        Engine("Keras fit", KERAS, keras),
        Engine("Keras fit, jit_compile, steps_per_execution=16", KERAS + ", jit", keras, {"jit": True}),
        Engine("Lightning", LIGHTNING, lightning, torch=True),
        Engine("Lightning, barebones", LIGHTNING, lightning, barebones, torch=True),
        Engine("Lightning, barebones, torch.compile", LIGHTNING, lightning, both, torch=True, optional=True),
        Engine("PyTorch", TORCH, loop, torch=True),
        Engine("PyTorch, torch.compile", TORCH, loop, {"compile": True}, torch=True, optional=True),
    ]


def _dense(task: str, title: str, goals: tuple[float, float, float], examples: int, **rest: Any) -> Comparison:
    return Comparison(
        task,
        f"{title}, batch 256, {examples:,} digits" + (" (an epoch)" if examples == 55_000 else " of an epoch's 55,000"),
        training_engines(),
        dict(zip((KERAS, LIGHTNING, TORCH), goals, strict=True)),
        prepare="tests.bench.tasks:prepare",
        options={"task": task, "examples": examples},
        **rest,
    )


SMALL = _dense("small", "Autoencoder 784-32-784", (0.25, 0.30, 0.55), 55_000, tolerance=0.02, pairs=7)
DEEP = _dense("deep", "Autoencoder 784-512-256-32", (0.55, 0.80, 0.95), 27_500, tolerance=0.02)
DENOISING = _dense("denoising", "Denoising 784-1024-256, fresh noise", (0.5, 0.7, 0.9), 18_432, tolerance=0.03)


def autoencoder(say: Say) -> Iterator[Row]:
    """Both sizes of the autoencoder."""
    yield compare(SMALL, say)
    yield compare(DEEP, say)


def denoising(say: Say) -> Iterator[Row]:
    """The denoising autoencoder."""
    yield compare(DENOISING, say)


PARTS: Mapping[str, Part] = {"autoencoder": autoencoder, "denoising": denoising}
