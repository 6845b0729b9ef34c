"""The benchmark's own arithmetic, words and files; nothing here is timed."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.benchmarks import __main__ as command
from tests.benchmarks import alone, machine, pairs, show
from tests.benchmarks.pairs import Bench, BenchError, Comparison, Engine, judged, loss_gap
from tests.benchmarks.parts import PARTS
from tests.benchmarks.worker import Turns


def turns(seconds: list[float], losses: list[float], steps: float = 4.0) -> list[dict[str, float]]:
    return [{"seconds": one, "loss": loss, "steps": steps} for one, loss in zip(seconds, losses, strict=True)]


def row(**changes: Any) -> Comparison:
    engines = [Engine("lab", "lab", ""), Engine("slow", "them", ""), Engine("fast", "them", "")]
    return Comparison("row", "A row", engines, {"them": 0.6}, **{"tolerance": 0.01, "warm": 1} | changes)


LOSSES = [0.5, 0.4, 0.3, 0.2]
OURS = turns([9.0, 1.0, 2.0, 3.0], LOSSES)
SLOW = turns([9.0, 8.0, 8.0, 8.0], LOSSES)
FAST = turns([9.0, 2.0, 4.0, 4.0], LOSSES)


def test_ratios_are_medians_of_pairs_against_the_faster_way() -> None:
    found = judged(row(), {"lab": OURS, "slow": SLOW, "fast": FAST})
    assert found["ratios"]["them"] == {"of": "fast", "median": 0.5, "min": 0.5, "max": 0.75, "goal": 0.6, "met": True}
    assert found["sides"]["lab"]["median"] == 2.0  # the warm-up does not count
    assert found["differ"] == []


def test_a_step_is_its_share_of_a_turn() -> None:
    found = judged(row(per_step=True), {"lab": OURS, "fast": FAST})
    assert found["sides"]["lab"]["median"] == 0.5
    assert found["ratios"]["them"]["median"] == 0.5


def test_a_side_that_reaches_another_loss_is_named() -> None:
    other = turns([9.0, 2.0, 4.0, 4.0], [0.5, 0.4, 0.3, 0.21])
    found = judged(row(), {"lab": OURS, "slow": SLOW, "fast": other})
    assert found["differ"] == ["fast"]
    assert found["sides"]["fast"]["loss_gap"] == pytest.approx(0.05)


def test_fewer_steps_and_a_loss_that_is_no_number_are_never_the_same() -> None:
    assert loss_gap(OURS, turns([1.0] * 4, LOSSES, steps=3.0)) == math.inf
    assert loss_gap(OURS, turns([1.0] * 4, [math.nan] * 4)) == math.inf


def test_where_each_side_draws_its_own_masks_the_means_are_compared() -> None:
    swapped = turns([1.0] * 4, [0.4, 0.5, 0.3, 0.2])
    assert loss_gap(OURS, swapped) > 0.1
    assert loss_gap(OURS, swapped, drawn=True) == pytest.approx(0)
    assert loss_gap(OURS, turns([1.0] * 4, [loss * 1.1 for loss in LOSSES]), drawn=True) == pytest.approx(0.1)
    assert loss_gap(OURS, turns([1.0] * 4, [0.5, 0.4, 0.3, math.nan]), drawn=True) == math.inf
    assert loss_gap(OURS, turns([1.0] * 4, LOSSES, steps=3.0), drawn=True) == math.inf


def test_words_name_parts_in_their_own_order() -> None:
    assert command.arguments([])[0] == list(PARTS)
    assert command.arguments(["only=lstm,autoencoder", "pairs=2"]) == (["autoencoder", "lstm"], 2, Path("bench.json"))


@pytest.mark.parametrize("word", ["only=autoencodr", "onyl=lstm", "only=", "lstm", "pairs=0", "pairs=x"])
def test_a_wrong_word_is_one_line_and_exit_code_2(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", word])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("bench: expected ")
    assert said.count("\n") == 1


def finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: list[dict[str, float]]) -> tuple[int, Any, str]:
    def part(bench: Bench) -> Iterator[dict[str, Any]]:
        bench.say("working")
        yield judged(row(), {"lab": OURS, "slow": SLOW, "fast": theirs})
        yield alone.measures("own", "Own", [alone.value("a number", 3.0, "s", 2.0)], "a note")

    monkeypatch.setattr(command, "PARTS", {"part": part})
    monkeypatch.setattr(machine, "describe", lambda: {"cpu": "a processor", "cores": 2})
    out = io.StringIO()
    code = command.run(["part"], None, tmp_path / "bench.json", Console(file=out, width=200))
    return code, json.loads((tmp_path / "bench.json").read_text()), out.getvalue()


def test_the_file_has_every_row_and_a_missed_goal_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, found, said = finish(tmp_path, monkeypatch, FAST)
    assert code == 0
    assert [one["row"] for one in found["rows"]] == ["row", "own"]
    assert found["rows"][0]["ratios"]["them"]["max"] == 0.75
    assert found["rows"][1]["values"][0]["met"] is False
    assert found["machine"] == {"cpu": "a processor", "cores": 2}
    assert "missed" in said
    assert "| Own: a number | 3 s | ≤ 2.0 |" in said


def test_losses_that_differ_end_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, found, said = finish(tmp_path, monkeypatch, turns([1.0] * 4, [0.5, 0.4, 0.3, 0.6]))
    assert code == 1
    assert found["wrong"] == ["row: the loss of fast differs"]
    assert "DIFFERS" in said


def test_the_readmes_table_has_a_column_for_each_rival() -> None:
    found = judged(row(), {"lab": OURS, "slow": SLOW, "fast": FAST})
    found["ratios"] = {"PyTorch": found["ratios"]["them"]}
    *_, line = show.markdown([found]).splitlines()
    assert line == "| A row | - | - | - | 0.50 (0.50 to 0.75, goal 0.6) |"


def test_a_line_through_points() -> None:
    fixed, slope, straight = alone.line((0.1, 0.3, 1.0), (0.3, 0.7, 2.1))
    assert (fixed, slope, straight) == pytest.approx((0.1, 2.0, 1.0))


def echo(turns: Turns) -> None:
    """An engine for the test below."""
    for turn in range(turns.count):
        turns.begin()
        sys.stdout.write("a library says something\n")
        turns.end(loss=turns.options.get("loss", 1.0) / (turn + 1), steps=3)


def fail(turns: Turns) -> None:
    """An engine that cannot start."""
    raise OSError("no compiler")


def test_engines_take_turns_in_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "PAUSE", 0.0)
    here = "tests.benchmarks.test_pairs"
    engines = [Engine("lab", "lab", f"{here}:echo"), Engine("broken", "them", f"{here}:fail", optional=True)]
    engines.append(Engine("other", "them", f"{here}:echo", {"loss": 2.0}))
    found = pairs.compare(
        Comparison("echo", "Echo", engines, {}, tolerance=0.1, pairs=3, warm=1), Bench(lambda said: None, 2)
    )
    assert [len(side["losses"]) for side in found["sides"].values()] == [3, 3]
    assert found["differ"] == ["other"]
    assert "no compiler" in found["left_out"]["broken"]


def test_work_done_several_times_in_a_row_is_one_turn_and_its_mean_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    told, tell = io.StringIO("go\ngo\n"), io.StringIO()
    clock = iter([0.0, 1.0, 10.0, 13.0, 20.0, 21.0, 30.0, 31.0])
    monkeypatch.setattr("tests.benchmarks.worker.time.perf_counter", lambda: next(clock))
    engine = Turns(Path(), {"turns": 2, "in_a_row": 2}, told, tell)
    assert engine.count == 4
    for piece in range(engine.count):
        engine.begin()
        engine.end(loss=piece)
        assert len(told.getvalue()[told.tell() :]) == (3 if piece < 2 else 0)  # a word is taken once a turn
    lines = [json.loads(line) for line in tell.getvalue().splitlines()]
    assert lines == [{"seconds": 2.0, "loss": 1.0}, {"seconds": 1.0, "loss": 3.0}]
    with pytest.raises(SystemExit):
        engine.begin()


def write_count(turns: Turns) -> None:
    """A row's preparation for the test below."""
    (turns.folder / "count").write_text(str(turns.count))
    turns.end()


def echo_count(turns: Turns) -> None:
    """An engine for the test below: it does what was prepared, and no more."""
    prepared = int((turns.folder / "count").read_text())
    for piece in range(prepared):
        turns.begin()
        turns.end(loss=piece + 1)


def test_a_row_is_prepared_for_all_that_is_done_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "PAUSE", 0.0)
    here = "tests.benchmarks.test_pairs"
    engines = [Engine("lab", "lab", f"{here}:echo_count")]
    row = Comparison(
        "row", "A row", engines, {}, tolerance=0.1, prepare=f"{here}:write_count", pairs=2, warm=1, in_a_row=3
    )
    found = pairs.compare(row, Bench(lambda said: None))
    assert found["sides"]["lab"]["losses"] == [3.0, 6.0, 9.0]


def test_an_engine_that_must_run_and_does_not_is_an_error() -> None:
    engines = [Engine("lab", "lab", "tests.benchmarks.test_pairs:fail")]
    with pytest.raises(BenchError, match="no compiler"):
        pairs.compare(Comparison("broken", "Broken", engines, {}, tolerance=0.1), Bench(lambda said: None))
