"""Values of settings: types that read text, and how a value is written."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Annotated, Any

import pydantic
from pydantic_core import core_schema

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def show(value: Any) -> str:
    """Writes a value as a user would type it: `512,256`, `true`, `none`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(show(item) for item in value)
    return float.__repr__(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _seconds(value: object) -> object:
    """Reads `90`, `"90s"`, `"1h30m"` as seconds; leaves anything else for pydantic to refuse."""
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
"""A time in seconds, also read from text: `"90s"`, `"20m"`, `"1h30m"`."""


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
            ValueError: it is none of them, an end is not finite, or the upper end comes first.
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
        """Returns the schema that pydantic reads and writes it by."""
        written = core_schema.plain_serializer_function_ser_schema(str)
        return core_schema.no_info_plain_validator_function(cls.read, serialization=written)
