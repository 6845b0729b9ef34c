"""A recurrent model, one step at a time: its graph, with the states in the caller's hands."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.data import Array
from lab.errors import ModelError

if TYPE_CHECKING:
    import keras

COMPARED = 16  # symbols that are read step by step and by the model
ALIKE = 1024  # symbols for which everything but the recurrent layers must give what it gives for each alone
TOLERANCE = 2e-3  # of the largest logit, in float32
HALF_TOLERANCE = 5e-2  # in lower precision


@dataclasses.dataclass(frozen=True)
class _Call:
    """One call of a layer or an operation in a model's graph; its tensors are symbolic."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any
    recurrent: bool  # replaced by the layer's cell
    past_free: bool  # what it gives at a step depends on that step's symbol alone
    folded: bool  # a plain LSTM on past-free input: the input's share of the gates is computed once for each symbol

    @property
    def tensors(self) -> list[Any]:
        """The symbolic tensors that it reads."""
        return _symbolic((self.args, self.kwargs))


class Stepwise:
    """A model over symbols, run one step at a time.

    The model's graph is followed call by call, with its branches, residual connections, `keras.ops` and layers
    that are called several times. Each call of a recurrent layer becomes a call of its cell and has its own
    state. All other calls must treat each step alike. The constructor checks this: logits computed step by step
    must be those of the model.

    What depends on one symbol alone is computed once for each symbol (`table`), so that a step costs no more
    than the part of the graph that depends on the past.

    Args:
        model: functional or sequential; symbols (batch, steps) in, logits (batch, steps, symbols) out. The state
            that it carries is neither read nor changed.

    Raises:
        ModelError: the model has other inputs or outputs, has no recurrent layer, or gives other logits step by step.
    """

    def __init__(self, model: keras.Model) -> None:
        inputs, outputs = (getattr(model, name, None) or [] for name in ("inputs", "outputs"))
        if [len(tensor.shape) for tensor in (*inputs, *outputs)] != [2, 3]:
            raise ModelError(
                "expected a functional or sequential model of symbols (batch, steps) to logits (batch, steps, symbols)"
            )
        self.size = int(outputs[0].shape[-1])
        self.variables = list(model.variables)
        self._input, self._output, self._calls = _graph(model)
        self._recurrent = [call for call in self._calls if call.recurrent]
        if not self._recurrent:
            raise ModelError(
                "expected a recurrent layer, such as LSTM or GRU, without a mask, an initial state or returned states, "
                f"got {self._names()}"
            )
        free = {id(self._input)}.union(*(_ids(call.outputs) for call in self._calls if call.past_free))
        late = [call for call in self._calls if not call.past_free and not call.folded]
        kept = {id(tensor): tensor for call in late for tensor in call.tensors if id(tensor) in free}
        self._kept = list(kept.values())  # past-free tensors that calls which depend on the past read
        self._check(model)

    def initial_states(self, rows: int) -> list[Any]:
        """Returns the states before the first step: for each recurrent call a list of tensors (rows, units)."""
        return [call.operation.get_initial_state(batch_size=rows) for call in self._recurrent]

    def table(self) -> list[Any]:
        """Returns what each symbol contributes before anything depends on the past: tensors (symbols, ...)."""
        from keras import ops

        symbols = ops.cast(ops.expand_dims(ops.arange(self.size), 1), self._input.dtype)
        values = {id(self._input): symbols}
        for call in self._calls:
            if call.past_free:
                _run(call, values)
        table = [values[id(tensor)] for tensor in self._kept]
        for call in self._recurrent:
            if call.folded:
                cell, x = call.operation.cell, values[id(call.tensors[0])][:, 0]
                gates = ops.matmul(x, cell.kernel)
                table.append(gates + cell.bias if cell.use_bias else gates)
        return table

    def step(self, table: Sequence[Any], symbols: Any, states: Sequence[Any]) -> tuple[Any, list[Any]]:
        """Runs one step.

        Args:
            table: as `table` returned it.
            symbols: int32, shape (rows,).
            states: as `initial_states` or the previous step returned them.

        Returns:
            The next symbol's logits, float32 of shape (rows, symbols), and the states after the step.
        """
        import keras
        from keras import ops

        rows = [ops.take(values, symbols, axis=0) for values in table]
        values = {id(tensor): row for tensor, row in zip(self._kept, rows, strict=False)}
        gates, before, after = iter(rows[len(self._kept) :]), iter(states), []
        for call in self._calls:
            if call.recurrent:
                cell, old = call.operation.cell, next(before)
                if call.folded:
                    output, new = _lstm_step(cell, next(gates), old)
                else:
                    output, new = _cell_step(cell, values[id(call.tensors[0])][:, 0], old)
                after.append(keras.tree.map_structure(lambda one, other: ops.cast(one, other.dtype), new, old))
                _store(call, ops.expand_dims(ops.cast(output, call.operation.compute_dtype), 1), values)
            elif not call.past_free:
                _run(call, values)
        return ops.cast(values[id(self._output)][:, 0], "float32"), after

    def _check(self, model: keras.Model) -> None:
        batch, steps = self._input.shape
        rng = np.random.default_rng(0)
        symbols = rng.integers(self.size, size=steps or COMPARED)
        symbols[:2] = 0, self.size - 1  # 0 may be masked
        with _without_carried_state([call.operation for call in self._recurrent]):
            logits = model(np.tile(symbols, (batch or 1, 1)).astype(self._input.dtype), training=False)
        expected = _numpy(logits)[0]
        many = rng.integers(self.size, size=steps or ALIKE)
        try:
            pairs = [(self._step_by_step(symbols), expected), self._as_rows_and_as_one(many, rng)]
        except Exception as error:  # a layer may refuse a single step with any error
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"expected a model that can be run one step at a time, {reason}") from error
        half = any(call.operation.compute_dtype not in ("float32", "float64") for call in self._recurrent)
        tolerance = HALF_TOLERANCE if half else TOLERANCE
        for one, other in pairs:
            if one.shape != other.shape or not np.abs(one - other).max() <= tolerance * np.abs(other).max():
                raise ModelError(
                    "expected layers that treat each step alike, besides recurrent ones that read forwards without a "
                    f"mask; one step at a time this model gives other logits: {self._names()}"
                )

    def _step_by_step(self, symbols: Array) -> Array:
        table, states, logits = self.table(), self.initial_states(1), []
        for symbol in symbols:
            found, states = self.step(table, np.array([symbol], np.int32), states)
            logits.append(_numpy(found)[0])
        return np.stack(logits)

    def _as_rows_and_as_one(self, symbols: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """The logits of many symbols as rows of one step each, and as one sequence; recurrent layers give noise."""
        from keras import ops

        noise = [rng.normal(size=(len(symbols), call.outputs.shape[-1])) for call in self._recurrent]
        both = []
        for layout in ((len(symbols), 1), (1, len(symbols))):
            values = {id(self._input): ops.cast(symbols.reshape(layout), self._input.dtype)}
            outputs = iter(noise)
            for call in self._calls:
                if call.recurrent:
                    _store(call, ops.cast(next(outputs).reshape(*layout, -1), call.operation.compute_dtype), values)
                else:
                    _run(call, values)
            both.append(_numpy(values[id(self._output)]).reshape(len(symbols), -1))
        return both[0], both[1]

    def _names(self) -> str:
        return ", ".join(type(call.operation).__name__ for call in self._calls)


def _graph(model: keras.Model) -> tuple[Any, Any, list[_Call]]:
    """Returns a model's symbolic input and output, and its calls in an order in which they can run."""
    import keras

    class Recorded(keras.Operation):  # type: ignore[misc]  # Keras has no types
        """Stands for an operation in a copy of the graph, so that the operation gets no further node."""

        def __init__(self, operation: Any) -> None:
            super().__init__()
            self.operation = operation

        def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
            return self.operation.compute_output_spec(*args, **kwargs)

    calls: list[_Call] = []
    dependent: set[int] = set()  # tensors that depend on the past

    def record(operation: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = Recorded(operation)(*args, **kwargs)
        read = _symbolic((args, kwargs))
        plain = len(read) == 1 and isinstance(outputs, keras.KerasTensor)  # no mask, no state in or out
        recurrent = plain and isinstance(operation, keras.layers.RNN)
        free = not any(id(tensor) in dependent for tensor in read)
        if recurrent or not free:
            dependent.update(_ids(outputs))
        kwargs |= _inference(operation)
        folded = recurrent and free and _is_plain_lstm(operation)
        calls.append(_Call(operation, args, kwargs, outputs, recurrent, free and not recurrent, folded))
        return outputs

    uncompiled = keras.Model(model.inputs, model.outputs)  # a copy of a compiled model would be compiled
    copy = keras.models.clone_model(uncompiled, clone_function=lambda operation: operation, call_function=record)
    return copy.inputs[0], copy.outputs[0], calls


def _symbolic(structure: Any) -> list[Any]:
    import keras

    return [one for one in keras.tree.flatten(structure) if isinstance(one, keras.KerasTensor)]


def _ids(structure: Any) -> set[int]:
    return {id(tensor) for tensor in _symbolic(structure)}


def _run(call: _Call, values: dict[int, Any]) -> None:
    """Runs a call; `values` has its symbolic tensors' values by their `id`, and gets those of its outputs."""
    import keras

    args, kwargs = keras.tree.map_structure(lambda one: values.get(id(one), one), (call.args, call.kwargs))
    _store(call, call.operation(*args, **kwargs), values)


def _store(call: _Call, outputs: Any, values: dict[int, Any]) -> None:
    import keras

    flat = keras.tree.flatten(outputs)
    values.update((id(tensor), value) for tensor, value in zip(keras.tree.flatten(call.outputs), flat, strict=True))


def _inference(operation: Any) -> dict[str, bool]:
    return {"training": False} if "training" in inspect.signature(operation.call).parameters else {}


def _is_plain_lstm(layer: keras.layers.RNN) -> bool:
    import keras

    return type(layer.cell) is keras.layers.LSTMCell and layer.cell.compute_dtype == "float32"


def _lstm_step(cell: Any, gates: Any, state: Any) -> tuple[Any, Any]:
    """A step of an LSTM cell, given the input's share of the gates with the bias, (rows, 4 * units)."""
    from keras import ops

    h, c = state
    i, f, g, o = ops.split(gates + ops.matmul(h, cell.recurrent_kernel), 4, axis=1)
    recurrent_activation, activation = cell.recurrent_activation, cell.activation
    c = recurrent_activation(f) * c + recurrent_activation(i) * activation(g)
    h = recurrent_activation(o) * activation(c)
    return h, [h, c]


def _cell_step(cell: Any, x: Any, state: Any) -> tuple[Any, Any]:
    import keras

    output, new = cell(x, state, **_inference(cell))
    return output, new if keras.tree.is_nested(new) else [new]


@contextlib.contextmanager
def _without_carried_state(layers: Sequence[keras.layers.RNN]) -> Iterator[None]:
    """In this block, stateful layers start from their initial state and leave the state that they carry unchanged."""
    stateful = [layer for layer in layers if layer.stateful]
    for layer in stateful:
        layer.stateful = False
    try:
        yield
    finally:
        for layer in stateful:
            layer.stateful = True


def _numpy(tensor: Any) -> Array:
    from keras import ops

    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))
