"""Every case of the table of hostile inputs is survived."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.inputs import World, train_all
from tests.hostile.table import Case, cases, complaints

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train_all(folder)
    return folder


@pytest.mark.filterwarnings("ignore")  # a case sees to them itself, as a user has them
@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.group}: {case.name}")
def test_a_hostile_input_is_survived(case: Case, trained: Path, tmp_path: Path) -> None:
    found = complaints(case, World(tmp_path, trained))
    assert not found, "\n".join(found)


def test_there_are_many_cases_and_each_has_its_own_name() -> None:
    names = [f"{case.group}: {case.name}" for case in cases()]
    assert len(names) >= 150
    assert len(set(names)) == len(names)
    assert f"{len(names)} hostile inputs" in README.read_text("utf-8")
