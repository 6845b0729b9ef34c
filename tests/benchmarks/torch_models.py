"""The rows' networks in PyTorch, with the weights that Keras has drawn. Nothing here imports the lab."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def load_weights(folder: Path) -> list[torch.Tensor]:
    """Returns the first weights, in Keras's order."""
    found = np.load(folder / "weights.npz")
    return [torch.from_numpy(found[f"w{place}"]) for place in range(len(found.files))]


@torch.no_grad()  # type: ignore[untyped-decorator]
def give(modules: Any, weights: list[torch.Tensor]) -> None:
    """Copies Keras's weights into modules that stand in the same order."""
    left = iter(weights)
    for module in modules:
        if isinstance(module, nn.Linear):
            module.weight.copy_(next(left).T)
            if module.bias is not None:
                module.bias.copy_(next(left))
        elif isinstance(module, nn.BatchNorm1d):
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(module, name).copy_(next(left))
        elif isinstance(module, nn.Embedding):
            module.weight.copy_(next(left))
        elif isinstance(module, nn.LSTM):
            ways = ("", "_reverse") if module.bidirectional else ("",)
            for name in [f"_l{layer}{way}" for layer in range(module.num_layers) for way in ways]:
                getattr(module, f"weight_ih{name}").copy_(next(left).T)
                getattr(module, f"weight_hh{name}").copy_(next(left).T)
                getattr(module, f"bias_ih{name}").copy_(next(left))
                getattr(module, f"bias_hh{name}").zero_().requires_grad_(False)  # Keras has one bias, this two
    if next(left, None) is not None:
        raise ValueError("the model of Keras has more weights than this one")


class Dense(nn.Module):  # type: ignore[misc]  # PyTorch is not there for the type checker
    """The autoencoder: logits of 784 pixels for an image; with noise on what comes in where it is asked for."""

    def __init__(self, hidden: tuple[int, ...], code: int, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise
        layers: list[Any] = []
        wide = 784
        for widths, end in ((hidden, code), (hidden[::-1], 784)):
            for width in widths:
                layers += [nn.Linear(wide, width, bias=False), nn.BatchNorm1d(width, 1e-3, 0.02), nn.GELU()]
                wide = width
            layers.append(nn.Linear(wide, end))
            wide = end
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.noise and self.training:
            x = (x + self.noise * torch.randn_like(x)).clamp(0, 1)
        return self.layers(x)


class Characters(nn.Module):  # type: ignore[misc]
    """Embedding, two LSTM layers, logits."""

    def __init__(self, symbols: int, units: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, units)
        self.lstm = nn.LSTM(units, units, num_layers=2, batch_first=True)
        self.logits = nn.Linear(units, symbols)

    def forward(self, symbols: torch.Tensor) -> torch.Tensor:
        return self.logits(self.lstm(self.embedding(symbols))[0])


class Sentiment(nn.Module):  # type: ignore[misc]
    """The sentiment classifier: segments through a bidirectional LSTM, pooled over all words."""

    def __init__(self, words: int, wide: int, told: dict[str, Any]) -> None:
        super().__init__()
        self.told = told
        self.embedding = nn.Embedding(words, wide)
        self.lstm = nn.LSTM(wide, told["units"], batch_first=True, bidirectional=True)
        self.logit = nn.Linear(4 * told["units"], 1)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        told, (rows, steps) = self.told, words.shape
        x = self.embedding(words)
        x = x * functional.dropout(torch.ones(rows, steps, 1), told["word_dropout"], self.training)
        x = x * functional.dropout(torch.ones(rows, 1, x.shape[2]), told["embedding_dropout"], self.training)
        x = self.lstm(x.view(-1, told["segment"], x.shape[2]))[0].reshape(rows, steps, -1)
        keep = (words != 0).unsqueeze(2)
        greatest = x.masked_fill(~keep, -1e4).amax(1)
        mean = x.masked_fill(~keep, 0).sum(1) / keep.sum(1).clamp(min=1)
        return self.logit(functional.dropout(torch.cat([greatest, mean], 1), told["dropout"], self.training))


class Task:
    """A network, its loss, its optimizer and the batches of each turn.

    Args:
        folder: what `prepare` has written.
        task: its name.
    """

    def __init__(self, folder: Path, task: str) -> None:
        self.folder, self.task = folder, task
        self.told = json.loads((folder / "told.json").read_text())
        weights = load_weights(folder)
        self.model: Any
        self.schedule: Any = None
        self.averages: list[Any] = []
        self.ready: list[Any] = []  # batches that are made already, where their widths differ
        if task == "characters":
            self.model = Characters(*weights[0].shape)
        elif task == "sentiment":
            self.model = Sentiment(weights[0].shape[0], weights[0].shape[1], self.told)
        else:
            sizes = {"small": ((), 32), "deep": ((512, 256), 32), "denoising": ((1024,), 256, 0.5)}
            self.model = Dense(*sizes[task])  # type: ignore[arg-type]
        give(self.model.modules(), weights)
        self._load()
        self._optimize()

    def _load(self) -> None:
        arrays = np.load(self.folder / "data.npz")
        if self.task == "sentiment":
            count = len(arrays.files) // 2
            self.ready = [tuple(torch.from_numpy(arrays[f"{part}{place}"]) for part in "xy") for place in range(count)]
            self.steps = int(self.told["steps"])
            return
        self.x = torch.from_numpy(arrays["x"])
        if self.task == "characters":
            self.x, self.y = self.x.long(), torch.from_numpy(arrays["y"]).long()
        else:
            self.x = self.y = self.x.reshape(len(self.x), -1)
        self.order = torch.from_numpy(np.load(self.folder / "order.npy"))
        self.steps = -(-len(self.x) // self.told["batch"])

    def _optimize(self) -> None:
        parameters, told = [one for one in self.model.parameters() if one.requires_grad], self.told
        if self.task != "sentiment":
            self.optimizer = torch.optim.Adam(parameters, told["learning_rate"], eps=told["epsilon"], fused=True)
            return
        betas = (told["beta_1"], told["beta_2"])
        rest = {"eps": told["epsilon"], "weight_decay": told["weight_decay"], "fused": True}
        self.optimizer = torch.optim.AdamW(parameters, told["learning_rate"], betas, **rest)
        warm, count = told["warmup"], told["total"]
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: step / warm if step < warm else 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (count - warm)),
        )
        self.averages = [parameter.detach().clone() for parameter in parameters]

    def chosen(self, turn: int) -> Iterator[torch.Tensor]:
        """Yields the indices of a turn's batches."""
        return iter(self.order[turn].split(self.told["batch"]))

    def batches(self, turn: int) -> Iterator[tuple[Any, ...]]:
        """Yields the batches of a turn, in the order that the lab has."""
        if self.task == "sentiment":
            yield from self.ready[turn * self.steps : (turn + 1) * self.steps]
            return
        for indices in self.chosen(turn):
            x = self.x[indices]
            yield x, (x if self.y is self.x else self.y[indices])

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Returns the mean loss of a batch."""
        said = self.model(x)
        if self.task == "characters":
            return functional.cross_entropy(said.flatten(0, 1), y.flatten())
        return functional.binary_cross_entropy_with_logits(said, y)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def average(self) -> None:
        """Moves the averages of the weights, where the task keeps them."""
        if self.averages:
            now = [parameter.detach() for parameter in self.model.parameters() if parameter.requires_grad]
            torch._foreach_lerp_(self.averages, now, 1 - self.told["ema"])
