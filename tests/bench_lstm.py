"""How fast the LSTM trains and writes, against Keras's own and PyTorch's: `make bench only=lstm`.

Each engine runs in a process of its own, in turn, several times over; medians and ratios are printed.
PyTorch runs in an environment of its own (`.venv-bench`), and is left out where that is missing.

Training is one step forwards and backwards through two layers, in float32, with the loss
`mean(y**2)` and gradients for all weights and the inputs: Keras's and the lab's layer under XLA
(`jit_compile=True`), PyTorch's `nn.LSTM`, whose CPU code is oneDNN's. Writing is one character from an
LSTM of one layer: the lab's compiled loop; the loop of the keras.io example, a `predict` over the last
40 characters; PyTorch's `nn.LSTM`, a step at a time from its state.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMES, ROUNDS, SYMBOLS = 11, 3, 65
OTHER = Path(".venv-bench/bin/python")
TRAINING = ((128, 64, 100), (256, 64, 100), (512, 64, 100))  # units, batch, steps
WRITING = ((256, 1), (256, 64))  # units, texts side by side


def median(step: Callable[[], Any], times: int = TIMES) -> float:
    """Seconds of one call, after two that are not counted."""
    step(), step()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        step()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def train_keras(layer: Any, units: int, batch: int, steps: int) -> float:
    """Seconds of one training step under XLA."""
    import numpy as np
    import tensorflow as tf

    x = tf.constant(np.random.default_rng(0).normal(size=(batch, steps, units)).astype(np.float32))
    layers = [layer(units, return_sequences=True) for _ in range(2)]
    for one in layers:
        one.build(x.shape)
    weights = [weight.value for one in layers for weight in one.trainable_weights]

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layers[1](layers[0](x))
            loss = tf.reduce_mean(tf.square(y))
        return loss, tape.gradient(loss, [*weights, x])

    return median(lambda: float(step(x)[0]))


def train_torch(units: int, batch: int, steps: int) -> float:
    """The same in PyTorch."""
    import torch

    layer = torch.nn.LSTM(units, units, num_layers=2, batch_first=True)
    x = torch.randn(batch, steps, units, requires_grad=True)

    def step() -> float:
        layer.zero_grad()
        x.grad = None
        loss = layer(x)[0].square().mean()
        loss.backward()
        return float(loss.detach())

    return median(step)


def keras_model(units: int) -> Any:
    import keras

    import lab

    symbols = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(SYMBOLS, units)(symbols)
    x = lab.layers.LSTM(units, return_sequences=True)(x)
    return keras.Model(symbols, keras.layers.Dense(SYMBOLS)(x))


def write_lab(units: int, rows: int, length: int = 320) -> float:
    """Seconds a step of the compiled loop."""
    from lab.generation import Generator, Sampling

    generator = Generator(keras_model(units), rows)
    return median(lambda: list(generator.write(length, Sampling(0.8))), 5) / length


def write_predict(units: int, rows: int, length: int = 10) -> float:
    """Seconds a step of `predict` over the last 40 characters."""
    import numpy as np

    model, window = keras_model(units), np.zeros((rows, 40), np.int32)
    rng = np.random.default_rng(0)

    def write() -> None:
        nonlocal window
        for _ in range(length):
            logits = model.predict(window, verbose=0)[:, -1].astype(np.float64) / 0.8
            chances = np.exp(logits - logits.max(axis=1, keepdims=True))
            chances /= chances.sum(axis=1, keepdims=True)
            drawn = [rng.choice(SYMBOLS, p=row) for row in chances]
            window = np.concatenate([window[:, 1:], np.array(drawn, np.int32)[:, None]], axis=1)

    return median(write, 5) / length


def write_torch(units: int, rows: int, length: int = 300) -> float:
    """Seconds a step of PyTorch's layer, from its state."""
    import torch

    embedding, head = torch.nn.Embedding(SYMBOLS, units), torch.nn.Linear(units, SYMBOLS)
    layer = torch.nn.LSTM(units, units, batch_first=True)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def write() -> None:
        symbols, state = torch.zeros(rows, 1, dtype=torch.long), None
        for _ in range(length):
            y, state = layer(embedding(symbols), state)
            symbols = torch.multinomial(torch.softmax(head(y[:, -1]) / 0.8, -1), 1)

    return median(write, 5) / length


def run(engine: str, numbers: list[int]) -> float:
    """One engine's seconds, in this process."""
    if engine in ("train keras", "train lab"):
        import keras

        import lab

        return train_keras(keras.layers.LSTM if engine == "train keras" else lab.layers.LSTM, *numbers)
    known: dict[str, Callable[..., float]] = {
        "train torch": train_torch,
        "write lab": write_lab,
        "write predict": write_predict,
    }
    return {**known, "write torch": write_torch}[engine](*numbers)


def measured(engine: str, numbers: tuple[int, ...]) -> float:
    """One engine's seconds, in a process of its own."""
    python = str(OTHER) if engine.endswith("torch") else sys.executable
    module = [__file__] if engine.endswith("torch") else ["-m", "tests.bench_lstm"]
    command = [python, *module, engine, *map(str, numbers)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def compare(kind: str, rivals: tuple[str, ...], numbers: tuple[int, ...], per_second: int) -> None:
    """Prints a line: characters a second, and the time that ours takes as a share of each rival's."""
    names = [name for name in ("lab", *rivals) if name != "torch" or OTHER.exists()]
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            found[name].append(measured(f"{kind} {name}", numbers))
    said = [f"{name} {per_second / statistics.median(took):,.0f}" for name, took in found.items()]
    for name in names[1:]:
        pairs = [ours / theirs for ours, theirs in zip(found["lab"], found[name], strict=True)]
        said.append(f"time/{name} {statistics.median(pairs):.3f} ({min(pairs):.3f} to {max(pairs):.3f})")
    print(f"{kind} {'x'.join(map(str, numbers))}, characters a second:", "; ".join(said), flush=True)  # noqa: T201


def main() -> None:
    """Prints every line."""
    if not OTHER.exists():
        print("PyTorch is left out: `make bench only=lstm` makes .venv-bench for it")  # noqa: T201
    for numbers in TRAINING:
        compare("train", ("keras", "torch"), numbers, numbers[1] * numbers[2])
    for units, rows in WRITING:
        compare("write", ("predict", "torch"), (units, rows), rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(run(sys.argv[1], [int(number) for number in sys.argv[2:]]))  # noqa: T201
    else:
        main()
