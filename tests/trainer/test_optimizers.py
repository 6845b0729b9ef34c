"""The trainer's settings reach the optimizer, and nothing else changes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from lab.errors import ModelError, SettingsError
from lab.trainer import optimizers as optimization
from lab.trainer.config import TrainerSettings
from lab.trainer.optimizers import configure


def small_model(optimizer: Any) -> Any:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(optimizer, "mse", jit_compile=False)
    return model


def configured(optimizer: Any, total_steps: int = 100, **settings: Any) -> Any:
    """The optimizer that a model with this one has after the settings."""
    model = small_model(optimizer)
    configure(model, TrainerSettings(**settings), total_steps)
    return model.optimizer


def rates(optimizer: Any, steps: list[int]) -> list[float]:
    """The learning rate at each step."""
    return [float(optimizer._learning_rate(step)) for step in steps]


def test_nothing_given_leaves_the_very_optimizer() -> None:
    optimizer = keras.optimizers.Adam(0.01, clipnorm=2.0)
    assert configured(optimizer) is optimizer


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("learning_rate", 0.5),
        ("clipnorm", 1.5),
        ("global_clipnorm", 2.5),
        ("clipvalue", 3.5),
        ("gradient_accumulation_steps", 4),
        ("use_ema", True),
    ],
)
def test_a_setting_reaches_the_optimizer_and_the_rest_stays(setting: str, value: Any) -> None:
    optimizer = keras.optimizers.SGD(0.25, momentum=0.75, nesterov=True, name="mine")
    config = configured(optimizer, **{setting: value}).get_config()
    expected = {**optimizer.get_config(), setting: value}
    assert {**config, "ema_momentum": None} == {**expected, "ema_momentum": None}


def test_the_class_of_the_optimizer_stays() -> None:
    for kind in (keras.optimizers.SGD, keras.optimizers.AdamW, keras.optimizers.RMSprop):
        assert type(configured(kind(0.1), clipnorm=1.0)) is kind


def test_the_momentum_of_averages_reaches_the_optimizer() -> None:
    assert configured(keras.optimizers.SGD(), use_ema=True).get_config()["ema_momentum"] == 0.999
    assert configured(keras.optimizers.SGD(), use_ema=True, ema_momentum=0.5).get_config()["ema_momentum"] == 0.5


def test_the_momentum_of_averages_reaches_an_optimizer_that_averages_already() -> None:
    own = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    assert configured(own, ema_momentum=0.5).get_config()["ema_momentum"] == 0.5


def test_averages_can_be_switched_off() -> None:
    own = keras.optimizers.SGD(0.1, use_ema=True)
    assert configured(own, use_ema=False).get_config()["use_ema"] is False


def test_several_settings_go_together() -> None:
    config = configured(keras.optimizers.SGD(0.1), learning_rate=0.5, clipnorm=1.0, use_ema=True).get_config()
    assert (config["learning_rate"], config["clipnorm"], config["use_ema"]) == (0.5, 1.0, True)


def test_gradients_are_clipped_in_a_step() -> None:
    optimizer = configured(keras.optimizers.SGD(1.0), clipvalue=0.125)
    weight = keras.Variable(np.zeros(3, np.float32))
    optimizer.apply([keras.ops.convert_to_tensor(np.array([5.0, -5.0, 0.0625], np.float32))], [weight])
    assert weight.numpy().tolist() == [-0.125, 0.125, -0.0625]


def test_what_a_configuration_does_not_say_stays_too() -> None:
    own = keras.optimizers.SGD(0.5, weight_decay=0.5)
    own.exclude_from_weight_decay(var_names=["bias"])
    optimizer = configured(own, clipnorm=1.0)
    kernel, bias = (keras.Variable(np.ones(2, np.float32), name=name) for name in ("kernel", "bias"))
    optimizer.build([kernel, bias])
    optimizer.apply([keras.ops.zeros(2), keras.ops.zeros(2)])
    assert kernel.numpy().tolist() == [0.75, 0.75]
    assert bias.numpy().tolist() == [1.0, 1.0]


# --- schedules ------------------------------------------------------------------------------------


def cosine(step: int, *, peak: float, warmup: int, total: int, end: float) -> float:
    """Linear from 0 to the peak, then half a cosine down to `end` times the peak."""
    if step < warmup:
        return peak * step / warmup
    done = min(step - warmup, total - warmup) / (total - warmup)
    return peak * ((1 - end) * 0.5 * (1 + math.cos(math.pi * done)) + end)


@pytest.mark.parametrize("warmup", [0, 1, 10])
@pytest.mark.parametrize("end", [0.0, 0.1])
def test_a_cosine_with_warmup_follows_the_formula(warmup: int, end: float) -> None:
    optimizer = configured(
        keras.optimizers.Adam(0.25), learning_rate_schedule="cosine", warmup_steps=warmup, final_learning_rate=end
    )
    steps = [0, 1, 5, 9, 10, 11, 33, 55, 99, 100, 150]
    expected = [cosine(step, peak=0.25, warmup=warmup, total=100, end=end) for step in steps]
    assert rates(optimizer, steps) == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_a_cosine_has_these_values() -> None:
    optimizer = configured(
        keras.optimizers.SGD(1.0),
        learning_rate_schedule="cosine",
        warmup_steps=4,
        final_learning_rate=0.2,
        total_steps=12,
    )
    assert rates(optimizer, [0, 2, 4, 8, 12]) == pytest.approx([0.0, 0.5, 1.0, 0.6, 0.2], rel=1e-6)


def test_a_constant_with_warmup_rises_and_stays() -> None:
    optimizer = configured(keras.optimizers.SGD(0.5), learning_rate_schedule="constant", warmup_steps=10)
    assert rates(optimizer, [0, 5, 10, 11, 50, 100, 500]) == pytest.approx([0.0, 0.25, *[0.5] * 5], rel=1e-6)


def test_a_constant_without_warmup_is_constant_from_the_first_step() -> None:
    optimizer = configured(keras.optimizers.SGD(0.5), learning_rate_schedule="constant")
    assert rates(optimizer, [0, 1, 50, 100]) == pytest.approx([0.5] * 4, rel=1e-6)


def test_a_learning_rate_that_is_given_is_the_schedules_peak() -> None:
    optimizer = configured(
        keras.optimizers.SGD(0.5), learning_rate=0.125, learning_rate_schedule="cosine", warmup_steps=10
    )
    assert rates(optimizer, [10]) == pytest.approx([0.125])


@pytest.mark.parametrize("total", [1, 2, 5])
def test_warmup_longer_than_training_is_cut_so_that_the_peak_is_reached(total: int) -> None:
    optimizer = configured(keras.optimizers.SGD(1.0), total, learning_rate_schedule="constant", warmup_steps=10)
    assert rates(optimizer, [total - 1, total]) == pytest.approx([1.0, 1.0])
    assert all(map(math.isfinite, rates(optimizer, [0, 1, 2, 3])))


def test_accumulated_steps_count_as_steps_of_the_schedule() -> None:
    model = small_model(keras.optimizers.SGD(1.0))
    settings = TrainerSettings(learning_rate_schedule="cosine", gradient_accumulation_steps=2)
    configure(model, settings, 6)
    seen: list[float] = []
    notes = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(float(model.optimizer.learning_rate))
    )
    model.fit(np.zeros((6, 3)), np.zeros((6, 2)), batch_size=1, verbose=0, callbacks=[notes])
    expected = [cosine(step, peak=1.0, warmup=0, total=6, end=0.0) for step in range(1, 7)]
    assert seen == pytest.approx(expected, abs=1e-6)


def test_a_second_schedule_is_refused() -> None:
    own = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9))
    with pytest.raises(ModelError, match="expected one learning-rate schedule; the experiment's optimizer has its own"):
        configured(own, learning_rate_schedule="cosine")


def test_the_experiments_own_schedule_stays_when_other_settings_are_given() -> None:
    own = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.5))
    optimizer = configured(own, clipnorm=1.0)
    assert rates(optimizer, [0, 10, 20]) == pytest.approx([0.5, 0.25, 0.125])


def test_a_learning_rate_replaces_the_experiments_own_schedule() -> None:
    own = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.5))
    assert configured(own, learning_rate=0.25).get_config()["learning_rate"] == 0.25
    both = configured(own, learning_rate=0.25, learning_rate_schedule="cosine")
    assert rates(both, [0]) == pytest.approx([0.25])


# --- refusals and loss scaling --------------------------------------------------------------------


def test_an_optimizer_with_variables_is_refused_where_a_setting_needs_more_of_them() -> None:
    model = small_model(keras.optimizers.SGD(0.1))
    model.optimizer.build(model.trainable_variables)
    with pytest.raises(ModelError, match="use_ema: expected an optimizer without variables"):
        configure(model, TrainerSettings(use_ema=True), 10)
    configure(model, TrainerSettings(clipnorm=1.0), 10)


def test_two_ways_of_clipping_are_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match=r"^optimizer SGD: .*clipnorm") as caught:
        configured(keras.optimizers.SGD(0.1), clipnorm=1.0, clipvalue=1.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("learning_rate", 0),
        ("clipnorm", 0),
        ("global_clipnorm", -1),
        ("clipvalue", 0),
        ("gradient_accumulation_steps", 1),
        ("ema_momentum", 1),
        ("final_learning_rate", 1.5),
        ("warmup_steps", -1),
        ("learning_rate_schedule", "linear"),
    ],
)
def test_values_out_of_bounds_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"{setting}={value}: expected"):
        TrainerSettings(**{setting: value})


@pytest.fixture
def half_precision() -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


def test_the_loss_scale_of_half_precision_stays(half_precision: None) -> None:
    optimizer = configured(keras.optimizers.SGD(0.1), clipnorm=1.0, learning_rate_schedule="cosine")
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert type(optimizer.inner_optimizer) is keras.optimizers.SGD
    assert optimizer.inner_optimizer.get_config()["clipnorm"] == 1.0
    assert rates(optimizer.inner_optimizer, [0]) == pytest.approx([0.1])


def test_the_experiments_own_loss_scale_stays_as_it_was_configured() -> None:
    own = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=64.0, dynamic_growth_steps=7)
    config = configured(own, clipnorm=1.0).get_config()
    assert (config["initial_scale"], config["dynamic_growth_steps"]) == (64.0, 7)


def test_a_model_trains_with_every_setting_at_once() -> None:
    model = small_model(keras.optimizers.Adam(0.1))
    settings = TrainerSettings(
        learning_rate=0.05,
        learning_rate_schedule="cosine",
        warmup_steps=2,
        global_clipnorm=1.0,
        gradient_accumulation_steps=2,
        use_ema=True,
    )
    configure(model, settings, 8)
    before = model.get_weights()
    model.fit(np.ones((16, 3)), np.ones((16, 2)), batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(model.get_weights()[0]).all()
    assert not np.array_equal(model.get_weights()[0], before[0])


# --- a cosine by the clock --------------------------------------------------------------------------


def by_the_clock(share: float, steps: int, **values: Any) -> float:
    settings = TrainerSettings(learning_rate_schedule="cosine", **values)
    return optimization.cosine(share, steps, 0.5, settings)


@pytest.mark.parametrize(("share", "rate"), [(0.0, 0.5), (1 / 3, 0.375), (0.5, 0.25), (2 / 3, 0.125), (1.0, 0.0)])
def test_a_cosine_by_the_clock_falls_with_the_share_that_is_done(share: float, rate: float) -> None:
    assert by_the_clock(share, 1000) == pytest.approx(rate, abs=1e-9)


def test_a_cosine_by_the_clock_ends_where_it_is_told() -> None:
    assert by_the_clock(1.0, 1000, final_learning_rate=0.1) == pytest.approx(0.05)


def test_a_cosine_by_the_clock_rises_by_steps() -> None:
    rising = [by_the_clock(0.0, step, warmup_steps=10) for step in range(12)]
    assert rising[:10] == pytest.approx([0.05 * (step + 1) for step in range(10)])
    assert rising[10:] == [0.5, 0.5]


def test_an_optimizer_by_the_clock_has_a_rate_that_can_be_set() -> None:
    model = small_model(keras.optimizers.Adam(0.02))
    settings = TrainerSettings(learning_rate_schedule="cosine", warmup_steps=5, max_time=60)
    configure(model, settings, 100)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
    model.optimizer.learning_rate = 0.01
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
