"""Every variable that training can change is in a checkpoint, by a name that is the same for the same code."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lab.checkpoints.checkpoint import Checkpoint, lacks_variables
from lab.checkpoints.variables import named_variables
from lab.errors import OriginError
from lab.layers import LSTM


class TwoOptimizers(keras.Model):  # type: ignore[misc]  # Keras has no types
    """A model with a second optimizer, averaged weights and a counter, none of which Keras tracks as weights."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(2)
        self.second = keras.optimizers.Adam(0.01)
        self.settings = {"thresholds": [keras.Variable(0.5, trainable=False, name="threshold")]}

    def call(self, x: Any) -> Any:
        return self.dense(x)


def model_of(*, second_built: bool) -> TwoOptimizers:
    model = TwoOptimizers()
    model.compile("sgd", "mse")
    model(np.zeros((1, 3), np.float32))
    if second_built:
        model.second.build(model.dense.trainable_variables)
    return model


def kinds(model: keras.Model) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name in named_variables(model):
        kind, _, rest = name.partition("/")
        names.setdefault(kind, []).append(rest)
    return names


def test_optimizers_and_variables_that_attributes_lead_to_are_found() -> None:
    found = kinds(model_of(second_built=True))
    others = found["other"]
    assert sum("second" in name for name in others) == 2 + 4, "iterations, rate, two moments of two weights"
    assert sum("threshold" in name for names in found.values() for name in names) == 1
    assert len(others) == len({name.partition("/")[2] for name in others})


def test_no_variable_is_named_twice() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)])
    model.compile("adam", "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    assert "other" not in kinds(model), "all of Keras's own have a kind"
    variables = list(named_variables(model).values())
    assert len({id(variable) for variable in variables}) == len(variables)


def test_names_do_not_depend_on_what_the_process_has_built_before() -> None:
    assert list(named_variables(model_of(second_built=True))) == list(named_variables(model_of(second_built=True)))


@pytest.mark.parametrize("kind", [LSTM, keras.layers.LSTM])
def test_the_state_that_a_layer_carries_is_among_them(kind: Any) -> None:
    model = keras.Sequential([keras.Input((5, 2), batch_size=3), kind(4, stateful=True)])
    model.compile("sgd", "mse")
    names = kinds(model)
    states = [name for kind in ("carried", "state") for name in names.get(kind, []) if "seed" not in name]
    assert len(states) == 2


def test_a_checkpoint_restores_all_of_them() -> None:
    first, second = model_of(second_built=True), model_of(second_built=True)
    for place, variable in enumerate(named_variables(first).values()):
        variable.assign(np.full(variable.shape, place))
    Checkpoint.of(first, 0, 0).restore(second)
    for one, other in zip(named_variables(first).values(), named_variables(second).values(), strict=True):
        assert np.array_equal(keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other))


def test_variables_that_the_first_step_creates_are_missed_before_it() -> None:
    checkpoint = Checkpoint.of(model_of(second_built=True), 1, 5)
    assert not lacks_variables(model_of(second_built=True), checkpoint)
    fresh = model_of(second_built=False)
    assert lacks_variables(fresh, checkpoint)
    with pytest.raises(OriginError, match="the model has no variable other/"):
        checkpoint.restore(fresh)
