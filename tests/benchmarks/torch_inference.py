"""Engines that only look, in PyTorch and Lightning. Nothing here imports the lab."""

from __future__ import annotations

import json
import logging
import warnings
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from tests.benchmarks.torch_models import Dense, Sentiment, give, load_weights
from tests.benchmarks.worker import Turns

DIGITS, REVIEWS = 1000, 64  # rows of a batch


def _network(turns: Turns) -> Any:
    told = json.loads((turns.folder / "told.json").read_text())
    weights = load_weights(turns.folder)
    reviews = turns.options["task"] == "reviews"
    model: Any = Sentiment(weights[0].shape[0], weights[0].shape[1], told) if reviews else Dense((512, 256), 32)
    give(model.modules(), weights)
    return model.eval()


def _batches(turns: Turns) -> tuple[list[Any], Any]:
    """Batches of inputs, and how their results go back into the order of the examples; reviews go by length."""
    arrays = np.load(turns.folder / "data.npz")
    x = torch.from_numpy(arrays["x"])
    if turns.options["task"] == "digits":
        return list(x.reshape(len(x), -1).split(DIGITS)), torch.arange(len(x))
    segment = json.loads((turns.folder / "told.json").read_text())["segment"]
    order = torch.from_numpy(arrays["lengths"]).argsort()
    batches = []
    for chosen in order.split(REVIEWS):
        width = -(-int(arrays["lengths"][chosen.numpy()].max()) // segment) * segment
        batches.append(x[chosen, : max(width, segment)])
    return batches, order


def _loss(said: Any, turns: Turns) -> float:
    if turns.options["task"] == "reviews":
        return float(functional.softplus(said.double()).mean())
    x = torch.from_numpy(np.load(turns.folder / "data.npz")["x"]).reshape(len(said), -1)
    return float((said - x).square().mean())


@torch.inference_mode()  # type: ignore[untyped-decorator]
def plain(turns: Turns) -> None:
    """A loop over batches."""
    model, digits = _network(turns), turns.options["task"] == "digits"
    call = torch.compile(model, dynamic=False) if turns.options.get("compile") else model
    for _ in range(turns.count):
        turns.begin()
        batches, order = _batches(turns)
        found = torch.cat([torch.sigmoid(call(x)) if digits else call(x) for x in batches])
        said = torch.empty_like(found)
        said[order] = found
        turns.stop()
        turns.end(loss=_loss(said, turns))


def lightning(turns: Turns) -> None:
    """`Trainer.predict`."""
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    digits = turns.options["task"] == "digits"

    class Module(lightning.LightningModule):  # type: ignore[misc]  # Lightning is not there for the type checker
        def __init__(self) -> None:
            super().__init__()
            self.model = _network(turns)

        def predict_step(self, x: Any, place: int) -> Any:
            return torch.sigmoid(self.model(x)) if digits else self.model(x)

    module = Module()
    for _ in range(turns.count):
        turns.begin()
        batches, order = _batches(turns)
        trainer = lightning.Trainer(accelerator="cpu", barebones=True)
        loader = torch.utils.data.DataLoader(batches, batch_size=None)
        found = torch.cat(trainer.predict(module, loader))
        said = torch.empty_like(found)
        said[order] = found
        turns.stop()
        turns.end(loss=_loss(said, turns))
