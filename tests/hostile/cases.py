"""Every case of the table."""

from __future__ import annotations

from tests.hostile import (
    checkpoints,
    command_line,
    digit_files,
    labelled,
    models,
    pictures,
    records,
    run_settings,
    settings,
    texts,
    wheels,
)
from tests.hostile.table import Case

GROUPS = (
    command_line.command_line,
    settings.settings,
    command_line.folders,
    run_settings.run_settings,
    records.records,
    checkpoints.checkpoints,
    models.models,
    digit_files.digit_files,
    pictures.pictures,
    texts.texts,
    labelled.labelled,
    texts.prompts,
    records.reports,
    wheels.wheels,
)

CASES: tuple[Case, ...] = tuple(case for group in GROUPS for case in group())
