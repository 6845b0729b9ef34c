"""Writing with a recurrent network: one symbol at a time, from its state, in one compiled loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.data import Array
from lab.engine.compiled import compiled
from lab.errors import ModelError, UsageError

if TYPE_CHECKING:
    import keras

CHUNK = 64  # steps in one call of the compiled loop
SAMPLE = -1  # the "forced" symbol of a step whose symbol is drawn


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next symbol is chosen.

    Args:
        temperature: the logits are divided by it; 0 takes the most likely symbol. One number, or one a row.
        top_k: only the so many most likely symbols (Fan, Lewis and Dauphin, 2018); None: all.
        top_p: only the most likely symbols that together have this probability (Holtzman et al., 2020).
        seed: the same seed draws the same symbols.

    Raises:
        UsageError: a value is out of bounds.
    """

    temperature: float | Sequence[float] = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        temperatures = np.atleast_1d(np.asarray(self.temperature, np.float64))
        if not (np.isfinite(temperatures) & (temperatures >= 0)).all():
            raise UsageError(f"temperature={self.temperature}: expected numbers of 0 or more")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k={self.top_k}: expected a whole number of 1 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top_p={self.top_p}: expected a number above 0, at most 1")
        if not 0 <= self.seed < 2**64:
            raise UsageError(f"seed={self.seed}: expected a whole number from 0 to 2**64 - 1")


@dataclasses.dataclass(frozen=True)
class Steps:
    """What a number of steps gave; every array has the shape (rows, steps), `cells` (rows, steps, units).

    Args:
        symbols: what was read or drawn.
        log_probability: of each, in nats, as the network sees it (temperature 1, nothing left out).
        entropy: of the distribution that each was drawn from, in nats.
        cells: the last recurrent layer's state after each step; None unless asked for.
        probabilities: of every symbol before each step, (rows, steps, symbols); None unless asked for.
    """

    symbols: Array
    log_probability: Array
    entropy: Array
    cells: Array | None = None
    probabilities: Array | None = None


