"""Settings: types, bounds, text, messages, and that JSON gives back what it was given."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import lab
from lab.errors import LabError, SettingsError, UsageError
from lab.settings import Setting, list_settings, show, unknown

SHORT = 60  # characters of a value that a message shows at most


class Net(lab.Settings):
    """One field of every kind."""

    units: int = lab.field(32, "Units in the hidden layer.", ge=1, le=512)
    rate: float = lab.field(0.1, "Learning rate.", gt=0, lt=1)
    centred: bool = lab.field(False, "Take the mean away.")
    title: str = lab.field("digits", "What it is called.", min_length=2)
    code: str = lab.field("ab", "Lower-case letters.", pattern="^[a-z]+$")
    activation: Literal["relu", "gelu"] = lab.field("relu", "The activation.")
    widths: tuple[lab.PositiveInt, ...] = lab.field((512, 256), "Widths of the layers.")
    words: tuple[str, ...] = lab.field((), "Words to begin with.")
    depth: int | None = lab.field(None, "Layers; none finds out.", ge=1)
    note: str | None = lab.field(None, "A remark.")
    folder: Path = lab.field(Path("data"), "Where the data is.")
    output: Path | None = lab.field(None, "Where the result goes.")
    limit: lab.Seconds | None = lab.field(None, "How long at most.", gt=0)
    share: int | float | None = lab.field(None, "Batches, or a share of them.", gt=0)


def make(settings: Any, /, **values: Any) -> Any:
    """Makes settings from values that a type checker would refuse: that is what a shell gives."""
    return settings(**values)


def faults(settings: Any, /, **values: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        settings(**values)
    return caught.value.faults


def refusal(**values: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        make(Net, **values)
    return str(caught.value)


# --- types, bounds, defaults ----------------------------------------------------------------------


def test_a_field_without_a_value_has_its_default() -> None:
    net = Net()
    assert (net.units, net.rate, net.centred, net.widths, net.depth) == (32, 0.1, False, (512, 256), None)


def test_the_ends_of_a_closed_range_are_allowed_and_what_lies_beyond_is_not() -> None:
    assert (Net(units=1).units, Net(units=512).units) == (1, 512)
    assert "units=0: expected" in refusal(units=0)
    assert "units=513: expected" in refusal(units=513)


@pytest.mark.parametrize("value", [0, 1, -0.5, 1.5])
def test_the_ends_of_an_open_range_are_refused(value: float) -> None:
    assert f"rate={value:g}: expected number > 0 and < 1" in refusal(rate=value)


def test_a_whole_number_may_come_as_a_float_but_not_with_a_fraction() -> None:
    net = make(Net, units=64.0)
    assert net.units == 64
    assert type(net.units) is int
    assert "units=64.5: expected whole number" in refusal(units=64.5)


def test_a_literal_takes_only_its_members() -> None:
    assert Net(activation="gelu").activation == "gelu"
    assert "activation=tanh: expected one of relu, gelu; the default is relu" in refusal(activation="tanh")


def test_lengths_and_patterns_of_a_text_are_checked_and_named() -> None:
    assert "at least 2 characters" in refusal(title="x")
    assert "^[a-z]+$" in refusal(code="A1")


def test_an_item_of_a_tuple_is_checked_and_its_place_is_named() -> None:
    assert "widths=0 (item 2): expected" in refusal(widths=(512, 0))
    assert "widths=x (item 1): expected" in refusal(widths="x,256")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "inf", "-Infinity"])
def test_numbers_that_are_not_finite_are_refused(value: Any) -> None:
    assert refusal(rate=value).startswith(f"rate={value}: expected number")
    assert refusal(units=value).startswith(f"units={value}: expected whole number")
    assert refusal(share=value).startswith(f"share={value}: expected")


def test_a_default_out_of_bounds_is_refused_too() -> None:
    class Wrong(lab.Settings):
        units: int = lab.field(0, "Units.", ge=1)

    assert faults(Wrong) == ("units=0: expected whole number >= 1; the default is 0",)


def test_settings_are_frozen() -> None:
    net = Net()
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        net.units = 3
    assert net.units == 32


def test_equal_values_make_equal_settings() -> None:
    assert Net(units=64) == make(Net, units="64")
    assert Net(units=64) != Net(units=65)


# --- text, as a shell gives it --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("units", "64", 64),
        ("rate", "1e-3", 1e-3),
        ("centred", "true", True),
        ("centred", "false", False),
        ("centred", "1", True),
        ("widths", "512,256", (512, 256)),
        ("widths", " 512 , 256 ", (512, 256)),
        ("widths", "7", (7,)),
        ("widths", "", ()),
        ("words", "to,be", ("to", "be")),
        ("depth", "none", None),
        ("depth", "None", None),
        ("depth", "", None),
        ("depth", "3", 3),
        ("note", "none", None),
        ("note", "to,be", "to,be"),
        ("title", "none", "none"),
        ("output", "none", None),
        ("output", "a/b", Path("a/b")),
        ("folder", "none", Path("none")),
        ("limit", "90", 90.0),
        ("limit", "90s", 90.0),
        ("limit", "20m", 1200.0),
        ("limit", "1h30m", 5400.0),
        ("limit", "1H30M", 5400.0),
        ("limit", "1.5h", 5400.0),
        ("limit", "2d", 172800.0),
        ("limit", "none", None),
        ("share", "3", 3),
        ("share", "0.5", 0.5),
    ],
)
def test_text_is_read_as_the_fields_type(name: str, text: str, value: Any) -> None:
    read = getattr(make(Net, **{name: text}), name)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", ["", "x", "90x", "1h 30", "-5", "h", "1:30"])
def test_a_time_that_is_not_one_is_refused_with_examples(text: str) -> None:
    class Timed(lab.Settings):
        limit: lab.Seconds = lab.field(60.0, "How long.")

    assert faults(Timed, limit=text) == (f"limit={text}: expected a time such as 90s, 20m or 1h30m; the default is 60",)


def test_a_time_out_of_bounds_says_the_bound() -> None:
    assert refusal(limit="0s").startswith("limit=0s: expected number > 0 or none")


@pytest.mark.parametrize("text", ["", "x", "2", "yess"])
def test_a_flag_that_is_neither_true_nor_false_is_refused(text: str) -> None:
    assert refusal(centred=text) == f"centred={text}: expected true or false; the default is false"


def test_a_literal_of_numbers_reads_text_like_any_other_number() -> None:
    class Quantised(lab.Settings):
        bits: Literal[8, 16] = lab.field(8, "Bits of a weight.")

    assert make(Quantised, bits="16").bits == 16


# --- messages -------------------------------------------------------------------------------------


def test_a_message_says_name_and_value_what_is_expected_and_the_default() -> None:
    assert refusal(units=-3) == "units=-3: expected whole number >= 1 and <= 512; the default is 32"
    assert refusal(depth=0) == "depth=0: expected whole number >= 1 or none; the default is none"
    assert refusal(centred=None) == "centred=none: expected true or false; the default is false"
    assert refusal(units="many").startswith("units=many: expected whole number")
    assert "; the default is 512,256" in refusal(widths="x")


def test_a_value_just_beyond_a_bound_is_shown_as_it_is() -> None:
    assert "rate=1.0000001:" in refusal(rate=1.0000001)


def test_an_unknown_name_gets_the_nearest_suggested() -> None:
    assert refusal(unit=3) == "unit: no such setting; did you mean 'units'?"


def test_an_unknown_name_far_from_all_gets_the_list() -> None:
    message = refusal(zzzzzz=3)
    assert message.startswith("zzzzzz: no such setting; there are units, rate, centred")
    assert unknown("x", []) == "x: no such setting; there are none"


def test_all_faults_are_said_at_once_each_on_its_line() -> None:
    with pytest.raises(SettingsError) as caught:
        make(Net, units=0, rate=5, activation="tanh", unit=1, share="x")
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        "units=0",
        "rate=5",
        "activation=tanh",
        "share=x",
        "unit",
    ]
    lines = str(caught.value).splitlines()
    assert lines[0] == "5 settings are wrong:"
    assert [line.strip() for line in lines[1:]] == list(caught.value.faults)


def test_a_union_reports_a_wrong_value_once() -> None:
    assert len(faults(Net, share="x")) == 1


def test_a_settings_error_is_a_usage_error_and_a_value_error() -> None:
    assert issubclass(SettingsError, UsageError)
    assert issubclass(SettingsError, LabError)
    assert issubclass(SettingsError, ValueError)
    with pytest.raises(SettingsError) as caught:
        Net(units=0)
    assert caught.value.exit_code == 2
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_rule_over_several_settings_speaks_in_its_own_words() -> None:
    class Range(lab.Settings):
        low: int = lab.field(0, "Least.")
        high: int = lab.field(1, "Most.")

        @pydantic.model_validator(mode="after")
        def _in_order(self) -> Range:
            if self.low > self.high:
                raise ValueError(f"low={self.low}, high={self.high}: expected low <= high")
            return self

    with pytest.raises(SettingsError) as caught:
        Range(low=3, high=2)
    assert str(caught.value) == "low=3, high=2: expected low <= high"


def test_a_setting_without_a_default_that_is_not_given_is_said_to_be_missing() -> None:
    class Needs(lab.Settings):
        units: int

    (fault,) = faults(Needs)
    assert fault.startswith("units")
    assert "units={}" not in fault


@pytest.mark.parametrize(
    "value", ["a" * 500, [1] * 500, {"a": "b" * 500}, "9" * 500, [["x" * 100] * 100]], ids=lambda value: str(value)[:9]
)
def test_long_values_are_shortened(value: Any) -> None:
    message = refusal(units=value)
    shown = message.removeprefix("units=").partition(": expected")[0]
    assert len(shown) <= SHORT
    assert shown.endswith("...")


@pytest.mark.parametrize("value", ["\x1b[2J", "a\nb", "\u202eabc", "a\x00", ["\x1b[2J"], {"\x07": 1}], ids=ascii)
def test_unprintable_values_are_escaped(value: Any) -> None:
    assert refusal(units=value).isprintable()


def test_an_unprintable_name_is_escaped() -> None:
    assert refusal(**{"\x1b[2J": 1}).isprintable()


def test_a_number_too_long_for_python_to_write_is_refused_like_any_other() -> None:
    assert refusal(units=10**5000).startswith("units=")


@pytest.mark.parametrize("name", ["self", "values", "cls", "data"])
def test_a_name_that_python_uses_itself_is_only_an_unknown_setting(name: str) -> None:
    assert f"{name}: no such setting" in refusal(**{name: 1})


# --- given, list_settings, show ---------------------------------------------------------------------------


def test_given_holds_what_was_passed_even_where_it_equals_the_default() -> None:
    assert Net().given() == {}
    assert make(Net, units=32, widths="1,2").given() == {"units": 32, "widths": (1, 2)}


def test_settings_have_name_default_help_and_kind() -> None:
    assert list_settings(Net)[0] == Setting(
        "units", 32, "Units in the hidden layer.", "whole number >= 1 and <= 512", False
    )
    kinds = {setting.name: setting.kind for setting in list_settings(Net)}
    assert kinds == {
        "units": "whole number >= 1 and <= 512",
        "rate": "number > 0 and < 1",
        "centred": "true or false",
        "title": "text",
        "code": "text",
        "activation": "one of relu, gelu",
        "widths": "a list of numbers such as 512,256",
        "words": "a list such as a,b",
        "depth": "whole number >= 1 or none",
        "note": "text or none",
        "folder": "path",
        "output": "path or none",
        "limit": "number > 0 or none",
        "share": "whole number > 0 or number > 0 or none",
    }


def test_only_true_or_false_settings_are_flags() -> None:
    class Tri(lab.Settings):
        ema: bool | None = lab.field(None, "Averages.")
        units: int = lab.field(1, "Units.")

    assert [setting.is_flag for setting in list_settings(Tri)] == [True, False]
    assert [setting.name for setting in list_settings(Net) if setting.is_flag] == ["centred"]


def test_a_class_lists_its_own_settings_before_those_that_it_inherits() -> None:
    class Noisy(Net):
        noise: float = lab.field(0.5, "Noise.")
        units: int = lab.field(64, "More units.")

    names = [setting.name for setting in list_settings(Noisy)]
    assert names[:2] == ["noise", "units"]
    assert names[2:] == [name for name in Net.model_fields if name != "units"]
    assert list_settings(Noisy)[1].default == 64


def test_a_class_without_fields_of_its_own_lists_the_inherited_ones() -> None:
    class Same(Net):
        pass

    assert list_settings(Same) == list_settings(Net)
    assert list_settings(lab.Settings) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "true"),
        (False, "false"),
        (64, "64"),
        (0.1, "0.1"),
        (1e-3, "0.001"),
        (2.0, "2"),
        ("a b", "a b"),
        ((512, 256), "512,256"),
        ([True, None], "true,none"),
        ((), ""),
        (Path("a/b"), "a/b"),
    ],
)
def test_show_writes_a_value_as_one_would_type_it(value: Any, text: str) -> None:
    assert show(value) == text


def test_what_show_writes_of_a_number_is_read_as_the_same_number() -> None:
    for rate in (0.1, 1 / 3, 0.9990001, 1e-7):
        assert make(Net, rate=show(rate)).rate == rate


# --- JSON -----------------------------------------------------------------------------------------

PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PARTS = st.lists(st.text("abcé .-_", min_size=1, max_size=8), min_size=1, max_size=3)
PATHS = PARTS.map(lambda parts: Path(*parts)).filter(lambda path: str(path).strip())
NETS = st.fixed_dictionaries(
    {},
    optional={
        "units": st.integers(1, 512),
        "rate": st.floats(0, 1, exclude_min=True, exclude_max=True),
        "centred": st.booleans(),
        "title": PLAIN.filter(lambda text: len(text) >= 2),
        "activation": st.sampled_from(["relu", "gelu"]),
        "widths": st.lists(st.integers(1, 1_000_000), max_size=5).map(tuple),
        "words": st.lists(PLAIN, max_size=4).map(tuple),
        "depth": st.none() | st.integers(1),
        "note": st.none() | PLAIN,
        "folder": PATHS,
        "output": st.none() | PATHS,
        "limit": st.none() | st.floats(0, 1e12, exclude_min=True),
        "share": st.none() | st.integers(1) | st.floats(0, 1e12, exclude_min=True),
    },
)


@settings(deadline=None)
@given(NETS)
def test_json_gives_equal_settings_back(values: dict[str, Any]) -> None:
    net = Net(**values)
    text = json.dumps(net.model_dump(mode="json"), allow_nan=False)
    again = Net(**json.loads(text))
    assert again == net
    assert {name: type(value) for name, value in again} == {name: type(value) for name, value in net}
    assert net.json_values() == json.loads(text)


@pytest.mark.parametrize("name", ["none", "null", " "])
def test_an_optional_path_whose_name_reads_as_none_comes_back_from_json(name: str) -> None:
    net = Net(output=Path(name))
    assert Net(**json.loads(json.dumps(net.json_values()))) == net


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(Net.model_fields)), JSON_LIKE)
@example("units", "\ud800")
@example("title", "\ud800")
@example("folder", "\x00")
@example("limit", "\u0663s")
@example("limit", "9" * 400)
@example("widths", "1," * 1000)
@example("words", [{}])
def test_any_value_is_taken_or_refused_with_a_settings_error(name: str, value: Any) -> None:
    net: Any = None
    refused: tuple[str, ...] = ()
    try:
        net = make(Net, **{name: value})
    except SettingsError as error:
        refused = error.faults
    if net is None:
        (fault,) = refused
        assert fault.startswith(f"{name}=")
        assert fault.isprintable()
    else:
        assert make(Net, **{name: getattr(net, name)}) == net


@settings(deadline=None)
@given(st.text(max_size=20).filter(lambda name: name not in Net.model_fields and name != "self"), JSON_LIKE)
def test_any_unknown_name_is_refused_with_a_settings_error(name: str, value: Any) -> None:
    assert len(faults(Net, **{name: value})) == 1


# --- ranges ---------------------------------------------------------------------------------------


class Noisy(lab.Settings):
    noise: lab.Range = lab.field(0.5, "Noise.", ge=0, le=1)
    open_noise: lab.Range = lab.field("0.1:0.9", "More.", gt=-1, lt=2)


@pytest.mark.parametrize(
    ("given", "low", "high", "written"),
    [
        (0.5, 0.5, 0.5, "0.5"),
        (1, 1.0, 1.0, "1"),
        ("0.25", 0.25, 0.25, "0.25"),
        ("0.1:0.9", 0.1, 0.9, "0.1:0.9"),
        (" 0.10 : 0.9 ", 0.1, 0.9, "0.1:0.9"),
        ((0.1, 0.9), 0.1, 0.9, "0.1:0.9"),
        ([0.2, 0.2], 0.2, 0.2, "0.2"),
        (lab.Range(0.0, 1.0), 0.0, 1.0, "0:1"),
    ],
)
def test_a_range_is_read_and_written(given: Any, low: float, high: float, written: str) -> None:
    noise = Noisy(noise=given).noise
    assert (noise.low, noise.high) == (low, high)
    assert str(noise) == written
    assert noise.is_one is (low == high)
    assert noise.middle == pytest.approx((low + high) / 2)
    values = json.loads(json.dumps(Noisy(noise=given).json_values()))
    assert values["noise"] == written
    assert Noisy(**values) == Noisy(noise=given)


@pytest.mark.parametrize(
    "wrong", ["x", "0.9:0.1", "0.1:0.2:0.3", "0.1,0.9", "", ":", "nan", "inf", None, True, (), (1, 2, 3), {"low": 1}]
)
def test_what_is_no_range_is_refused(wrong: Any) -> None:
    with pytest.raises(SettingsError, match=r"noise=.*expected a number, or a range.*0.1:0.9; the default is 0.5"):
        Noisy(noise=wrong)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, "0.5:1.5", "-1:0.5"])
def test_both_ends_of_a_range_are_bounded(wrong: Any) -> None:
    with pytest.raises(SettingsError, match=r"expected number, or range such as 0\.1:0\.9 >= 0 and <= 1"):
        Noisy(noise=wrong)


def test_open_bounds_of_a_range_are_outside_it() -> None:
    inside: Any = "-0.5:1.5"
    assert Noisy(open_noise=inside).open_noise == lab.Range(-0.5, 1.5)
    outside: Any
    for outside in ("-1:0", "0:2"):
        with pytest.raises(SettingsError):
            Noisy(open_noise=outside)


def test_help_says_what_a_range_takes() -> None:
    kinds = {setting.name: (setting.kind, show(setting.default)) for setting in list_settings(Noisy)}
    assert kinds["noise"] == ("number, or range such as 0.1:0.9 >= 0 and <= 1", "0.5")
