"""Symbols drawn one at a time from a recurrent model, for many rows at once, in one compiled loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.data import Array
from lab.engine.compiled import compiled
from lab.errors import UsageError
from lab.tasks.text.stepwise import Stepwise

if TYPE_CHECKING:
    import keras

CHUNK = 64  # steps in one call of the compiled loop
DRAWN = -1  # stands for a symbol that is to be drawn, where others are given


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next symbol is chosen.

    Args:
        temperature: divides the logits; 0 takes the most likely symbol. One number, or one for each row.
        top_k: draw from this many of the most likely symbols (Fan, Lewis and Dauphin, 2018); None: from all.
        top_p: draw from the most likely symbols that together have this probability (Holtzman et al., 2020).
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
    """The results of a number of steps, arrays of shape (rows, steps).

    Args:
        symbols: the symbols that were read or drawn.
        log_probability: of each symbol in nats, as the model gives it (temperature 1, all symbols allowed).
        entropy: of the distribution that each symbol was drawn from, in nats.
        cells: the last recurrent layer's state after each step, (rows, steps, units); None unless requested.
        probabilities: of every symbol before each step, (rows, steps, symbols); None unless requested.
    """

    symbols: Array
    log_probability: Array
    entropy: Array
    cells: Array | None = None
    probabilities: Array | None = None


class Generator:
    """Reads and draws symbols with a recurrent model, for many rows at once, on any backend.

    A step costs the same however long the text is: the past is in the model's states and never read again.

    Args:
        model: a model that `Stepwise` accepts; the state that it carries is neither read nor changed.
        rows: texts that are generated in parallel.
        never: symbols that are never drawn, such as the one for unknown characters.

    Raises:
        ModelError: the model cannot be run one step at a time.
    """

    def __init__(self, model: keras.Model, rows: int = 1, never: Sequence[int] = ()) -> None:
        self.rows = rows
        self._model = Stepwise(model)
        self._size = self._model.size
        self._penalty = np.zeros(self._size, np.float32)
        self._penalty[list(never)] = -1e9
        self._compiled: dict[tuple[bool, bool, bool, bool], Callable[..., Any]] = {}
        self.reset()

    def reset(self) -> None:
        """Starts new texts: initial states, and every symbol equally likely."""
        from keras import ops

        self._states: Any = self._model.initial_states(self.rows)
        self._logits: Any = ops.zeros((self.rows, self._size), "float32")

    def read(self, symbols: Array, *, cells: bool = False, probabilities: bool = False) -> Steps:
        """Reads symbols of shape (rows, steps), which later calls continue.

        Args:
            symbols: whole numbers; a text of shape (steps,) is enough for one row.
            cells, probabilities: whether to return those, too.

        Raises:
            UsageError: there are no symbols, or one is none of the model's.
        """
        symbols = np.asarray(symbols, np.int32).reshape(self.rows, -1)
        if not symbols.size or symbols.min() < 0 or symbols.max() >= self._size:
            raise UsageError(f"symbols: expected at least one for each row, from 0 to {self._size - 1}")
        return join(list(self._run(symbols, Sampling(), cells=cells, probabilities=probabilities)))

    def write(self, length: int, sampling: Sampling) -> Iterator[Steps]:
        """Draws `length` symbols for each row; yields up to `CHUNK` steps at a time.

        Raises:
            UsageError: the length is negative.
        """
        if length < 0:
            raise UsageError(f"length={length}: expected a whole number of 0 or more")
        yield from self._run(np.full((self.rows, length), DRAWN, np.int32), sampling)

    def _run(
        self, symbols: Array, sampling: Sampling, *, cells: bool = False, probabilities: bool = False
    ) -> Iterator[Steps]:
        temperature = np.broadcast_to(np.asarray(sampling.temperature, np.float32), (self.rows,))
        top_k = min(sampling.top_k or self._size, self._size)
        top_p = 1.0 if sampling.top_p is None else sampling.top_p
        narrow = top_k < self._size or top_p < 1
        key = (narrow, bool((temperature == 0).any()), cells, probabilities)
        if key not in self._compiled:
            self._compiled[key] = compiled(self._loop(*key), self._model.variables)
        rng, table = np.random.Generator(np.random.Philox(key=sampling.seed)), self._model.table()
        for start in range(0, symbols.shape[1], CHUNK):
            part = symbols[:, start : start + CHUNK]
            count = part.shape[1]
            given = np.zeros((CHUNK, self.rows), np.int32)
            given[:count] = part.T
            uniform = rng.random((CHUNK, self.rows), np.float32)
            rest = (given, uniform, np.int32(count), temperature, np.int32(top_k), np.float32(top_p))
            (self._logits, self._states), results = self._compiled[key](self._logits, self._states, table, *rest)
            arrays = [np.moveaxis(np.asarray(_numpy(result))[:count], 0, 1) for result in results]
            drawn, log_probability, entropy, *others = arrays
            inside = others.pop(0) if cells else None
            yield Steps(drawn, log_probability, entropy, inside, others.pop() if probabilities else None)

    def _loop(self, narrow: bool, greedy: bool, cells: bool, probabilities: bool) -> Callable[..., Any]:
        """Returns the loop to compile.

        Args:
            narrow: whether `top_k` or `top_p` excludes symbols.
            greedy: whether a row's temperature may be 0.
            cells, probabilities: whether the loop returns those.
        """
        from keras import ops

        def loop(
            logits: Any,  # (rows, symbols)
            states: Any,
            table: Any,
            given: Any,  # (CHUNK, rows)
            uniform: Any,  # (CHUNK, rows), from 0 to 1
            count: Any,  # steps to run, at most CHUNK
            temperature: Any,  # (rows,)
            top_k: Any,
            top_p: Any,
        ) -> Any:
            cold = temperature == 0
            divisor = ops.expand_dims(ops.where(cold, ops.ones_like(temperature), temperature), 1)

            def step(place: Any, logits: Any, states: Any, results: Any) -> Any:
                natural = ops.log_softmax(logits)
                allowed = logits / divisor + self._penalty
                if narrow:
                    allowed = _narrowed(allowed, top_k, top_p)
                chances = ops.softmax(allowed)
                cumulative = ops.cumsum(chances, axis=1)
                threshold = ops.expand_dims(uniform[place], 1) * cumulative[:, -1:]  # the sum is not exactly 1
                below = ops.sum(ops.cast(cumulative <= threshold, "int32"), axis=1)
                drawn = ops.minimum(below, self._size - 1)
                entropy = -ops.sum(chances * ops.log(ops.maximum(chances, 1e-30)), axis=1)
                if greedy:
                    drawn = ops.where(cold, ops.cast(ops.argmax(allowed, axis=1), "int32"), drawn)
                    entropy = ops.where(cold, ops.zeros_like(entropy), entropy)
                symbols = ops.where(given[place] < 0, drawn, given[place])
                log_probability = ops.take_along_axis(natural, ops.expand_dims(symbols, 1), axis=1)[:, 0]
                logits, states = self._model.step(table, symbols, states)
                new = [symbols, log_probability, entropy]
                new += [_last(states)] if cells else []
                new += [ops.exp(natural)] if probabilities else []
                results = [
                    ops.slice_update(array, [place, *[0] * len(value.shape)], ops.expand_dims(value, 0))
                    for array, value in zip(results, new, strict=True)
                ]
                return place + 1, logits, states, results

            shapes: list[tuple[tuple[int, ...], str]] = [((), "int32"), ((), "float32"), ((), "float32")]
            shapes += [(tuple(_last(states).shape[1:]), "float32")] if cells else []
            shapes += [((self._size,), "float32")] if probabilities else []
            results = [ops.zeros((CHUNK, self.rows, *shape), dtype) for shape, dtype in shapes]
            start = (ops.convert_to_tensor(0, "int32"), logits, states, results)
            _, logits, states, results = ops.while_loop(lambda place, *_: place < count, step, start)
            return (logits, states), results

        return loop


def join(parts: Sequence[Steps]) -> Steps:
    """Returns the steps of consecutive parts as one object."""
    names = [field.name for field in dataclasses.fields(Steps) if getattr(parts[0], field.name) is not None]
    return Steps(**{name: np.concatenate([getattr(part, name) for part in parts], axis=1) for name in names})


def _last(states: Any) -> Any:
    """The last state of the last recurrent call: an LSTM's cells."""
    import keras

    return keras.ops.cast(keras.tree.flatten(states)[-1], "float32")


def _narrowed(logits: Any, top_k: Any, top_p: Any) -> Any:
    """Logits in which only the most likely symbols remain; symbols as likely as the last of them remain, too."""
    from keras import ops

    falling = -ops.sort(-logits, axis=1)
    before = ops.cumsum(ops.softmax(falling), axis=1) - ops.softmax(falling)  # probability of the likelier ones
    in_both = (ops.arange(logits.shape[1], dtype="int32") < top_k) & (before < top_p)
    least = ops.min(ops.where(in_both, falling, ops.full_like(falling, 3e38)), axis=1, keepdims=True)
    return ops.where(logits >= least, logits, ops.full_like(logits, -1e9))


def _numpy(tensor: Any) -> Any:
    from keras import ops

    return ops.convert_to_numpy(tensor)
