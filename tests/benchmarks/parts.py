"""The parts that `only=` names, in the order they run, and the rows of each."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.benchmarks import alone
from tests.benchmarks.pairs import Bench, Comparison, Engine, compare

KERAS, LIGHTNING, TORCH = "Keras", "Lightning", "PyTorch"
_TRAINING = "tests.benchmarks.training"
_TORCH = "tests.benchmarks.torch_training"

Row = dict[str, Any]
Part = Callable[[Bench], Iterator[Row]]


def training_engines(keras: str = f"{_TRAINING}:with_keras", lab: str = f"{_TRAINING}:with_lab") -> list[Engine]:
    """Returns every way to train a task."""
    loop, lightning = f"{_TORCH}:plain", f"{_TORCH}:lightning"
    barebones, both = {"barebones": True}, {"barebones": True, "compile": True}
    return [
        Engine("lab", "lab", lab),
        Engine("Keras fit", KERAS, keras),
        Engine("Keras fit, jit_compile, steps_per_execution=16", f"{KERAS}, jit", keras, {"jit": True}),
        Engine("Lightning", LIGHTNING, lightning, torch=True),
        Engine("Lightning, barebones", LIGHTNING, lightning, barebones, torch=True),
        Engine("Lightning, barebones, torch.compile", LIGHTNING, lightning, both, torch=True, optional=True),
        Engine("PyTorch", TORCH, loop, torch=True),
        Engine("PyTorch, torch.compile", TORCH, loop, {"compile": True}, torch=True, optional=True),
    ]


def _dense(task: str, title: str, goals: tuple[float, float, float], examples: int, **rest: Any) -> Comparison:
    return Comparison(
        task,
        f"{title}, batch 256, {examples:,} digits"
        + (" (an epoch of ten)" if examples == 55_000 else " of an epoch's 55,000"),
        training_engines(),
        dict(zip((KERAS, LIGHTNING, TORCH), goals, strict=True)),
        prepare="tests.benchmarks.tasks:prepare",
        options={"task": task, "examples": examples},
        **rest,
    )


SMALL = _dense("small", "Autoencoder 784-32-784", (0.25, 0.30, 0.55), 55_000, tolerance=0.02, warm=1, in_a_row=10)
DEEP = _dense("deep", "Autoencoder 784-512-256-32", (0.55, 0.80, 0.95), 27_500, tolerance=0.02)
DENOISING = _dense("denoising", "Denoising 784-1024-256, fresh noise", (0.5, 0.7, 0.9), 27_500, tolerance=0.03)


CHARACTERS = Comparison(
    "lstm",
    "Character LSTM 2x256, batch 64x100, a training step",
    training_engines(),
    {KERAS: 0.6, LIGHTNING: 0.95, TORCH: 1.0},
    tolerance=0.01,
    prepare="tests.benchmarks.tasks:prepare",
    options={"task": "characters", "examples": 64 * 12},
    pairs=3,
    per_step=True,
)


def _layers(units: int) -> Comparison:
    place = "tests.benchmarks.recurrent:layers"
    return Comparison(
        f"lstm_layers_{units}",
        f"Two LSTM layers of {units}, batch 64x100, forwards and backwards",
        [
            Engine("lab", "lab", place),
            Engine("Keras, jit_compile", f"{KERAS}, jit", place, {"keras_layer": True}),
            Engine("PyTorch", TORCH, "tests.benchmarks.torch_recurrent:layers", torch=True),
        ],
        {},
        tolerance=0.001,
        prepare="tests.benchmarks.recurrent:prepare_layers",
        options={"units": units, "batch": 64, "steps": 100},
        warm=1,
        per_step=True,
    )


SENTIMENT = Comparison(
    "sentiment",
    "Sentiment LSTM, batches of similar length, a fifteenth of an epoch",
    training_engines("tests.benchmarks.sentiment:with_keras", "tests.benchmarks.sentiment:with_lab"),
    {KERAS: 0.5, LIGHTNING: 0.9, TORCH: 1.0},
    tolerance=0.03,
    drawn=True,
    prepare="tests.benchmarks.sentiment:prepare",
    options={"task": "sentiment", "share": 15},
    pairs=3,
)


def _writing(rows: int, goals: Mapping[str, float | None]) -> Comparison:
    loop = "tests.benchmarks.torch_recurrent:write"
    cell, compiled = {"cell": True}, {"cell": True, "compile": True}
    return Comparison(
        f"writing_{rows}",
        f"Sampling, LSTM of 256, {rows} at a time, a step" if rows > 1 else "Sampling, LSTM of 256, a character",
        [
            Engine("lab", "lab", "tests.benchmarks.recurrent:write_with_lab"),
            Engine("Keras, a predict over 40 characters", KERAS, "tests.benchmarks.recurrent:write_with_predict"),
            Engine("PyTorch, nn.LSTM", TORCH, loop, torch=True),
            Engine("PyTorch, nn.LSTMCell", TORCH, loop, cell, torch=True),
            Engine("PyTorch, nn.LSTMCell, torch.compile", TORCH, loop, compiled, torch=True, optional=True),
        ],
        goals,
        tolerance=0.001,
        prepare="tests.benchmarks.recurrent:prepare_writing",
        options={"units": 256, "symbols": 65, "rows": rows},
    )


def _inference(task: str, title: str, count: int, ours: str, keras: str, **rest: Any) -> Comparison:
    loop = "tests.benchmarks.torch_inference"
    jit = {"jit": True, "steps_per_execution": 1, "predict_batch": 256}
    return Comparison(
        task,
        f"{title}, {count:,} at once",
        [
            Engine("lab", "lab", ours),
            Engine("Keras predict", KERAS, keras, {"predict_batch": 32}),
            Engine("Keras predict, batches of 256", KERAS, keras, {"predict_batch": 256}),
            Engine("Keras predict, batches of 256, jit_compile", f"{KERAS}, jit", keras, jit),
            Engine("Lightning, barebones", LIGHTNING, f"{loop}:lightning", torch=True),
            Engine("PyTorch", TORCH, f"{loop}:plain", torch=True),
            Engine("PyTorch, torch.compile", TORCH, f"{loop}:plain", {"compile": True}, torch=True, optional=True),
        ],
        {KERAS: 0.7, LIGHTNING: 1.0, TORCH: 1.0},
        tolerance=0.001,
        options={"task": task, "examples": count},
        **rest,
    )


DIGITS = _inference(
    "digits",
    "Digits through 784-512-256-32",
    10_000,
    "tests.benchmarks.inference:digits_with_lab",
    "tests.benchmarks.inference:digits_with_keras",
    prepare="tests.benchmarks.inference:prepare_digits",
)
REVIEWS = _inference(
    "reviews",
    "Reviews through the sentiment LSTM",
    10_000,
    "tests.benchmarks.inference:reviews_with_lab",
    "tests.benchmarks.inference:reviews_with_keras",
    prepare="tests.benchmarks.inference:prepare_reviews",
    pairs=3,
    warm=1,
)


def _all(*rows: Comparison) -> Part:
    def part(bench: Bench) -> Iterator[Row]:
        for row in rows:
            yield compare(row, bench)

    return part


def _on_jax(row: Comparison) -> Comparison:
    """The same row with the lab and Keras on JAX; PyTorch's loops stay what they are to compare with."""
    env = {"KERAS_BACKEND": "jax"}
    kept = [one for one in row.engines if "jit" not in one.options and one.rival != LIGHTNING]
    engines = [one if one.torch else dataclasses.replace(one, env=env) for one in kept]
    return dataclasses.replace(row, name=f"{row.name}_jax", title=f"JAX: {row.title}", engines=engines, pairs=3)


def jax(bench: Bench) -> Iterator[Row]:
    """The autoencoder and the character LSTM again on JAX, where that is installed."""
    if importlib.util.find_spec("jax") is None:
        yield alone.measures("jax", "JAX", [], "JAX is not installed")
        return
    for row in (SMALL, DEEP, CHARACTERS):
        yield compare(_on_jax(row), bench)


PARTS: Mapping[str, Part] = {
    "autoencoder": _all(SMALL, DEEP),
    "denoising": _all(DENOISING),
    "lstm": _all(CHARACTERS, *(_layers(units) for units in (128, 256, 512))),
    "sentiment": _all(SENTIMENT),
    "writing": _all(_writing(1, {KERAS: 0.01, TORCH: 0.33}), _writing(64, {})),
    "inference": _all(DIGITS, REVIEWS),
    "overhead": alone.overhead,
    "checkpoints": alone.checkpoints,
    "startup": alone.startup,
    "memory": alone.memory,
    "scaling": alone.scaling,
    "peak": alone.peak,
    "jax": jax,
}
