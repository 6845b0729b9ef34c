"""The report of two classes: its numbers are those of its examples, and its choices those of validation ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from lab.data import Array
from lab.report import Report
from lab.report.items import Answer, Picture, Table, Text
from lab.tasks.classification import metrics as scores
from lab.tasks.classification.report_parts import OWN, BinaryReport, Judged
from lab.tasks.classification.thresholds import Thresholds


def judged(seed: int, count: int = 600, scale: float = 2.0) -> Judged:
    """Examples whose logits are `scale` times too sure."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 2, count)
    return Judged((rng.random(count) < scores.sigmoid(true)).astype(np.uint8), scale * true)


VALIDATION, TEST = judged(1), judged(2)


def parts(folder: Path, validation: Judged = VALIDATION, test: Judged = TEST) -> tuple[BinaryReport, Report]:
    report = Report(folder, "Title")
    return BinaryReport(report, validation, test, ("poor", "fine"), "letters"), report


def of(report: Report, kind: type[Any]) -> list[Any]:
    return [item for item in report.items if isinstance(item, kind)]


def test_judged_examples_have_probabilities_and_are_right_or_wrong() -> None:
    found = Judged(np.array([1, 0, 1, 0]), np.array([1.0, 1.0, -1.0, -1.0]))
    assert found.probabilities == pytest.approx(scores.sigmoid(np.array([1, 1, -1, -1])))
    assert found.right().tolist() == [True, False, False, True]
    called: Any = found.confusion()
    assert (called.true_positive, called.false_positive, called.false_negative, called.true_negative) == (1, 1, 1, 1)
    assert Judged(np.array([1, 0]), np.array([0.0, 0.0])).right().tolist() == [True, False]


def test_the_scaling_is_fitted_on_validation_examples_alone(tmp_path: Path) -> None:
    made, _ = parts(tmp_path)
    assert made.scaling == scores.fit_scaling(VALIDATION.labels, VALIDATION.logits)
    assert made.scaling.temperature == pytest.approx(2, rel=0.25)
    other, _ = parts(tmp_path, test=judged(3, scale=0.5))
    assert other.scaling == made.scaling
    assert made.test.probabilities == pytest.approx(scores.sigmoid(made.scaling(TEST.logits)))


def test_metrics_are_those_of_test_examples(tmp_path: Path) -> None:
    made, report = parts(tmp_path)
    made.metrics()
    labels, guessed, said = TEST.labels, TEST.logits >= made.scaling.bias, made.test.probabilities
    assert 0 < abs(made.scaling.bias) < 1
    found = report.metrics
    assert found["test_accuracy"] == pytest.approx(metrics.accuracy_score(labels, guessed))
    assert found["test_precision"] == pytest.approx(metrics.precision_score(labels, guessed))
    assert found["test_recall"] == pytest.approx(metrics.recall_score(labels, guessed))
    assert found["test_f1"] == pytest.approx(metrics.f1_score(labels, guessed))
    names = ("true_negatives", "false_positives", "false_negatives", "true_positives")
    assert [found[f"test_{name}"] for name in names] == metrics.confusion_matrix(labels, guessed).ravel().tolist()
    assert found["test_cross_entropy"] == pytest.approx(metrics.log_loss(labels, said))
    assert found["test_brier"] == pytest.approx(metrics.brier_score_loss(labels, said))
    assert found["calibration_temperature"] == made.scaling.temperature
    assert found["calibration_bias"] == made.scaling.bias
    assert found["raw_test_accuracy"] == pytest.approx(metrics.accuracy_score(labels, TEST.logits >= 0))


def test_the_classification_report_is_that_of_scikit_learn(tmp_path: Path) -> None:
    made, report = parts(tmp_path)
    made.confusion()
    (table,) = of(report, Table)
    theirs: Any = metrics.classification_report(
        TEST.labels, made.test.logits >= 0, target_names=("poor", "fine"), output_dict=True
    )
    rows = {row[0]: row[1:] for row in table.rows}
    for name, ours in (("poor", "poor"), ("fine", "fine"), ("macro avg", "macro average"), ("weighted avg",) * 2):
        ours = "weighted average" if name == "weighted avg" else ours
        expected = [f"{theirs[name][kind]:.4f}" for kind in ("precision", "recall", "f1-score")]
        assert rows[ours] == (*expected, f"{theirs[name]['support']:.0f}")
    assert rows["accuracy"] == ("", "", f"{theirs['accuracy']:.4f}", "600")
    assert [picture.file for picture in of(report, Picture)] == ["figures/confusion.png"]


def test_curves_have_their_areas_and_those_of_rivals(tmp_path: Path) -> None:
    made, report = parts(tmp_path)
    rival: Array = TEST.labels + np.random.default_rng(0).normal(0, 0.1, 600)
    made.curves({"a rival": rival})
    (table,) = of(report, Table)
    assert [row[0] for row in table.rows] == [OWN, "a rival"]
    roc = metrics.roc_auc_score(TEST.labels, TEST.logits)
    assert report.metrics["test_roc_auc"] == pytest.approx(roc)
    assert report.metrics["test_average_precision"] == pytest.approx(
        metrics.average_precision_score(TEST.labels, TEST.logits)
    )
    assert table.rows[0][1].startswith(f"{roc:.4f} (")
    assert table.rows[1][1].startswith("1.0000 (1.0000")
    assert [picture.file for picture in of(report, Picture)] == ["figures/curves.png"]


