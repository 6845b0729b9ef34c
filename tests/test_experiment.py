"""Definition of an experiment's class, its settings and presets, and its defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import pytest

import lab
from lab.errors import SettingsError, UsageError
from lab.experiment import NoSettings


class Options(lab.Settings):
    """An experiment's settings."""

    units: int = lab.field(32, "Units.", ge=1)
    rate: float = lab.field(0.1, "Rate.", gt=0)


class Wider(Options):
    """Those and another."""

    noise: float = lab.field(0.5, "Noise.", ge=0)


class Plain(lab.Experiment[Options]):
    """The least that an experiment must have, and presets."""

    trainer = {"epochs": 7, "batch_size": 8}
    presets = {"quick": {"units": 2, "epochs": 1, "patience": 3}, "full": {"units": 64}}

    def prepare(self) -> Any:
        raise NotImplementedError

    def build(self, data: lab.Data) -> Any:
        raise NotImplementedError

    def report(self, run: lab.Run, report: lab.Report) -> None:
        raise NotImplementedError


HOOKS: dict[str, Any] = {name: getattr(Plain, name) for name in ("prepare", "build", "report")}


def define(name: str = "Made", base: Any = lab.Experiment, /, *, abstract: Any = False, **members: Any) -> Any:
    """Makes a class as a `class` statement does."""
    return type(name, (base,), members, abstract=abstract)


# --- hooks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_a_missing_hook_is_said_when_the_class_is_defined(hook: str) -> None:
    others = {name: function for name, function in HOOKS.items() if name != hook}
    with pytest.raises(UsageError) as caught:
        define("Halfway", **others)
    assert str(caught.value) == f"Halfway: expected the hooks prepare, build, report; missing: {hook}"


def test_all_missing_hooks_are_said_at_once() -> None:
    with pytest.raises(UsageError, match=r"missing: prepare, build, report$"):
        define()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("biuld", "build"),
        ("calbacks", "callbacks"),
        ("reprot", "report"),
        ("prepair", "prepare"),
        ("pedict", "predict"),
        ("reportsweep", "report_sweep"),
    ],
)
def test_a_misspelt_hook_is_said_with_the_right_name(wrong: str, right: str) -> None:
    with pytest.raises(UsageError) as caught:
        define("Halfway", **HOOKS, **{wrong: lambda self: None})
    assert str(caught.value) == f"Halfway.{wrong}: no such hook; did you mean {right!r}?"


def test_a_misspelt_required_hook_is_said_as_misspelt_not_as_missing() -> None:
    with pytest.raises(UsageError, match="biuld: no such hook"):
        define(prepare=HOOKS["prepare"], biuld=HOOKS["build"], report=HOOKS["report"])


@pytest.mark.parametrize(
    "name",
    [
        "encode",
        "decode",
        "samples",
        "load",
        "build_encoder",
        "report_codes",
        "noise",
        "plot",
        "write",
        "_biuld",
        "text",
    ],
)
def test_a_helper_with_an_ordinary_name_is_accepted(name: str) -> None:
    made = define(**HOOKS, **{name: lambda self: "helped"})
    assert getattr(made(), name)() == "helped"


def test_every_optional_hook_may_be_written() -> None:
    members = {name: lambda self, *args, **options: None for name in ("callbacks", "fit", "predict", "report_sweep")}
    made = define(**HOOKS, **members)
    assert made.fit is members["fit"]


def test_an_abstract_experiment_may_leave_hooks_out_and_its_subclass_may_not() -> None:
    base = define("Base", abstract=True, prepare=HOOKS["prepare"])
    with pytest.raises(TypeError, match="abstract"):
        base()
    with pytest.raises(UsageError, match=r"missing: build, report$"):
        define("Child", base)
    assert define("Whole", base, build=HOOKS["build"], report=HOOKS["report"])().settings == NoSettings()


def test_abstract_is_not_inherited() -> None:
    class Base(lab.Experiment[Options], abstract=True):
        pass

    with pytest.raises(UsageError, match="missing"):
        define("Child", Base)


# --- settings -------------------------------------------------------------------------------------


def test_settings_are_taken_from_the_type_parameter() -> None:
    assert Plain.Settings is Options
    assert Plain(units=4).settings == Options(units=4)


def test_an_experiment_without_settings_has_none() -> None:
    made = define(**HOOKS)
    assert made.Settings is NoSettings
    with pytest.raises(SettingsError, match="units: no such setting; there are none"):
        made(units=3)


def test_a_subclass_inherits_settings() -> None:
    class Child(Plain):
        pass

    assert Child.Settings is Options
    assert Child(units=4).settings.units == 4


def test_a_subclass_may_widen_settings_with_a_type_parameter() -> None:
    class Child(Plain, lab.Experiment[Wider]):
        pass

    assert Child.Settings is Wider
    assert Plain.Settings is Options


def test_a_subclass_may_widen_settings_with_a_class_attribute() -> None:
    class Child(Plain):
        Settings = Wider

    assert Child.Settings is Wider
    assert Child(noise=0.1).settings.noise == 0.1  # type: ignore[attr-defined]


