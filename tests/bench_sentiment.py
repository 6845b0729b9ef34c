"""How fast the sentiment classifier trains, against the same model in PyTorch: `make bench only=sentiment`.

Both train the default model of `experiments/sentiment_analysis.py` from the same weights on the same
batches of similar length, a third of an epoch of IMDB's reviews, with the same rates of dropout, AdamW
and a moving average of the weights; each in a process of its own, in turn, several times over. The
first pass is for compiling and not counted. PyTorch (`.venv-bench`) has oneDNN's `nn.LSTM` over the
same segments of 50 words, so that no word of padding is read beyond a batch's own, and the fused AdamW.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

OTHER = Path(".venv-bench/bin/python")
SHARE, PASSES, ROUNDS = 3, 2, 3


def prepare(folder: Path) -> None:
    """Writes what both train on: batches, the first weights, the settings."""
    import keras
    import numpy as np

    import lab
    from experiments.sentiment_analysis import SentimentAnalysis
    from lab.fitting import batches_for

    experiment = SentimentAnalysis()
    trainer = lab.Trainer().resolve(experiment)
    data = experiment.prepare()
    data = data.head(len(data.train) // SHARE)
    keras.utils.set_random_seed(0)
    model = experiment.build(data)
    train, _ = batches_for(trainer, data)
    batches = [batch for epoch in range(1 + PASSES) for batch in train.epoch(epoch)]
    arrays = {f"x{place}": batch[0] for place, batch in enumerate(batches)}
    arrays |= {f"y{place}": batch[1] for place, batch in enumerate(batches)}
    arrays |= {f"w{place}": weight for place, weight in enumerate(model.get_weights())}
    np.savez(folder / "data.npz", **arrays)
    model.save_weights(folder / "first.weights.h5")
    optimizer = model.optimizer.get_config()
    told = {name: getattr(experiment.settings, name) for name in type(experiment.settings).model_fields}
    told |= {name: optimizer[name] for name in ("learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay")}
    told |= {"warmup": trainer.warmup_steps, "ema": trainer.ema_momentum, "batches": len(batches)}
    (folder / "settings.json").write_text(json.dumps({name: str(value) for name, value in told.items()}))


def train_lab(folder: Path) -> tuple[float, float]:
    """Seconds a pass, and the loss of the last."""
    import keras

    import lab
    from experiments.sentiment_analysis import SentimentAnalysis
    from lab import backend
    from lab.callbacks import Averages
    from lab.data.feed import fused
    from lab.fitting import batches_for, prepare_model
    from lab.optimization import configure

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = time.perf_counter()

        def on_test_begin(self, logs: Any = None) -> None:
            took.append(time.perf_counter() - self.began)

    took: list[float] = []
    backend.select(None)
    experiment = SentimentAnalysis()
    trainer = lab.Trainer().resolve(experiment)
    data = experiment.prepare()
    data = data.head(len(data.train) // SHARE)
    model = experiment.build(data)
    model.load_weights(folder / "first.weights.h5")
    train, validation = batches_for(trainer, data)
    configure(model, trainer, (1 + PASSES) * train.steps_per_epoch)
    prepare_model(model, trainer, [])
    validation.steps_per_epoch = 1  # only the training is timed
    with fused(model, train, validation):
        fitted = model.fit(
            train.feed(),
            validation_data=validation.feed(),
            epochs=1 + PASSES,
            callbacks=[Averages(), Clock()],
            verbose=0,
        )
    return statistics.median(took[1:]), fitted.history["loss"][-1]


def train_torch(folder: Path) -> tuple[float, float]:
    """The same in PyTorch."""
    import numpy as np
    import torch
    from torch.nn import functional

    told = json.loads((folder / "settings.json").read_text())
    number = {name: float(value) for name, value in told.items() if value.replace(".", "").replace("e-", "").isdigit()}
    segment, units, count = int(number["segment"]), int(number["units"]), int(number["batches"])
    with np.load(folder / "data.npz") as file:
        weights = [torch.tensor(file[f"w{place}"]) for place in range(9)]
        data = [(torch.tensor(file[f"x{k}"]).long(), torch.tensor(file[f"y{k}"])) for k in range(count)]

    class Model(torch.nn.Module):  # type: ignore[misc]  # PyTorch is not there for the type checker
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding.from_pretrained(weights[0], freeze=False)
            self.lstm = torch.nn.LSTM(weights[0].shape[1], units, batch_first=True, bidirectional=True)
            self.logit = torch.nn.Linear(4 * units, 1)
            with torch.no_grad():
                for place, way in ((1, ""), (4, "_reverse")):
                    getattr(self.lstm, f"weight_ih_l0{way}").copy_(weights[place].T)
                    getattr(self.lstm, f"weight_hh_l0{way}").copy_(weights[place + 1].T)
                    getattr(self.lstm, f"bias_ih_l0{way}").copy_(weights[place + 2])
                    getattr(self.lstm, f"bias_hh_l0{way}").zero_()
                self.logit.weight.copy_(weights[7].T)
                self.logit.bias.copy_(weights[8])

        def forward(self, words: torch.Tensor) -> torch.Tensor:
            rows, steps = words.shape
            x = self.embedding(words)
            x = x * functional.dropout(torch.ones(rows, steps, 1), number["word_dropout"])
            x = x * functional.dropout(torch.ones(rows, 1, x.shape[2]), number["embedding_dropout"])
            x = self.lstm(x.view(-1, segment, x.shape[2]))[0].reshape(rows, steps, 2 * units)
            keep = (words != 0).unsqueeze(2)
            greatest = x.masked_fill(~keep, -1e4).amax(1)
            mean = x.masked_fill(~keep, 0).sum(1) / keep.sum(1).clamp(min=1)
            pooled = functional.dropout(torch.cat([greatest, mean], 1), number["dropout"])
            return self.logit(pooled)

    model = Model()
    parameters = list(model.parameters())
    averages = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.AdamW(
        parameters,
        number["learning_rate"],
        (number["beta_1"], number["beta_2"]),
        number["epsilon"],
        number["weight_decay"],
        fused=True,
    )
    warmup = number["warmup"]
    rate = lambda step: (  # noqa: E731
        step / warmup if step < warmup else 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (count - warmup))
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    took, a_pass = [], count // (1 + PASSES)
    for begin in range(0, count, a_pass):
        began, total = time.perf_counter(), torch.zeros(())
        for words, labels in data[begin : begin + a_pass]:
            optimizer.zero_grad(set_to_none=True)
            loss = functional.binary_cross_entropy_with_logits(model(words), labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            torch._foreach_lerp_(averages, [one.detach() for one in parameters], 1 - number["ema"])
            total += loss.detach()
        took.append(time.perf_counter() - began)
    return statistics.median(took[1:]), float(total) / a_pass


def measured(engine: str, folder: str) -> tuple[float, float]:
    """One engine's seconds and loss, in a process of its own."""
    command = [str(OTHER), __file__] if engine == "torch" else [sys.executable, "-m", "tests.bench_sentiment"]
    done = subprocess.run([*command, engine, folder], capture_output=True, text=True, check=True)
    seconds, loss = done.stdout.split()[-2:]
    return float(seconds), float(loss)


