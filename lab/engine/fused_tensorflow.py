"""Fused steps on TensorFlow: a compiled program that gathers its batches and runs them in a loop."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lab.data.batches import Batches
from lab.data.device import gather, to_device
from lab.engine.blocks import Block, blocks
from lab.engine.call import Call, Logs, Mode


class FusedTensorFlow:
    """Runs `model.steps_per_execution` steps in each call of one program.

    Full batches go through a loop. The smaller last batch of an epoch has a program of its own, or goes
    along with the others where a complete epoch is one call.

    Args:
        model: compiled and built.
        batches: the batches, of numbers.
        mode: `train` or `test`.
        loops: whether full batches go through a loop; otherwise each has a call, compiled for each shape.
        own_logs: whether the step returns logs of its own, rather than the model's metrics.
    """

    def __init__(self, model: keras.Model, batches: Batches, mode: Mode, *, loops: bool, own_logs: bool) -> None:
        self.model = model
        self.batches = batches
        self.step = model.train_step if mode == "train" else model.test_step
        self.per_call = int(model.steps_per_execution)
        self.loops = loops
        self.own_logs = own_logs
        self.parts = to_device(batches)
        joins = loops and 1 < batches.steps_per_epoch <= self.per_call
        self.last_size = batches.last_size if joins else 0  # of a last batch that goes along; 0: there is none
        self._programs: dict[tuple[int | None, int], Any] = {}
        self._loop = tf.function(self._run_loop, jit_compile=True, autograph=False)  # as Keras has it
        self._log_specs: Any = None

    def calls(self, epoch: int, start: int = 0) -> Iterator[Call]:
        """Yields the calls of an epoch, from the step `start` on."""
        for block in blocks(self.batches, epoch, start, self.per_call, loops=self.loops):
            yield Call(block.first, block.last, functools.partial(self._run, block))

    def _run(self, block: Block) -> Logs:
        logs: Logs = {}
        if self.own_logs and self._log_specs is None:
            self._log_specs = self._trace_step()
        looped, rest = block.looped, list(block.rest)
        joins = bool(self.last_size and rest)
        if looped is not None or joins:
            last = np.zeros((1, self.last_size), np.int32)
            if joins:
                last[0] = rest.pop()
            if looped is None:
                looped = np.zeros((self.per_call, self.batches.batch_size), np.int32)
            logs = self._loop(*map(tf.constant, (looped, block.full, last, int(joins))))
        for chosen in rest:
            logs = self._run_one(chosen)
        return logs

    def _run_loop(self, rows: Any, count: Any, last: Any, joins: Any) -> Any:
        logs = self._over(rows, count, self._no_logs())
        if self.last_size:
            logs = self._over(last, joins, logs)
        return logs if self.own_logs else self.model.get_metrics_result()

    def _over(self, rows: Any, count: Any, logs: Any) -> Any:
        def body(place: Any, logs: Any) -> tuple[Any, Any]:
            returned = self.step(gather(self.parts, rows[place]))
            return place + 1, _tensors(returned) if self.own_logs else logs

        return tf.while_loop(lambda place, _: place < count, body, (tf.constant(0), logs))[1]

    def _trace_step(self) -> Any:
        """Returns the shapes and dtypes of the logs; variables that the first step creates exist from then on."""
        program = tf.function(lambda chosen: _tensors(self.step(gather(self.parts, chosen))), autograph=False)
        return program.get_concrete_function(tf.TensorSpec([self.batches.batch_size], tf.int32)).structured_outputs

    def _no_logs(self) -> Any:
        """Zeros of the shape of the logs, for a loop to begin with."""
        if not self.own_logs:
            return {}
        return tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), self._log_specs)

    def _run_one(self, chosen: Any) -> Any:
        width, rows = self.batches.width(chosen), len(chosen)
        if (width, rows) not in self._programs:  # XLA compiles each shape anyway
            self._programs[width, rows] = tf.function(
                functools.partial(self._one, width=width),
                jit_compile=True,
                autograph=False,
                input_signature=[tf.TensorSpec([rows], tf.int32)],
            )
        return self._programs[width, rows](tf.constant(chosen))

    def _one(self, chosen: Any, width: int | None) -> Any:
        returned = self.step(gather(self.parts, chosen, width))
        return _tensors(returned) if self.own_logs else self.model.get_metrics_result()


def _tensors(logs: Any) -> Any:
    return tf.nest.map_structure(tf.convert_to_tensor, dict(logs))
