"""Fused steps on JAX: a compiled program that takes the state of the model and returns the next."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import keras

from lab.data.batches import Batches
from lab.data.device import gather, tensors_of, to_device, with_tensors
from lab.engine.blocks import Block, blocks
from lab.engine.call import Call, Logs, Mode
from lab.engine.jax_state import put_state, take_state


class FusedJax:
    """Runs `model.steps_per_execution` steps in each call of one program; arguments as for TensorFlow."""

    def __init__(self, model: keras.Model, batches: Batches, mode: Mode, *, loops: bool, own_logs: bool) -> None:
        self.model = model
        self.batches = batches
        self.training = mode == "train"
        self.step = model.train_step if self.training else model.test_step
        self.per_call = int(model.steps_per_execution)
        self.loops = loops
        self.own_logs = own_logs
        self.parts = to_device(batches)
        self.tensors = tensors_of(self.parts)
        self._loop = jax.jit(self._run_loop, donate_argnums=0)
        self._one = jax.jit(self._run_one, donate_argnums=0, static_argnums=3)

    def calls(self, epoch: int, start: int = 0) -> Iterator[Call]:
        """Yields the calls of an epoch, from the step `start` on."""
        for block in blocks(self.batches, epoch, start, self.per_call, loops=self.loops):
            yield Call(block.first, block.last, functools.partial(self._run, block))

    def _run(self, block: Block) -> Logs:
        state, logs = take_state(self.model, training=self.training), {}
        if block.looped is not None:
            logs, state = self._loop(state, self.tensors, block.looped, block.full)
        for chosen in block.rest:
            logs, state = self._one(state, self.tensors, chosen, self.batches.width(chosen))
        put_state(self.model, state, training=self.training)
        return dict(logs)

    def _next(self, state: Any, tensors: Any, chosen: Any, width: int | None = None) -> tuple[Any, Any]:
        logs, after = self.step(state, gather(with_tensors(self.parts, tensors), chosen, width))
        return dict(logs), jax.tree.map(lambda new, old: new.astype(old.dtype), tuple(map(list, after)), state)

    def _run_loop(self, state: Any, tensors: Any, rows: Any, count: Any) -> tuple[Any, Any]:
        logs: Any = {}
        if self.own_logs:
            shapes, _ = jax.eval_shape(self._next, state, tensors, rows[0])
            logs = jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), shapes)

        def body(place: Any, now: Any) -> Any:
            returned, after = self._next(now[1], tensors, rows[place])
            return (returned if self.own_logs else logs), after

        logs, state = jax.lax.fori_loop(0, count, body, (logs, state))
        return self._shown(logs, state), state

    def _run_one(self, state: Any, tensors: Any, chosen: Any, width: int | None) -> tuple[Any, Any]:
        logs, state = self._next(state, tensors, chosen, width)
        return self._shown(logs, state), state

    def _shown(self, logs: Any, state: Any) -> Any:
        if self.own_logs:
            return logs
        mapping = list(zip(self.model.metrics_variables, state[-1], strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return self.model.get_metrics_result()
