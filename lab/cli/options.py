"""Settings as command-line options and as `name=value` words, which make passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from lab.errors import UsageError
from lab.settings import Settings, list_settings, show


class SettingsCommand(click.Command):
    """A command whose options come from `Settings` classes, listed in titled sections.

    Values reach the action as text, in one mapping: the settings check them and report faults in the
    same words as in Python.

    Args:
        name: the command's name.
        groups: for each section's title, its settings and the values that differ from their defaults.
        action: called with the words and a mapping of the settings that were given.
        words: the name of the positional arguments in the usage line; empty if there are none.
        help: the text above the options.
        extra: further options that are not in a settings class: (name, help).
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
            for setting in list_settings(settings):
                if setting.name not in taken:
                    taken.add(setting.name)
                    flag = {"is_flag": False, "flag_value": "true"} if setting.is_flag else {}
                    options.append(click.Option(_spellings(setting.name), multiple=True, **flag))  # type: ignore[arg-type]
        options.append(click.Argument(["values"], nargs=-1, metavar=f"{words} [NAME=VALUE]...".strip()))

        def callback(values: tuple[str, ...], **given: tuple[str, ...]) -> None:
            plain, named = split_words(values)
            if plain and not words:
                raise UsageError(f"{plain[0]}: expected --name value or name=value")
            pairs = [*named, *((name, value) for name, many in given.items() for value in many)]
            names = [name for name, _ in pairs]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise UsageError(f"{', '.join(twice)}: given twice; expected one value for each")
            action(plain, dict(pairs))

        super().__init__(name, params=options, callback=callback, help=help)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes a section for each settings class: name, help, kind and default."""
        if self.extra:
            with formatter.section("Choices"):
                formatter.write_dl([(f"--{_dashed(name)}", text) for name, text in self.extra])
        for title, settings, changed in self.groups:
            rows = []
            for setting in list_settings(settings):
                default = show(changed.get(setting.name, setting.default))
                rows.append((f"--{_dashed(setting.name)}", f"{setting.help}  [{setting.kind}; default: {default}]"))
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def split_words(words: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Separates plain words from `name=value`; a name has letters, digits, dashes and underscores only."""
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
    """The option with dashes, the option with underscores, and the parameter's name."""
    return list(dict.fromkeys([f"--{_dashed(name)}", f"--{name}", name]))