def test_settings_widened_once_stay_so_in_further_subclasses() -> None:
    class Child(Plain):
        Settings = Wider

    class Grandchild(Child):
        pass

    assert Grandchild.Settings is Wider


def test_settings_pass_through_a_generic_base() -> None:
    K = TypeVar("K", bound=lab.Settings)

    class Base(lab.Experiment[K], abstract=True):
        pass

    Base.prepare, Base.build, Base.report = Plain.prepare, Plain.build, Plain.report  # type: ignore

    class Child(Base[Options]):
        pass

    assert Child.Settings is Options


def test_settings_that_are_no_settings_are_refused() -> None:
    with pytest.raises(UsageError, match=r"Made.Settings: expected a subclass of lab.Settings, got <class 'dict'>"):
        define(**HOOKS, Settings=dict)


def test_a_setting_called_preset_is_refused() -> None:
    class Clash(lab.Settings):
        preset: str = lab.field("", "Taken.")

    with pytest.raises(UsageError, match=r"Settings.preset: the name is taken"):
        define(**HOOKS, Settings=Clash)


def test_a_wrong_setting_is_said_as_settings_say_it() -> None:
    with pytest.raises(SettingsError) as caught:
        Plain(units=0, rates=1)
    assert caught.value.faults == (
        "units=0: expected whole number >= 1; the default is 32",
        "rates: no such setting; did you mean 'rate'?",
    )


def test_a_setting_called_self_is_only_unknown() -> None:
    with pytest.raises(SettingsError, match="self: no such setting"):
        define("Plain", Plain)(**{"self": 1})


# --- names and presets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Autoencoder", "autoencoder"),
        ("DenoisingAutoencoder", "denoising_autoencoder"),
        ("MNISTModel", "mnist_model"),
        ("CharLSTM", "char_lstm"),
        ("Lstm2Layers", "lstm2_layers"),
        ("A", "a"),
        ("My_Idea", "my_idea"),
    ],
)
def test_the_name_is_the_classs_in_snake_case(written: str, name: str) -> None:
    assert define(written, **HOOKS).name() == name


def test_without_a_preset_the_trainers_values_are_the_classs() -> None:
    plain = Plain()
    assert plain.preset is None
    assert plain.trainer_values == {"epochs": 7, "batch_size": 8}
    assert plain.settings == Options()


def test_a_preset_is_split_between_experiment_and_trainer() -> None:
    quick = Plain(preset="quick")
    assert quick.preset == "quick"
    assert quick.settings.units == 2
    assert quick.trainer_values == {"epochs": 1, "batch_size": 8, "patience": 3}


def test_a_preset_does_not_change_the_class() -> None:
    Plain(preset="quick").trainer_values["epochs"] = 100
    assert Plain.trainer == {"epochs": 7, "batch_size": 8}
    assert Plain.presets["quick"] == {"units": 2, "epochs": 1, "patience": 3}


def test_values_that_are_given_win_over_the_preset() -> None:
    quick = Plain(preset="quick", units=9)
    assert quick.settings.units == 9
    assert quick.trainer_values["epochs"] == 1


def test_an_unknown_preset_gets_the_nearest_suggested() -> None:
    with pytest.raises(SettingsError) as caught:
        Plain(preset="quik")
    assert str(caught.value) == "quik: no such preset; did you mean 'quick'?"


def test_an_unknown_preset_far_from_all_gets_the_list() -> None:
    with pytest.raises(SettingsError, match="zzz: no such preset; there are quick, full"):
        Plain(preset="zzz")
    with pytest.raises(SettingsError, match="quick: no such preset; there are none"):
        define(**HOOKS)(preset="quick")


def test_a_wrong_value_in_a_preset_is_said() -> None:
    made = define(**HOOKS, Settings=Options, presets={"bad": {"units": -1}})
    with pytest.raises(SettingsError, match="units=-1: expected whole number >= 1"):
        made(preset="bad")


# --- defaults -------------------------------------------------------------------------------------


def test_predict_is_optional_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="plain: this experiment has no predict"):
        Plain().predict(lab.Run(tmp_path), ["a"], None)


def test_there_are_no_callbacks_and_no_sweep_by_default(tmp_path: Path) -> None:
    assert list(Plain().callbacks()) == []
    report = lab.Report(tmp_path, "title")
    Plain().report_sweep("units", {}, report)
    assert report.items == []


def test_fit_trains_on_the_batches_validates_and_hands_options_to_keras() -> None:
    import keras
    import numpy as np

    def batches(name: str, count: int) -> lab.Batches:
        return lab.Batches(lab.Split(name, np.ones((count, 3), np.float32), np.ones((count, 1), np.float32)), 4)

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    heard: list[list[str]] = []
    notes = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: heard.append(sorted(logs)))
    Plain().fit(model, batches("train", 10), batches("validation", 5), epochs=2, verbose=0, callbacks=[notes])
    assert int(model.optimizer.iterations.numpy()) == 6
    assert heard == [["loss", "val_loss"]] * 2