class Generator:
    """A network over symbols, run step by step for many rows at once, on whichever backend.

    It takes any model that is a chain of layers: an embedding first, recurrent layers that have a
    `cell`, dropout, and layers that treat each step alike, such as `Dense`; the last gives logits. A
    step costs what the cells cost: the past is in the state and never read again.

    Args:
        model: the chain; its own carried state is not touched.
        rows: texts side by side.
        never: symbols that are never drawn, such as the one for what is unknown.

    Raises:
        ModelError: the model is no such chain.
    """

    def __init__(self, model: keras.Model, rows: int = 1, never: Sequence[int] = ()) -> None:
        self.layers = chain(model)
        self.rows = rows
        self.size = int(model.output_shape[-1])
        allowed = np.zeros(self.size, np.float32)
        allowed[list(never)] = -1e9
        self._allowed = allowed
        self._first = next(place for place, layer in enumerate(self.layers) if hasattr(layer, "cell"))
        self._folds = _is_plain_lstm(self.layers[self._first])
        self._compiled: dict[tuple[bool, bool, bool, bool], Callable[..., Any]] = {}
        self.reset()

    def reset(self) -> None:
        """Begins new texts: the states are zero, and no symbol is likelier than another."""
        import keras

        shapes = [layer.cell.state_size for layer in self.layers if hasattr(layer, "cell")]
        self._states: Any = [
            [
                np.zeros((self.rows, size), "float32")
                for size in (shape if isinstance(shape, (list, tuple)) else [shape])
            ]
            for shape in shapes
        ]
        self._states = keras.tree.map_structure(keras.ops.convert_to_tensor, self._states)
        self._logits: Any = keras.ops.zeros((self.rows, self.size), "float32")

    def read(self, symbols: Array, *, cells: bool = False, probabilities: bool = False) -> Steps:
        """Reads symbols (rows, steps) and goes on from there."""
        symbols = np.asarray(symbols, np.int32).reshape(self.rows, -1)
        return join(list(self._run(symbols, Sampling(), cells=cells, probabilities=probabilities)))

    def write(self, length: int, sampling: Sampling) -> Iterator[Steps]:
        """Draws `length` symbols for each row, and yields them as they come, some at a time."""
        if length < 0:
            raise UsageError(f"length={length}: expected a whole number of 0 or more")
        yield from self._run(np.full((self.rows, length), SAMPLE, np.int32), sampling)

    def _run(
        self, forced: Array, sampling: Sampling, *, cells: bool = False, probabilities: bool = False
    ) -> Iterator[Steps]:
        temperature = np.broadcast_to(np.asarray(sampling.temperature, np.float32), (self.rows,))
        top_k = min(sampling.top_k or self.size, self.size)
        top_p = 1.0 if sampling.top_p is None else sampling.top_p
        narrow = top_k < self.size or top_p < 1
        key = (narrow, bool((temperature == 0).any()), cells, probabilities)
        if key not in self._compiled:
            variables = [variable for layer in self.layers for variable in layer.variables]
            self._compiled[key] = compiled(self._loop(*key), variables)
        rng, table = np.random.Generator(np.random.Philox(key=sampling.seed)), self._table()
        length = forced.shape[1]
        for start in range(0, length, CHUNK):
            part = forced[:, start : start + CHUNK]
            count = part.shape[1]
            steps = np.zeros((CHUNK, self.rows), np.int32)
            steps[:count] = part.T
            drawn = rng.random((CHUNK, self.rows), np.float32)
            rest = (steps, drawn, np.int32(count), temperature, np.int32(top_k), np.float32(top_p))
            state, found = self._compiled[key](self._logits, self._states, table, *rest)
            self._logits, self._states = state
            found = [np.moveaxis(np.asarray(_numpy(one))[:count], 0, 1) for one in found]
            symbols, log_probability, entropy, *more = found
            inside = more.pop(0) if cells else None
            yield Steps(symbols, log_probability, entropy, inside, more.pop(0) if probabilities else None)

    def _loop(self, narrow: bool, cold: bool, cells: bool, probabilities: bool) -> Callable[..., Any]:
        """The compiled loop; `cold` says whether a temperature may be 0."""
        from keras import ops

        def loop(
            logits: Any,
            states: Any,
            table: Any,
            forced: Any,
            drawn: Any,
            count: Any,
            temperature: Any,
            top_k: Any,
            top_p: Any,
        ) -> Any:
            frozen = temperature == 0
            heat = ops.expand_dims(ops.where(frozen, ops.ones_like(temperature), temperature), 1)

            def step(place: Any, logits: Any, states: Any, written: Any) -> Any:
                given, uniform = forced[place], drawn[place]
                natural = ops.log_softmax(logits)
                kept = logits / heat + self._allowed
                if narrow:
                    kept = _narrowed(kept, top_k, top_p)
                chosen = ops.softmax(kept)
                ladder = ops.cumsum(chosen, axis=1)
                rung = ops.expand_dims(uniform, 1) * ladder[:, -1:]  # the sum is not quite 1
                picked = ops.minimum(ops.sum(ops.cast(ladder <= rung, "int32"), axis=1), self.size - 1)
                entropy = -ops.sum(chosen * ops.log(ops.maximum(chosen, 1e-30)), axis=1)
                if cold:
                    picked = ops.where(frozen, ops.cast(ops.argmax(kept, axis=1), "int32"), picked)
                    entropy = ops.where(frozen, ops.zeros_like(entropy), entropy)
                symbols = ops.where(given < 0, picked, given)
                surprise = ops.take_along_axis(natural, ops.expand_dims(symbols, 1), axis=1)[:, 0]
                after = self._step(ops.take(table, symbols, axis=0), states)
                found = [symbols, surprise, entropy, *([after[1][-1][-1]] if cells else [])]
                found += [ops.exp(natural)] if probabilities else []
                starts = [[place, *[0] * len(one.shape)] for one in found]
                written = [
                    ops.slice_update(array, start, ops.expand_dims(one, 0))
                    for array, start, one in zip(written, starts, found, strict=True)
                ]
                return place + 1, *after, written

            shapes: list[tuple[tuple[int, ...], str]] = [((), "int32"), ((), "float32"), ((), "float32")]
            shapes += [((int(states[-1][-1].shape[-1]),), "float32")] if cells else []
            shapes += [((self.size,), "float32")] if probabilities else []
            written = [ops.zeros((CHUNK, self.rows, *shape), dtype) for shape, dtype in shapes]
            start = (ops.convert_to_tensor(0, "int32"), logits, states, written)
            _, logits, states, written = ops.while_loop(lambda place, *_: place < count, step, start)
            return (logits, states), written

        return loop

    def _table(self) -> Any:
        """What each symbol comes to before anything depends on the past, (symbols, features).

        That is what the first recurrent layer takes; of a plain LSTM even its share of the gates, so that a
        step multiplies by one kernel instead of two.
        """
        from keras import ops

        x = ops.arange(self.layers[0].input_dim, dtype="int32")
        for layer in self.layers[: self._first]:
            x = _alone(layer, x)
        if not self._folds:
            return x
        cell = self.layers[self._first].cell
        gates = ops.matmul(x, cell.kernel)
        return gates + cell.bias if cell.use_bias else gates

    def _step(self, x: Any, states: Any) -> tuple[Any, Any]:
        """One step of the first recurrent layer and all after it, from rows of the table.

        Returns the next symbol's logits, (rows, symbols), and the states after it.
        """
        from keras import ops

        place, after = 0, []
        for layer in self.layers[self._first :]:
            if not hasattr(layer, "cell"):
                x = _alone(layer, x)
                continue
            if place == 0 and self._folds:
                x, new = _lstm_step(layer.cell, x, states[0])
            else:
                x, new = layer.cell(x, states[place], training=False)
            after.append([ops.cast(one, "float32") for one in new])
            place += 1
        return ops.cast(x, "float32"), after