def test_examples_of_one_class_have_no_curves(tmp_path: Path) -> None:
    made, report = parts(tmp_path, test=Judged(np.ones(5, int), np.arange(5.0)))
    made.curves()
    assert report.items == [Text("The test letters are all of one class: there is no curve to draw.")]


def test_calibration_is_better_with_the_scaling(tmp_path: Path) -> None:
    made, report = parts(tmp_path)
    made.calibration()
    (table,) = of(report, Table)
    before, _, after = ([float(cell) for cell in row[1:]] for row in table.rows)
    assert all(one < other for one, other in zip(after, before, strict=True))
    found = scores.reliability(TEST.labels, made.test.probabilities)
    assert after[0] == pytest.approx(found.error, abs=6e-5)
    assert report.metrics["test_calibration_error"] == pytest.approx(found.error, abs=6e-5)


def test_thresholds_are_chosen_on_validation_and_measured_on_test_examples(tmp_path: Path) -> None:
    made, report = parts(tmp_path)
    made.trade_off((5.0, 1.0), 0.9)
    (table,) = of(report, Table)
    chosen = made.validation.labels, made.validation.probabilities
    cheapest, precise = scores.cheapest_threshold(*chosen, 5, 1), scores.precise_threshold(*chosen, 0.9)
    assert precise is not None
    assert report.metrics["cheapest_threshold"] == cheapest
    assert report.metrics["precise_threshold"] == precise
    for row, name, threshold in zip(
        table.rows, ("the even one", "least cost (5 and 1)", "precision of 0.9"), (0.5, cheapest, precise), strict=True
    ):
        called = made.test.probabilities >= threshold
        precision, recall = metrics.precision_score(TEST.labels, called), metrics.recall_score(TEST.labels, called)
        cost = (5 * (called & (TEST.labels == 0)).sum() + (~called & (TEST.labels == 1)).sum()) / 0.6
        expected = (name, f"{threshold:.3f}", f"{precision:.4f}", f"{recall:.4f}")
        assert row == (*expected, f"{metrics.f1_score(TEST.labels, called):.4f}", f"{cost:.1f}")


def test_the_slider_has_the_counts_of_test_examples(tmp_path: Path) -> None:
    made, report = parts(tmp_path)
    made.trade_off((5.0, 1.0), 0.9)
    (slider,) = of(report, Thresholds)
    assert (slider.start, slider.costs, slider.classes) == (0.5, (5.0, 1.0), ("poor", "fine"))
    assert list(slider.thresholds) == sorted(set(slider.thresholds))
    assert len(slider.thresholds) > 100
    assert {0.0, 0.5, 1.0} <= set(slider.thresholds)
    for place in range(0, len(slider.thresholds), 10):
        called = made.test.probabilities >= slider.thresholds[place]
        assert slider.counts[place] == tuple(metrics.confusion_matrix(TEST.labels, called).ravel().tolist())


def test_the_answer_has_both_cases_with_their_counts(tmp_path: Path) -> None:
    made, report = parts(tmp_path)
    made.trade_off((1.0, 1.0), 0.9)
    (answer,) = of(report, Answer)
    labels, said, wary = made.test.labels, made.test.probabilities, made.validation
    missed = int(((said > 0.5) & (labels == 0)).sum())
    assert f"at an even threshold {missed} of {int((labels == 0).sum())} poor letters go by unseen" in answer.text
    watch = scores.complete_threshold(1 - wary.labels, 1 - wary.probabilities, 0.99)
    still = int(((1 - said < watch) & (labels == 0)).sum())
    assert still < missed
    assert f"on test letters {still} are missed" in answer.text
    assert f"all that is less than {1 - watch:.3f} fine" in answer.text
    quote = scores.precise_threshold(wary.labels, wary.probabilities, 0.99)
    assert quote is not None
    wrong, all_ = int(((said >= quote) & (labels == 0)).sum()), int((said >= quote).sum())
    assert f"it quotes only from {quote:.3f} on: on test letters {wrong} of {all_} are wrong" in answer.text


def test_a_precision_that_no_threshold_has_is_said(tmp_path: Path) -> None:
    worst = Judged(np.array([0, 1] * 50), np.repeat(np.linspace(4, -4, 50), 2) + np.array([0.01, 0] * 50))
    made, report = parts(tmp_path, worst)
    made.trade_off((1.0, 1.0), 0.95)
    assert of(report, Table)[0].rows[2] == ("precision of 0.95", "none has it", "", "", "", "")
    assert "precise_threshold" not in report.metrics
    assert "no threshold has a precision of 99% on validation letters" in of(report, Answer)[0].text
