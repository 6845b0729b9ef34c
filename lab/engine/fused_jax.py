"""The fused loop on JAX, whose steps take the whole state and return the next."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.data.batches import Batches
from lab.data.device import gather, hold, tensors_of, with_tensors
from lab.data.ragged import Buckets
from lab.engine.feed import cut

if TYPE_CHECKING:
    import keras


def program_of(
    model: keras.Model, step: Callable[[Any, Any], Any], batches: Batches, steps: int, *, loops: bool
) -> Callable[[Any, Any], Any]:
    """Returns a function of a state and an iterator over blocks of indices: does the next block.

    Args:
        model: whose metrics it returns beside the next state; they are the last of that state.
        step: takes a state and a batch, and returns what it has to show and the next state.
        batches: what it gathers from.
        steps: the most batches in a block.
        loops: whether whole batches go through one program.
    """
    import jax
    import keras

    parts, size = hold(batches), batches.batch_size
    tensors = tensors_of(parts)

    def next_state(state: Any, tensors: Any, chosen: Any, width: int | None = None) -> Any:
        _, after = step(state, gather(with_tensors(parts, tensors), chosen, width))
        return jax.tree.map(lambda new, old: new.astype(old.dtype), tuple(map(list, after)), state)

    def shown(state: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(model.metrics_variables, state[-1], strict=True))):
            return model.get_metrics_result()

    @functools.partial(jax.jit, donate_argnums=0)
    def whole_batches(state: Any, tensors: Any, block: Any, count: Any) -> Any:
        state = jax.lax.fori_loop(0, count, lambda place, now: next_state(now, tensors, block[place]), state)
        return shown(state), state

    @functools.partial(jax.jit, donate_argnums=0, static_argnums=3)
    def one_batch(state: Any, tensors: Any, chosen: Any, width: int | None) -> Any:
        state = next_state(state, tensors, chosen, width)
        return shown(state), state

    given_batch = jax.jit(step, donate_argnums=0)

    def run(state: Any, iterator: Any) -> Any:
        chosen, metrics = next(iterator), None
        if isinstance(chosen, tuple):  # of a callback that evaluates other examples
            for batch in itertools.chain([chosen], itertools.islice(iterator, steps - 1)):
                metrics, state = given_batch(state, batch)
            return metrics, state
        block, whole, rest = cut(np.asarray(chosen), size, steps, loops=loops)
        state = tuple(map(list, state))
        if block is not None:
            metrics, state = whole_batches(state, tensors, block, whole)
        for batch in rest:
            width = batches.split.x.width(batch) if isinstance(batches, Buckets) else None
            metrics, state = one_batch(state, tensors, batch, width)
        return metrics, state

    return run
