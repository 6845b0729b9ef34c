"""Settings: a knob's type, bounds, default and help, written once in one line."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
from pydantic_core import PydanticUndefined, core_schema

from lab.errors import SettingsError, nearest

_WORDS = {
    "str": "text",
    "float": "number",
    "int": "whole number",
    "Path": "path",
    "Range": "number, or range such as 0.1:0.9",
}
_NONE = ("none", "null", "")  # what text says for None, where a field may be None
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: object) -> object:
    """Reads `90`, `"90s"`, `"1h30m"` as seconds; anything else is left for pydantic to refuse."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("a time such as 90s, 20m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


PositiveInt = Annotated[int, pydantic.Field(gt=0, le=1_000_000)]
"""A whole number from 1 to a million, for the items of a tuple."""

NonNegativeFloat = pydantic.NonNegativeFloat
"""A number of 0 or more, for the items of a tuple."""

Seconds = Annotated[float, pydantic.BeforeValidator(_seconds)]
"""A time in seconds; `"90s"`, `"20m"`, `"1h30m"` are read too."""


@dataclasses.dataclass(frozen=True)
class Range:
    """A number, or all numbers between two; written `0.5` or `0.1:0.9`, and `(0.1, 0.9)` in Python.

    Args:
        low, high: its ends; equal for a single number.
    """

    low: float
    high: float

    @classmethod
    def read(cls, value: object) -> Range:
        """Reads a number, a pair of numbers, or text.

        Raises:
            ValueError: it is none of them, an end is not finite, or they stand the wrong way round.
        """
        if isinstance(value, Range):
            return value
        given: Any = value.split(":") if isinstance(value, str) else value
        ends = list(given) if isinstance(given, (list, tuple)) else [given]
        try:
            if any(isinstance(end, bool) for end in ends) or len(ends) not in (1, 2):
                raise ValueError
            low, high = float(ends[0]), float(ends[-1])
        except (TypeError, ValueError):
            raise ValueError("a number, or a range such as 0.1:0.9") from None
        if not (math.isfinite(low) and low <= high < math.inf):
            raise ValueError("a number, or a range with its lower end first, such as 0.1:0.9")
        return cls(low, high)

    @property
    def middle(self) -> float:
        """The number halfway."""
        return (self.low + self.high) / 2

    @property
    def is_one(self) -> bool:
        """Whether it is a single number."""
        return self.low == self.high

    def __str__(self) -> str:
        return show(self.low) if self.is_one else f"{show(self.low)}:{show(self.high)}"

    def __ge__(self, bound: float) -> bool:
        return self.low >= bound

    def __gt__(self, bound: float) -> bool:
        return self.low > bound

    def __le__(self, bound: float) -> bool:
        return self.high <= bound

    def __lt__(self, bound: float) -> bool:
        return self.high < bound

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Tells pydantic how to read and write it."""
        written = core_schema.plain_serializer_function_ser_schema(str)
        return core_schema.no_info_plain_validator_function(cls.read, serialization=written)


def field(
    default: Any,
    help: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    min_length: int | None = None,
    pattern: str | None = None,
) -> Any:
    """Declares one setting: its default, its help and its bounds. The type stands in the annotation.

    Args:
        default: the value when nothing is said; it must lie within the bounds itself.
        help: one sentence for `--help` and for the report's table of settings.
        ge, gt, le, lt: bounds of a number (at least, more than, at most, less than).
        min_length: the least length of a text or a tuple.
        pattern: a regular expression that a text must match.
    """
    return pydantic.Field(default, description=help, ge=ge, gt=gt, le=le, lt=lt, min_length=min_length, pattern=pattern)


class Settings(pydantic.BaseModel):
    """A frozen, validated set of knobs; subclass it and give each knob one line with `lab.field`.

    Values may be of the field's type or text, as a shell or a make variable gives it: `"64"`,
    `"true"`, `"512,256"` (a tuple), `"none"` (an optional field's None). `model_dump(mode="json")` and
    `type(settings)(**values)` are each other's inverse.

    Raises:
        SettingsError: at construction; it names every fault, each with the bound and the value.
    """

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            raise SettingsError(list(_faults(type(self), error))) from None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read_text(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {
            name: _from_text(value, cls.model_fields[name].annotation) if name in cls.model_fields else value
            for name, value in values.items()
        }

    def given(self) -> dict[str, Any]:
        """Returns the values that were passed, without those that are defaults."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}

    def json_values(self) -> dict[str, Any]:
        """Returns all values as JSON has them (a tuple is a list, a path is a text)."""
        values = self.model_dump(mode="json")
        for name, value in values.items():
            if isinstance(getattr(self, name), Path) and value.strip().lower() in _NONE:
                values[name] = f"./{value}"  # a file that is called none
        return values


class Knob(typing.NamedTuple):
    """What one field says of itself, for `--help` and for tables."""

    name: str
    default: Any
    help: str
    kind: str  # `int >= 1`, `one of adam, sgd`, `true or false`
    is_flag: bool


def knobs(settings: type[Settings]) -> list[Knob]:
    """Returns a line for each field of a `Settings` class: its own as they are written, then inherited ones."""
    own = [name for name in settings.__annotations__ if name in settings.model_fields]
    fields = {name: settings.model_fields[name] for name in [*own, *settings.model_fields]}
    return [
        Knob(name, info.default, info.description or "", _kind(info), bool in _members(info.annotation))
        for name, info in fields.items()
    ]


def show(value: Any) -> str:
    """Writes a value as one would type it: `512,256`, `true`, `none`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(show(item) for item in value)
    return float.__repr__(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation alone."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(member for part in get_args(annotation) for member in _members(part))
    return (annotation,)


def _from_text(value: Any, annotation: Any) -> Any:
    """Turns text into what only text cannot be: None, and the parts of a tuple."""
    members = _members(annotation)
    if isinstance(value, str):
        if value.strip().lower() in _NONE and type(None) in members:
            return None
        for member in members:
            for choice in get_args(member) if get_origin(member) is Literal else ():
                if not isinstance(choice, str) and show(choice) == value.strip().lower():
                    return choice
        if str not in members and any(get_origin(member) is tuple for member in members):
            return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _kind(info: pydantic.fields.FieldInfo) -> str:
    """Says what a field takes, in words: `int >= 1 or none`."""
    bounds = " and ".join(
        f"{sign} {show(getattr(item, name))}"
        for item in info.metadata
        for name, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
        if getattr(item, name, None) is not None
    )
    kinds = []
    for member in _members(info.annotation):
        origin, args = get_origin(member), get_args(member)
        if origin is Annotated:
            member, origin, args = args[0], None, ()
        if member is type(None):
            kinds.append("none")
        elif origin is Literal:
            kinds.append("one of " + ", ".join(show(arg) for arg in args))
        elif origin is tuple:
            kinds.append("a list such as a,b" if args[:1] == (str,) else "a list of numbers such as 512,256")
        elif member is bool:
            kinds.append("true or false")
        else:
            name = _WORDS.get(member.__name__, member.__name__)
            kinds.append(f"{name} {bounds}" if bounds and member in (int, float, Range) else name)
    return " or ".join(kinds)


def _faults(settings: type[Settings], error: pydantic.ValidationError) -> Iterable[str]:
    """Writes each fault once: `latent_dim=-3: expected int >= 1`."""
    seen: set[str] = set()
    for fault in error.errors(include_url=False):
        name = str(fault["loc"][0]) if fault["loc"] else ""
        if not name:  # a validator of the whole model: its own words
            yield str(fault["msg"]).removeprefix("Value error, ")
            continue
        if name in seen:  # a union reports each of its members
            continue
        seen.add(name)
        if fault["type"] == "extra_forbidden":
            yield unknown(name, settings.model_fields)
        else:
            yield _wrong_value(settings, name, fault)


def _wrong_value(settings: type[Settings], name: str, fault: Any) -> str:
    info = settings.model_fields[name]
    message = str(fault["msg"]).removeprefix("Value error, ")
    expected = _kind(info)
    if fault["type"] == "value_error":
        expected = message
    elif fault["type"] in ("string_pattern_mismatch", "too_short", "string_too_short"):
        expected = f"{expected} ({message[0].lower()}{message[1:]})"
    if fault["type"] == "missing":
        return f"{name}: expected {expected}; it has no default"
    given = fault["input"]
    item = f" (item {fault['loc'][1] + 1})" if len(fault["loc"]) > 1 and isinstance(fault["loc"][1], int) else ""
    default = "" if info.default is PydanticUndefined else f"; the default is {show(info.default)}"
    return f"{name}={_short(given)}{item}: expected {expected}{default}"


def _short(value: Any) -> str:
    try:
        text = show(value) if isinstance(value, (str, int, float, tuple, list, type(None))) else repr(value)
    except (ValueError, RecursionError):  # a number of more digits than Python writes, a list too deep
        text = f"<{type(value).__name__}>"
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= 60 else text[:57] + "..."


def unknown(name: str, known: Iterable[str]) -> str:
    """Says that a setting does not exist, with the nearest that does, or the list."""
    known = list(known)
    hint = nearest(name, known) or (f"; there are {', '.join(known)}" if known else "; there are none")
    return f"{_short(name)}: no such setting{hint}"