def main() -> None:
    """Prints both, and the ratio pair by pair."""
    if not OTHER.exists():
        print("PyTorch is missing: `make bench only=sentiment` makes .venv-bench for it")  # noqa: T201
        raise SystemExit(1)
    found: dict[str, list[tuple[float, float]]] = {"lab": [], "torch": []}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "tests.bench_sentiment", "prepare", folder], capture_output=True, check=True
        )
        for _ in range(ROUNDS):
            for engine, results in found.items():
                results.append(measured(engine, folder))
    for engine, results in found.items():
        seconds = statistics.median(seconds for seconds, _ in results)
        loss = statistics.median(loss for _, loss in results)
        print(f"sentiment, a third of an epoch: {engine} {seconds:.1f} s, last loss {loss:.3f}")  # noqa: T201
    pairs = [ours / theirs for (ours, _), (theirs, _) in zip(found["lab"], found["torch"], strict=True)]
    said = f"{statistics.median(pairs):.3f} ({min(pairs):.3f} to {max(pairs):.3f})"
    print(f"sentiment, time lab/torch {said}")  # noqa: T201
    losses = [statistics.median(loss for _, loss in found[engine]) for engine in ("lab", "torch")]
    if abs(losses[0] - losses[1]) > 0.1 * max(losses):
        print("the losses differ: the two do not train the same model")  # noqa: T201
        raise SystemExit(1)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]))
    elif len(sys.argv) == 3:
        print(*{"lab": train_lab, "torch": train_torch}[sys.argv[1]](Path(sys.argv[2])))  # noqa: T201
    else:
        main()
