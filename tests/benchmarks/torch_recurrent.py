"""Engines for recurrent layers alone, and for writing, in PyTorch. Nothing here imports the lab."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.torch_models import give, load_weights
from tests.benchmarks.worker import Turns

STEPS, WRITTEN = 4, 320


def layers(turns: Turns) -> None:
    """One step forwards and backwards through two layers."""
    x = torch.from_numpy(np.load(turns.folder / "x.npy")).requires_grad_()
    layer = nn.LSTM(x.shape[2], int(turns.options["units"]), num_layers=2, batch_first=True)
    give([layer], load_weights(turns.folder))
    for _ in range(turns.count):
        turns.begin()
        for _ in range(STEPS):
            layer.zero_grad()
            x.grad = None
            loss = layer(x)[0].square().mean()
            loss.backward()
            value = float(loss.detach())
        turns.end(loss=value, steps=STEPS)


def _step_of_layer(units: int, symbols: int, weights: list[torch.Tensor]) -> Any:
    embedding, layer, head = (
        nn.Embedding(symbols, units),
        nn.LSTM(units, units, batch_first=True),
        nn.Linear(units, symbols),
    )
    give([embedding, layer, head], weights)

    def step(now: torch.Tensor, state: Any) -> Any:
        y, state = layer(embedding(now)[:, None], state)
        return head(y[:, -1]), state

    return step


def _step_of_cell(units: int, symbols: int, weights: list[torch.Tensor]) -> Any:
    embedding, cell, head = nn.Embedding(symbols, units), nn.LSTMCell(units, units), nn.Linear(units, symbols)
    give([embedding], weights[:1])
    give([head], weights[4:])
    with torch.no_grad():
        for name, value in (("weight_ih", weights[1].T), ("weight_hh", weights[2].T), ("bias_ih", weights[3])):
            getattr(cell, name).copy_(value)
        cell.bias_hh.zero_()

    def step(now: torch.Tensor, state: Any) -> Any:
        state = cell(embedding(now), state)
        return head(state[0]), state

    return step


@torch.inference_mode()  # type: ignore[untyped-decorator]
def write(turns: Turns) -> None:
    """A step at a time from the state: `nn.LSTM`, or `nn.LSTMCell`, which may be compiled."""
    units, symbols, rows = (int(turns.options[name]) for name in ("units", "symbols", "rows"))
    make = _step_of_cell if turns.options.get("cell") else _step_of_layer
    step = make(units, symbols, load_weights(turns.folder))

    def drawn(now: torch.Tensor, state: Any) -> Any:
        logits, state = step(now, state)
        return torch.multinomial(torch.softmax(logits / 0.8, -1), 1)[:, 0], state

    if turns.options.get("compile"):
        drawn = torch.compile(drawn, dynamic=False)
    zeros = torch.zeros(rows, units)
    first = (zeros, zeros) if turns.options.get("cell") else None
    read = torch.from_numpy(np.load(turns.folder / "read.npy"))
    state, lost = first, 0.0
    for now, following in itertools.pairwise(read):
        logits, state = step(now.repeat(rows), state)
        lost += float(functional.cross_entropy(logits[:1], following[None]))
    for _ in range(turns.count):
        turns.begin()
        now, state = torch.zeros(rows, dtype=torch.long), first
        for _ in range(WRITTEN):
            now, state = drawn(now, state)
        turns.end(per=WRITTEN, loss=lost / (len(read) - 1))
