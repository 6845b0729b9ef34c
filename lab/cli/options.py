"""Settings as command-line options, and `name=value` words as make passes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from lab.errors import UsageError
from lab.settings import Settings, knobs, show


class KnobCommand(click.Command):
    """A command whose options come from `Settings` classes, listed in titled sections.

    Values reach the callback as text, in one mapping: the settings themselves say what is wrong with
    them, in the same words as in Python.

    Args:
        name: the command's name.
        groups: for each section's title, its settings and the values that differ from their defaults.
        action: called with the words and the mapping of knobs that were given.
        words: the name of the positional arguments in the usage line; empty for none.
        help: the text above the options.
        extra: more options, without a settings class: (name, help).
    """

    def __init__(
        self,
        name: str,
        groups: Sequence[tuple[str, type[Settings], dict[str, Any]]],
        action: Callable[[list[str], dict[str, str]], None],
        *,
        words: str = "",
        help: str = "",
        extra: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.groups = groups
        self.extra = extra
        self.words = words
        options: list[click.Parameter] = [click.Option(_spellings(name), multiple=True) for name, _ in extra]
        taken = {name for name, _ in extra}
        for _, settings, _ in groups:
            for knob in knobs(settings):
                if knob.name not in taken:
                    taken.add(knob.name)
                    flag = {"is_flag": False, "flag_value": "true"} if knob.is_flag else {}
                    options.append(click.Option(_spellings(knob.name), multiple=True, **flag))  # type: ignore[arg-type]
        options.append(click.Argument(["values"], nargs=-1, metavar=f"{words} [NAME=VALUE]...".strip()))

        def callback(values: tuple[str, ...], **given: tuple[str, ...]) -> None:
            plain, named = split_words(values)
            if plain and not words:
                raise UsageError(f"{plain[0]}: expected --name value or name=value")
            pairs = [*named, *((name, value) for name, many in given.items() for value in many)]
            names = [name for name, _ in pairs]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise UsageError(f"{', '.join(twice)}: given twice; expected one --name value or name=value of each")
            action(plain, dict(pairs))

        super().__init__(name, params=options, callback=callback, help=help)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes each settings class as a section, with kind and default."""
        if self.extra:
            with formatter.section("Choices"):
                formatter.write_dl([(f"--{_dashed(name)}", text) for name, text in self.extra])
        for title, settings, changed in self.groups:
            rows = []
            for knob in knobs(settings):
                default = show(changed.get(knob.name, knob.default))
                rows.append((f"--{_dashed(knob.name)}", f"{knob.help}  [{knob.kind}; default: {default}]"))
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def split_words(words: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Tells `name=value` from plain words; a name has letters, digits and underscores only."""
    plain, named = [], []
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.replace("-", "_").isidentifier():
            named.append((name.replace("-", "_"), value))
        else:
            plain.append(word)
    return plain, named


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _spellings(name: str) -> list[str]:
    """The option with dashes, the same with underscores, and the name it goes by."""
    return list(dict.fromkeys([f"--{_dashed(name)}", f"--{name}", name]))
