"""Settings: a setting's type, bounds, default and help, each written once, in one line."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
from pydantic_core import PydanticUndefined

from lab._utils.values import NonNegativeFloat, PositiveInt, Range, Seconds, show
from lab.errors import SettingsError, nearest

__all__ = [
    "NonNegativeFloat",
    "PositiveInt",
    "Range",
    "Seconds",
    "Setting",
    "Settings",
    "field",
    "list_settings",
    "show",
    "unknown",
]

_WORDS = {
    "str": "text",
    "float": "number",
    "int": "whole number",
    "Path": "path",
    "Range": "number, or range such as 0.1:0.9",
}
_NONE = ("none", "null", "")  # text that is read as None, where a field may be None


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
    """Declares one setting: its default, its help and its bounds. Its type is the annotation.

    Args:
        default: the value unless one is given; it must lie within the bounds.
        help: one sentence for `--help` and for the report's table of settings.
        ge, gt, le, lt: bounds of a number (at least, more than, at most, less than).
        min_length: the least length of a string or a tuple.
        pattern: a regular expression that a string must match.
    """
    return pydantic.Field(default, description=help, ge=ge, gt=gt, le=le, lt=lt, min_length=min_length, pattern=pattern)


class Settings(pydantic.BaseModel):
    """Frozen, validated settings; subclass it and declare each setting in one line with `lab.field`.

    Values may be of the field's type, or text as from a shell or a make variable: `"64"`, `"true"`,
    `"512,256"` (a tuple), `"none"` (None, for an optional field). `type(settings)(**values)` restores
    what `json_values()` returns.

    Raises:
        SettingsError: at construction; it lists every fault, each with the bound and the value.
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
        """Returns the values that were passed, without defaults."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}

    def json_values(self) -> dict[str, Any]:
        """Returns all values as JSON types: a tuple as a list, a path as a string."""
        values = self.model_dump(mode="json")
        for name, value in values.items():
            if isinstance(getattr(self, name), Path) and value.strip().lower() in _NONE:
                values[name] = f"./{value}"  # a file named none
        return values


class Setting(typing.NamedTuple):
    """One field of a `Settings` class, described for `--help` and for tables."""

    name: str
    default: Any
    help: str
    kind: str  # `whole number >= 1`, `one of adam, sgd`, `true or false`
    is_flag: bool


def list_settings(settings: type[Settings]) -> list[Setting]:
    """Describes each field of a `Settings` class: first its own in the order of the source, then inherited ones."""
    own = [name for name in settings.__annotations__ if name in settings.model_fields]
    fields = {name: settings.model_fields[name] for name in [*own, *settings.model_fields]}
    return [
        Setting(name, info.default, info.description or "", _kind(info), bool in _members(info.annotation))
        for name, info in fields.items()
    ]


def _members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation alone."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(member for part in get_args(annotation) for member in _members(part))
    return (annotation,)


def _from_text(value: Any, annotation: Any) -> Any:
    """Converts text that pydantic would not: `none`, numbers of a `Literal`, and the items of a tuple."""
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
    """Describes the values that a field takes: `whole number >= 1 or none`."""
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
    """Describes each fault once: `latent_dim=-3: expected whole number >= 1`."""
    seen: set[str] = set()
    for fault in error.errors(include_url=False):
        name = str(fault["loc"][0]) if fault["loc"] else ""
        if not name:  # raised by a validator of the model: its own message
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
    except (ValueError, RecursionError):  # too many digits for Python to write, or nested too deeply
        text = f"<{type(value).__name__}>"
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= 60 else text[:57] + "..."


def unknown(name: str, known: Iterable[str]) -> str:
    """Returns the message for a setting that does not exist, with the nearest name or the list."""
    known = list(known)
    hint = nearest(name, known) or (f"; there are {', '.join(known)}" if known else "; there are none")
    return f"{_short(name)}: no such setting{hint}"