def _alone(layer: keras.layers.Layer, x: Any) -> Any:
    """A layer that looks at each step alone, as it is in inference."""
    return layer(x, training=False) if layer._call_has_training_arg else layer(x)


def _is_plain_lstm(layer: keras.layers.Layer) -> bool:
    import keras

    return type(layer.cell) is keras.layers.LSTMCell and layer.cell.compute_dtype == "float32"


def _lstm_step(cell: Any, gates: Any, state: Any) -> tuple[Any, Any]:
    """A step of an LSTM cell whose input's share of the gates, with the bias, is known; (rows, 4 * units)."""
    from keras import ops

    h, c = state
    i, f, g, o = ops.split(gates + ops.matmul(h, cell.recurrent_kernel), 4, axis=1)
    open_, squash = cell.recurrent_activation, cell.activation
    c = open_(f) * c + open_(i) * squash(g)
    h = open_(o) * squash(c)
    return h, [h, c]


def chain(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns a model's layers in order, without inputs and dropout.

    Raises:
        ModelError: it is no chain of an embedding, recurrent and per-step layers.
    """
    import keras

    skipped = (keras.layers.InputLayer, keras.layers.Dropout, keras.layers.SpatialDropout1D)
    layers = [layer for layer in model.layers if not isinstance(layer, skipped)]
    if len(model.inputs) != 1 or len(model.outputs) != 1 or not layers or len(model.output_shape) != 3:
        raise ModelError("expected a model of one sequence of symbols in and logits for each step out")
    if not isinstance(layers[0], keras.layers.Embedding) or not any(hasattr(layer, "cell") for layer in layers):
        names = ", ".join(type(layer).__name__ for layer in layers)
        raise ModelError(f"expected a chain of an Embedding, recurrent layers and layers for each step, got {names}")
    return layers


def join(parts: Sequence[Steps]) -> Steps:
    """Returns the steps of several parts as one."""
    names = [field.name for field in dataclasses.fields(Steps) if getattr(parts[0], field.name) is not None]
    return Steps(**{name: np.concatenate([getattr(part, name) for part in parts], axis=1) for name in names})


def _narrowed(logits: Any, top_k: Any, top_p: Any) -> Any:
    """Logits with all but the likeliest symbols left out; equal ones stay together."""
    from keras import ops

    falling = -ops.sort(-logits, axis=1)
    before = ops.cumsum(ops.softmax(falling), axis=1) - ops.softmax(falling)  # of the likelier ones
    size = logits.shape[1]
    in_both = (ops.arange(size, dtype="int32") < top_k) & (before < top_p)
    least = ops.min(ops.where(in_both, falling, ops.full_like(falling, 3e38)), axis=1, keepdims=True)
    return ops.where(logits >= least, logits, ops.full_like(logits, -1e9))


def _numpy(tensor: Any) -> Any:
    import keras

    return keras.ops.convert_to_numpy(tensor)
