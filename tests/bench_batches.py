"""How long an epoch takes when batches are fed by the lab, against `Model.fit` on arrays.

    make bench

An autoencoder 784-32-784 on 55,000 images of MNIST's shape, batches of 256: epochs of both in turn,
after one of each for compiling; medians, spread and the ratio pair by pair. Both sides train the same
model from the same weights on the same number of examples, and must reach the same loss.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import lab
from lab import backend

PAIRS, EXAMPLES, BATCH = 9, 55_000, 256


def build() -> Any:
    """Returns the model of https://blog.keras.io/building-autoencoders-in-keras.html, freshly seeded."""
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.Input((784,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(784, "sigmoid")]
    model = keras.Sequential(layers)
    model.compile("adam", "binary_crossentropy")
    return model


class _Epoch:
    """Times one epoch from its beginning to its end, without what `fit` does once a call."""

    def __init__(self) -> None:
        import keras

        self.seconds = 0.0
        began = [0.0]

        def end(epoch: int, logs: Any) -> None:
            self.seconds = time.perf_counter() - began[0]

        def begin(epoch: int, logs: Any) -> None:
            began[0] = time.perf_counter()

        self.callback = keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)


def main() -> None:
    """Runs the pairs and prints the table; the last line is JSON."""
    backend.select(None)
    from lab.data.feed import fused
    from lab.fitting import prepare_model

    x = np.random.default_rng(0).random((EXAMPLES, 784), np.float32) ** 4
    batches = lab.Batches(lab.Split("train", x, x), BATCH)
    plain, fed = build(), build()
    prepare_model(fed, lab.Trainer(), [])
    seconds: dict[str, list[float]] = {"fit on arrays": [], "fit on lab.Batches": []}
    losses = dict.fromkeys(seconds, 0.0)
    with fused(fed, batches, batches):
        feed = batches.feed()
        for epoch in range(PAIRS + 1):
            batches.seek(epoch)
            for name, model, inputs in (("fit on arrays", plain, (x, x)), ("fit on lab.Batches", fed, (feed,))):
                timer = _Epoch()
                history = model.fit(*inputs, batch_size=BATCH, verbose=0, callbacks=[timer.callback]).history
                losses[name] = history["loss"][0]
                seconds[name].append(timer.seconds)
    arrays, ours = (values[1:] for values in seconds.values())
    ratios = [mine / theirs for mine, theirs in zip(ours, arrays, strict=True)]
    table = Table("", "median s", "min", "max", "loss", title=f"An epoch of 784-32-784, {PAIRS} pairs")
    for name, values in seconds.items():
        numbers = [f"{value:.3f}" for value in (statistics.median(values[1:]), min(values[1:]), max(values[1:]))]
        table.add_row(name, *numbers, f"{losses[name]:.4f}")
    console = Console()
    console.print(table)
    result = {"ratio_median": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios)}
    console.print(json.dumps(result | {"losses": list(losses.values())}), soft_wrap=True)
    gap = abs(losses["fit on arrays"] - losses["fit on lab.Batches"])
    if gap > 1e-3:
        raise SystemExit(f"expected the same loss on both sides, they differ by {gap:.5f}")


if __name__ == "__main__":
    main()
